"""The cohesive law of an interface, measured on the potential that describes its bodies.

    φ(δ) = φ_n(δ_n) + γ(δ_t) d(δ_n)          φ_n: rigid separation; γ: sliding where closed; d: how sliding fades with opening, d(0) = 1

    Φ = φ − W          counted from the bodies apart, which is what E_A + E_B lacks; φ counted from the closed interface

with φ_n, γ and d from the same atoms and the same potential, so that E(bodies alone) + A φ(δ) is the potential's own energy wherever the
bodies are undeformed: nothing is counted twice, and nothing is left out. Reversible: adhesion gives back what opening has cost.

A law may not be used where it was not measured: see :class:`~multiscale.adhesion.curve.MeasuredCurve`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline

from ..continuum.cohesive_laws import CohesiveLaw
from ..region import Region
from ..types import Array, MultiscaleError
from .curve import MeasuredCurve, Tail
from .separation import Separation, gamma_surface, separate
from .slabs import Slabs
from .sliding import GammaSurface

#: Of the strength: the largest error of the spline between two points of the table.
EXACT = 1e-4


@dataclass(frozen=True, eq=False)
class InterfaceLaw(CohesiveLaw):
    """A reversible law with its measured normal part, and sliding if that was measured.

    Parameters
    ----------
    curve : MeasuredCurve
        φ_n.
    gamma : GammaSurface, optional
        γ along the interface's two tangents; without one sliding costs nothing.
    fading : (2, n) array, optional
        Openings, Å, and d there, from d(0) = 1 to 0; needed with ``gamma``.
    zero : {"apart", "closed"}
        Where the energy is zero. Bodies of atoms that do not see each other lack W when the interface is closed: ``"apart"``; openings are
        then those of the atoms that were measured. Meshed bodies, or atoms whose energies are counted from the perfect crystal, lack it
        when it is open: ``"closed"``; openings are then counted from where the traction vanishes (the two differ where slabs are so thin
        that the interface feels their outer surfaces).
    """

    curve: MeasuredCurve
    gamma: GammaSurface | None = None
    fading: Array | None = None
    zero: Literal["apart", "closed"] = "apart"

    def __post_init__(self) -> None:
        if self.zero not in ("apart", "closed"):
            raise MultiscaleError(f"the zero of a law's energy is 'apart' or 'closed', got {self.zero!r}")
        if (self.gamma is None) != (self.fading is None):
            raise MultiscaleError("a law that slides needs both: gamma and fading (how sliding fades with opening)")
        if self.fading is not None:
            x, d = np.array(self.fading, dtype=float)
            if len(x) < 4 or (np.diff(x) <= 0).any() or abs(d[-1]) > 1e-6:
                raise MultiscaleError(
                    f"fading needs four or more ascending openings, and d = 0 at the last of them; got {len(x)} and d = {d[-1]:.3g}"
                )
            object.__setattr__(self, "_d", CubicSpline(x, d, bc_type=("not-a-knot", (1, 0.0))))
            object.__setattr__(self, "fading", np.stack([x, d]))

    def _fade(self, normal: Array, order: int) -> Array:
        x = self.fading[0]  # type: ignore[index]
        value = self._d(np.clip(normal, x[0], x[-1]), order)  # type: ignore[attr-defined]
        # Pressed beyond its table it goes on along a straight line.
        low = normal < x[0]
        if low.any():
            slope = float(self._d(x[0], 1))  # type: ignore[attr-defined]
            line = (value + slope * (normal - x[0]), np.full_like(normal, slope), np.zeros_like(normal))[order]
            value = np.where(low, line, value)
        return np.where(normal > x[-1], 0.0, value)

    def _split(self, opening: Array) -> tuple[Array, Array]:
        """Normal part (n,) as the curve counts it, and slide (n, 2); a plane interface slides along its first tangent only."""
        slide = np.zeros((len(opening), 2))
        slide[:, : opening.shape[1] - 1] = opening[:, 1:]
        return opening[:, 0] - (self.curve.shift if self.zero == "apart" else 0.0), slide

    def energy(self, opening: Array, past: Array) -> Array:
        """φ (n,), eV/Å²."""
        n, s = self._split(opening)
        out = self.curve.energy(n) - (self.curve.toughness if self.zero == "apart" else 0.0)
        return out if self.gamma is None else out + self.gamma.energy(s) * self._fade(n, 0)

    def traction(self, opening: Array, past: Array) -> Array:
        """∂φ/∂δ (n, dim), eV/Å³."""
        n, s = self._split(opening)
        out = np.zeros_like(np.asarray(opening, dtype=float))
        out[:, 0] = self.curve.traction(n)
        if self.gamma is not None:
            out[:, 0] += self.gamma.energy(s) * self._fade(n, 1)
            out[:, 1:] = (self.gamma.gradient(s) * self._fade(n, 0)[:, None])[:, : out.shape[1] - 1]
        return out

    def tangent(self, opening: Array, past: Array) -> Array:
        """∂²φ/∂δ² (n, dim, dim), eV/Å⁴."""
        n, s = self._split(opening)
        dim = opening.shape[1]
        out = np.zeros((len(n), dim, dim))
        out[:, 0, 0] = self.curve.slope(n)
        if self.gamma is not None:
            out[:, 0, 0] += self.gamma.energy(s) * self._fade(n, 2)
            mixed = (self.gamma.gradient(s) * self._fade(n, 1)[:, None])[:, : dim - 1]
            out[:, 0, 1:], out[:, 1:, 0] = mixed, mixed
            out[:, 1:, 1:] = (self.gamma.hessian(s) * self._fade(n, 0)[:, None, None])[:, : dim - 1, : dim - 1]
        return out

    def counted_from(self, zero: Literal["apart", "closed"]) -> InterfaceLaw:
        """The same law with another zero of energy."""
        return replace(self, zero=zero)

    # -- files --------------------------------------------------------------------------------------------------

    def require_apart(self) -> None:
        """Refuse an energy that is zero where closed: bodies of atoms that do not see each other lack the work of separation there."""
        if self.zero != "apart":
            raise MultiscaleError(
                "bodies of atoms that do not see each other lack the work of separation when closed, but this law's energy is zero there; "
                "use law.counted_from('apart')"
            )

    def write(self, path: str | Path) -> None:
        """Keep the law and where it came from in a JSON file; call on one rank."""
        c = self.curve
        out: dict[str, Any] = {
            "format": "multiscale interface law 1",
            "units": "eV, Å",
            "provenance": dict(c.provenance),
            "opening": (c.openings + c.shift).tolist(),
            "traction": c.tractions.tolist(),
            "energy": np.asarray(c.energies).tolist(),
            "tail": c.tail,
            "zero": self.zero,
        }
        if self.gamma is not None and self.fading is not None:
            out |= {
                "gamma": self.gamma.values.tolist(),
                "lattice": self.gamma.lattice.tolist(),
                "fading": self.fading.tolist(),
            }
        Path(path).write_text(json.dumps(out, indent=1, ensure_ascii=False, default=_plain) + "\n")

    @classmethod
    def read(cls, path: str | Path) -> InterfaceLaw:
        """A law from a file that :meth:`write` made."""
        found = json.loads(Path(path).read_text())
        if found.get("format") != "multiscale interface law 1":
            raise MultiscaleError(
                f"{Path(path).name} is no interface law ('format' is {found.get('format')!r}); use InterfaceLaw.write"
            )
        opening, traction, energy = (np.array(found[k], dtype=float) for k in ("opening", "traction", "energy"))
        curve = MeasuredCurve(opening, traction, energy, found["tail"], found["provenance"])
        if "gamma" not in found:
            return cls(curve, zero=found["zero"])
        gamma = GammaSurface(np.array(found["gamma"]), np.array(found["lattice"]))
        return cls(curve, gamma, np.array(found["fading"]), found["zero"])


def _plain(value: Any) -> Any:
    """What JSON can say of a number or an array of numpy's."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise MultiscaleError(
        f"a law's provenance has words, numbers and lists of them, got {type(value).__name__}; write it as text"
    )


def measure(
    region: Region,
    slabs: Slabs,
    *,
    pressed: float = 0.4,
    opened: float = 6.0,
    spacing: float = 0.1,
    finest: float = 0.0125,
    sliding: tuple[float, float] = (0.0, 0.0),
    apart: float | None = None,
) -> Separation:
    """Rigid separation on a table that is as fine as it has to be.

    Intervals are halved until the spline through the table is within 10⁻⁴ of the strength of what the region says in their middle, or
    they are ``finest``: a potential whose cutoff bites needs few Å of them.

    Parameters
    ----------
    region, slabs, sliding, apart
        As for :func:`~multiscale.adhesion.separation.separate`.
    pressed, opened : float
        Å; how far the table goes on either side.
    spacing, finest : float
        Å.
    """
    x = np.linspace(-pressed, opened, round((opened + pressed) / spacing) + 1)
    found = separate(region, slabs, x, sliding, apart)
    fresh = np.arange(len(x) - 1)
    while len(fresh):
        spline = CubicSpline(found.opening, found.traction[:, 0])
        middle = 0.5 * (found.opening[fresh] + found.opening[fresh + 1])
        more = separate(region, slabs, middle, sliding, apart) if len(middle) > 1 else None
        if more is None:
            break
        off = np.abs(spline(middle) - more.traction[:, 0]) > EXACT * found.strength
        wide = found.opening[fresh + 1] - found.opening[fresh] > 2.0 * finest
        order = np.argsort(np.concatenate([found.opening, middle]))
        merged = [
            np.concatenate([getattr(found, k), getattr(more, k)])[order] for k in ("opening", "energy", "traction")
        ]
        found = Separation(merged[0], merged[1], merged[2], found.work)
        # Both halves of an interval that was not good enough are looked at again.
        at = np.searchsorted(found.opening, middle[off & wide])
        fresh = np.unique(np.concatenate([at - 1, at])) if len(at) else at
    return found


def extract(
    region: Region,
    slabs: Slabs,
    provenance: Mapping[str, Any],
    *,
    tail: Tail = "none",
    grid: tuple[int, int] | None = None,
    lattice: ArrayLike | None = None,
    **options: Any,
) -> InterfaceLaw:
    """The law of an interface: rigid separation, and sliding on a grid if asked for.

    Parameters
    ----------
    region, slabs
        As for :func:`~multiscale.adhesion.separation.separate`.
    provenance : mapping
        What the engine is: its name, DOI, version; the slabs' geometry and what was found are added to it.
    tail : {"none", "exponential", "hamaker"}
        See :class:`~multiscale.adhesion.curve.MeasuredCurve`.
    grid, lattice : optional
        Points and translations of the γ-surface; see :func:`~multiscale.adhesion.separation.gamma_surface`. How it fades is measured at its
        largest value.
    **options
        Of :func:`measure`.

    Returns
    -------
    InterfaceLaw
        Its ``curve.provenance`` has W, strength, stiffness, the spline's error of W, and with sliding what φ_n + γ d misses.
    """
    found = measure(region, slabs, **options)
    made = {
        **provenance,
        "atoms": len(slabs.atoms),
        "area": slabs.area,
        "height": float(np.ptp(slabs.atoms.positions[:, 1])),
        "formula": str(slabs.atoms.symbols),
        "region": region.describe(),
        "work of separation": found.work,
        **{f"measured {k}": v for k, v in found.report().items()},
    }
    curve = MeasuredCurve(found.opening, found.traction[:, 0], found.energy, tail, made)
    made["tractions' integral over W, less one"] = found.closure
    if grid is None or lattice is None:
        return InterfaceLaw(MeasuredCurve(found.opening, found.traction[:, 0], found.energy, tail, made))
    gamma = GammaSurface(gamma_surface(region, slabs, grid, lattice), np.asarray(lattice, dtype=float))
    worst = gamma.largest()
    slid = separate(region, slabs, found.opening, (float(worst[0]), float(worst[1])), 0.0)
    d = (slid.energy - found.energy) / float(gamma.energy(worst[None, :])[0])
    x = found.opening - curve.shift
    law = InterfaceLaw(curve, gamma, np.stack([x, _to_zero(x, d)]))
    made["sliding: rms of φ_n + γ d − φ over rms of γ, off its maximum"] = _missed(region, slabs, law, gamma)
    curve = MeasuredCurve(found.opening, found.traction[:, 0], found.energy, tail, made)
    return InterfaceLaw(curve, gamma, law.fading)


def _to_zero(x: Array, d: Array) -> Array:
    """The fading d with its last value taken off, linearly growing from the closed interface: round-off where nothing holds."""
    return np.asarray(d - d[-1] * np.clip(x / x[-1], 0.0, 1.0))


def _missed(region: Region, slabs: Slabs, law: InterfaceLaw, gamma: GammaSurface) -> float:
    """How much the product γ d misses at three other slides and three openings."""
    openings = np.array([0.25, 0.75, 1.5])
    off, size = [], []
    for f in ((0.25, 0.0), (0.0, 0.5), (0.25, 0.25)):
        s = np.array(f) @ gamma.lattice
        at = separate(region, slabs, openings, (float(s[0]), float(s[1])), 0.0)
        delta = np.column_stack([openings, np.tile(s, (len(openings), 1))])
        off.append(law.energy(delta, np.zeros(3)) - law.energy(np.zeros((1, 3)), np.zeros(1)) - at.energy)
        size.append(gamma.energy(s[None, :])[0])
    return float(np.sqrt(np.mean(np.square(off)) / np.mean(np.square(size))))
