"""Laws of a crystal's interface for arms of the same crystal: as measured on its potential, weakened, and closed forms fitted to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from multiscale.adhesion.curve import MeasuredCurve
from multiscale.adhesion.excess import ExcessCurve
from multiscale.adhesion.fits import ParkPaulinoRoesler, fit_exponential, fit_ppr
from multiscale.adhesion.law import extract
from multiscale.adhesion.slabs import Slabs
from multiscale.continuum.cohesive_laws import Reversible
from multiscale.continuum.traction import Curve, Exponential
from multiscale.fracture.material import CrackMaterial
from multiscale.models import StillingerWeber, Tersoff, default_potential
from multiscale.regions.ml import MLRegion
from multiscale.types import MultiscaleError

MODELS = {
    "Stillinger-Weber": (StillingerWeber, 5.43095),
    "Tersoff": (Tersoff, 5.432),
    "MACE": (default_potential, 5.542),
}
SPLINE, BINDING, PPR = FORMS = ("spline", "universal binding", "Park–Paulino–Roesler")


@dataclass(frozen=True, eq=False)
class Interface:
    """Silicon of one potential and the law of its (111) shuffle plane."""

    material: CrackMaterial
    curve: MeasuredCurve

    @classmethod
    def of(cls, name: str) -> Interface:
        """Measure constants and law; by every rank for itself, which costs no message."""
        make, guess = MODELS[name]
        material = CrackMaterial.of(make(), guess=guess)
        slabs = Slabs.of("Si", material.a)
        region = MLRegion(material.model, slabs.atoms, balance=None)
        where = {"potential": material.model.name, "doi": material.model.doi, "plane": "(111), shuffle"}
        return cls(material, extract(region, slabs, where, opened=region.reach + 1.5).curve)

    def weakened(self, factor: float) -> MeasuredCurve:
        """The same curve with tractions and energies times ``factor``, and what was done in its provenance."""
        c = self.curve
        made = {**c.provenance, "scaled": f"tractions and energies times {factor:g}; not measured on any potential"}
        return MeasuredCurve(c.openings + c.shift, factor * c.tractions, factor * c.energies, c.tail, made)

    def form(self, name: str, factor: float) -> Curve:
        """Rigid separation: the spline, or a closed form with the spline's work of separation, fitted before it is weakened."""
        if name == SPLINE:
            return self.curve if factor == 1.0 else self.weakened(factor)
        fitted: Any = (fit_exponential if name == BINDING else fit_ppr)(self.curve).curve
        if name == BINDING:
            return Exponential(factor * fitted.strength, factor * fitted.toughness)
        return ParkPaulinoRoesler(
            factor * fitted.strength, factor * fitted.toughness, fitted.shape, fitted.slope_at_peak
        )

    def law(self, curve: Curve, ratio: float) -> Reversible:
        """The law for a mesh of the crystal; sliding is as dear as opening."""
        return Reversible(ExcessCurve(curve, ratio, self.curve.stiffness), shear=1.0)

    def refusal(self, ratio: float) -> str:
        """Why there is no excess law of the interface as it was measured; empty where there is one."""
        try:
            ExcessCurve(self.curve, ratio)
        except MultiscaleError as error:
            return str(error)
        return ""
