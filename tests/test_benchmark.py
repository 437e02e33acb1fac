"""Conditions that times are taken under: one thread inside, what it was outside, and in one place."""

import pytest
from processes import ROOT

torch = pytest.importorskip("torch")

from multiscale.benchmark import one_thread  # noqa: E402


def test_one_thread_inside_and_what_it_was_outside():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError), one_thread():
            assert torch.get_num_threads() == 1
            raise ZeroDivisionError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_no_case_sets_threads_by_itself():
    assert [p.parent.name for p in (ROOT / "cases").glob("*/*.py") if "set_num_threads" in p.read_text()] == []
