"""Couplers by name: every installed package may offer some through the entry-point group ``multiscale.couplers``.

The built-in couplers come in by the same door as a stranger's; nothing here knows their names.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

from .coupler import Coupler
from .types import MultiscaleError

GROUP = "multiscale.couplers"
#: Functions without arguments that return a specimen of a region, for the conformance suite.
REGIONS = "multiscale.regions"


def specimens() -> dict[str, EntryPoint]:
    """The regions that installed packages offer for examination, by name; ``.load()()`` gives the specimen."""
    return {point.name: point for point in sorted(entry_points(group=REGIONS), key=lambda p: p.name)}


def couplers(points: Iterable[EntryPoint] | None = None) -> dict[str, type[Coupler]]:
    """Every coupler that can be imported, by name, in alphabetical order.

    A plug-in that cannot be imported is left out, so that it does not take the others with it; :func:`broken` names it.

    Parameters
    ----------
    points : iterable of EntryPoint, optional
        Instead of the installed ones.
    """
    return {name: found for name, found in _load(points).items() if isinstance(found, type)}


def broken(points: Iterable[EntryPoint] | None = None) -> dict[str, str]:
    """Plug-ins that are installed but cannot be used: name to one sentence with the reason."""
    return {name: found for name, found in _load(points).items() if isinstance(found, str)}


def coupler(name: str, points: Iterable[EntryPoint] | None = None) -> type[Coupler]:
    """The coupler class of that name.

    Raises
    ------
    MultiscaleError
        When there is none, or when it cannot be imported; the message says which and lists what is installed.

    Examples
    --------
    >>> coupler("energy_blend").__name__
    'EnergyBlend'
    """
    found = _load(points)
    usable = ", ".join(sorted(k for k, v in found.items() if isinstance(v, type))) or "none"
    chosen = found.get(name)
    if isinstance(chosen, type):
        return chosen
    if chosen is None:
        faulty = "".join(f"; broken: {v}" for v in found.values() if isinstance(v, str))
        raise MultiscaleError(
            f"no coupler is called '{name}'; installed: {usable} (another comes from a package with an entry point in "
            f"the group '{GROUP}'){faulty}"
        )
    raise MultiscaleError(f"{chosen}; mend or uninstall that package (usable: {usable})")


def _load(points: Iterable[EntryPoint] | None) -> dict[str, type[Coupler] | str]:
    """Every entry point's class, or a sentence that says why there is none."""
    installed = entry_points(group=GROUP) if points is None else points
    return {point.name: _load_one(point) for point in sorted(installed, key=lambda p: p.name)}


def _load_one(point: EntryPoint) -> type[Coupler] | str:
    origin = f"the coupler '{point.name}' of {point.dist.name if point.dist else 'a package'} ({point.value})"
    try:
        found = point.load()
    # Whatever a stranger's module raises while it is imported must not stop the run of another coupler.
    except Exception as error:
        return f"{origin} cannot be imported ({type(error).__name__}: {error})"
    if not (isinstance(found, type) and issubclass(found, Coupler)):
        return f"{origin} is not a subclass of multiscale.Coupler"
    return found
