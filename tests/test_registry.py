"""Couplers by name; a broken plug-in is named and stops nobody else."""

from importlib.metadata import EntryPoint

import pytest

from multiscale import registry
from multiscale.coupler import Coupler
from multiscale.types import MultiscaleError

GOOD = EntryPoint("good", "couplers:EnergyBlend", registry.GROUP)
BROKEN = EntryPoint("broken", "no_such_package:Thing", registry.GROUP)
FOREIGN = EntryPoint("foreign", "collections:OrderedDict", registry.GROUP)


def test_builtin_couplers_are_installed():
    names = {"energy_blend", "force_blend", "ghost_corrected", "subtractive", "force_mixing", "sharp_pad"}
    found = registry.couplers()
    assert names <= found.keys() and all(issubclass(c, Coupler) for c in found.values())


def test_a_broken_plugin_stops_nobody():
    points = (BROKEN, GOOD, FOREIGN)
    assert list(registry.couplers(points)) == ["good"]
    assert registry.coupler("good", points).__name__ == "EnergyBlend"
    assert set(registry.broken(points)) == {"broken", "foreign"}


def test_asking_for_a_broken_plugin_says_why():
    with pytest.raises(MultiscaleError, match=r"'broken'.*no_such_package.*ModuleNotFoundError"):
        registry.coupler("broken", (BROKEN, GOOD))
    with pytest.raises(MultiscaleError, match="not a subclass of multiscale.Coupler"):
        registry.coupler("foreign", (FOREIGN,))


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(MultiscaleError, match=r"no coupler is called 'nope'; installed: good .*broken:"):
        registry.coupler("nope", (BROKEN, GOOD))
