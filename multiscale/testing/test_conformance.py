"""Run by ``pytest --pyargs multiscale.testing``: every installed coupler passes every check."""

from __future__ import annotations

import pytest

from multiscale.registry import couplers, specimens
from multiscale.testing.checks import CHECKS
from multiscale.testing.conformance import examine
from multiscale.testing.regions import examine_region
from multiscale.types import MissingPackage


@pytest.mark.parametrize("check", sorted(CHECKS))
@pytest.mark.parametrize("name", sorted(couplers()))
def test_coupler(name: str, check: str) -> None:
    """The coupler's numbers lie within the check's bounds."""
    wrong = [str(r) for r in examine(name, only=[check]) if not r.ok]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", sorted(specimens()))
def test_region(name: str) -> None:
    """A specimen of the region keeps the region's contract; skipped where its library is not installed."""
    try:
        specimen = specimens()[name].load()()
    except MissingPackage as error:
        pytest.skip(str(error))
    results = examine_region(specimen.make, specimen.x, bound=specimen.bound, strained=specimen.strained)
    wrong = [str(r) for r in results if not r.ok]
    assert not wrong, "\n".join(wrong)
