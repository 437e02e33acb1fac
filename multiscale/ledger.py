"""Who counts what: double counting is looked up, not promised.

Σ_r w_r = 1 for every piece of matter,     E = Σ_r (energy as r counts it)
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LedgerRow:
    """One region's entry in the ledger.

    Attributes
    ----------
    region : str
    matter : float
        Atoms' worth of matter that it counts, Σ_s w_s m_s (negative for what is taken off).
    area : float
        Å² of interface that it counts.
    energy : float or None
        eV, as counted; None where the method has no energy.
    """

    region: str
    matter: float
    area: float
    energy: float | None


@dataclass(frozen=True)
class Ledger:
    """Who counts what.

    Attributes
    ----------
    rows : tuple of LedgerRow
    coverage : (float, float)
        The least and largest number of times that any piece of matter is counted: 1, 1.
    energy : float or None
        eV.
    interface : (float, float) or None
        Å² of interface that is counted and that there is, where several regions share one.
    """

    rows: tuple[LedgerRow, ...]
    coverage: tuple[float, float]
    energy: float | None
    interface: tuple[float, float] | None = None

    @property
    def matter(self) -> float:
        """Atoms' worth of matter in all."""
        return sum(r.matter for r in self.rows)

    def __str__(self) -> str:
        def text(e: float | None) -> str:
            return f"{e:18.8f}" if e is not None else f"{'—':>18}"

        lines = [f"{'region':<18}{'atoms’ worth':>16}{'interface Å²':>16}{'energy eV':>18}"]
        lines += [f"{r.region:<18}{r.matter:16.6f}{r.area:16.4f}{text(r.energy)}" for r in self.rows]
        lines.append(f"{'sum':<18}{self.matter:16.6f}{sum(r.area for r in self.rows):16.4f}{text(self.energy)}")
        low, high = self.coverage
        lines.append(f"coverage of every piece of matter: {low:.12f} … {high:.12f} times")
        if self.interface is not None:
            counted, whole = self.interface
            lines.append(f"interface: {counted:.6f} of {whole:.6f} Å² counted, {counted / whole:.12f} times")
        return "\n".join(lines)
