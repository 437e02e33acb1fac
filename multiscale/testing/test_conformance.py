"""Run by ``pytest --pyargs multiscale.testing``: every installed coupler passes every check."""

from __future__ import annotations

import pytest

from multiscale.registry import couplers
from multiscale.testing.checks import CHECKS
from multiscale.testing.conformance import examine


@pytest.mark.parametrize("check", sorted(CHECKS))
@pytest.mark.parametrize("name", sorted(couplers()))
def test_coupler(name: str, check: str) -> None:
    """The coupler's numbers lie within the check's bounds."""
    wrong = [str(r) for r in examine(name, only=[check]) if not r.ok]
    assert not wrong, "\n".join(wrong)
