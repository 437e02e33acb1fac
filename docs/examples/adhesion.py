"""The law of silicon's (111) plane, measured on Stillinger and Weber's potential, fitted, and made fit for a mesh."""

from multiscale.adhesion.excess import ExcessCurve
from multiscale.adhesion.fits import fit_exponential, fit_ppr
from multiscale.adhesion.law import extract
from multiscale.adhesion.slabs import Slabs
from multiscale.models import StillingerWeber
from multiscale.regions import MLRegion
from multiscale.types import GPA_PER_EV_A3, J_M2_PER_EV_A2

slabs = Slabs.of("Si", a=5.43095)
region = MLRegion(StillingerWeber(), slabs.atoms)
law = extract(region, slabs, {"potential": "Stillinger-Weber"}, opened=region.reach + 1.5)
curve, mesh = law.curve, ExcessCurve(law.curve, ratio=50)
print(f"W {curve.toughness * J_M2_PER_EV_A2:.4f} J/m²")
print(f"strength {curve.strength * GPA_PER_EV_A3:.2f} GPa, {curve.peak:.3f} Å open; for a mesh {mesh.peak:.3f} Å")
print(
    f"closed {curve.stiffness * GPA_PER_EV_A3:.1f} GPa/Å; for a mesh {mesh.stiffness / curve.stiffness:.0f} times that"
)
print(fit_exponential(curve))
print(fit_ppr(curve))
