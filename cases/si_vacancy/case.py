"""A vacancy in silicon: formation energy and migration barrier with a quantum cluster in an interatomic surrounding.

Every description gets the same capped host, clamped at its rim, whose middle is the bond that the jumping atom crosses. Compared are

    all interatomic     the potential that this repository trains (GFN1-xTB data), or Stillinger–Weber without hydrogen
    QM/ML               E_ML(all) + E_QM(cluster) − E_ML(cluster), and the same with smooth site weights
    all quantum         GFN1-xTB on the whole host; the full host's numbers are stored, see all_quantum.py

    E_f = E(vacancy) − E(perfect) + μ,     μ = energy of a bulk atom, by bonds: E(cluster) = n_b e_b + n_h e_h, μ = 2 e_b
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from describe import Make, alone, mixed
from host import Host
from relaxing import minimum

from multiscale import Case, Expect, HybridModel
from multiscale.mep import MepCheck, check_mep
from multiscale.models import default_potential
from multiscale.neb import Path, neb
from multiscale.region import Can, Query
from multiscale.regions import MLRegion
from multiscale.regions.qm import QMRegion
from multiscale.regions.tight_binding import TightBindingRegion

#: Å; silicon's measured lattice constant. GFN1-xTB's own is 5.54: the hosts are compressed by 2 %, in all descriptions alike.
LATTICE = 5.43
OWN = "the goal of this case: a quantum core must give what the whole quantum host gives"


class SiliconVacancy(Case):
    """Formation energy and migration barrier of a vacancy: QM/ML against all quantum and all interatomic."""

    name = "si_vacancy"
    sizes = {
        "small": {"host": 3, "clusters": "2", "core": 4.0, "zones": "0", "images": 3, "reference": False, "fmax": 0.03},
        "full": {"host": 3, "clusters": "2", "core": 4.0, "zones": "0,2", "images": 5, "reference": False, "fmax": 0.03},
    }  # fmt: skip
    expectations = (
        Expect("QM/ML: error of E_f", 0.0, tolerance=0.05, source=OWN, unit="eV"),
        Expect("QM/ML: error of the barrier", 0.0, tolerance=0.05, source=OWN, unit="eV"),
        Expect("coverage error", 0.0, tolerance=1e-10, source="every piece of matter is counted once"),
        Expect("QM/ML: work against energy", 0.005, kind="at most", source="check_mep: E_b − E_a = −∫F·dq", unit="eV"),
    )
    citations = ("10.1021/acs.jctc.7b00118", "10.1063/1.1329672", "10.1021/cr5004419")

    def build(self, run):
        """The host and the ways of describing it."""
        s = run.settings
        host = Host(LATTICE, s["host"])
        potential = default_potential()
        cheap: Make = lambda atoms, links: MLRegion(potential, atoms, link_atoms=links)  # noqa: E731
        run.say(f"host {host.perfect.symbols}, {int((~host.rim).sum())} of its atoms free")
        return host, cheap

    def measure(self, run, built):
        """E_f and the path of every description, each written as it is known."""
        host, cheap = built
        s, found = run.settings, {}
        mu_cheap, mu = chemical_potential(cheap, run), chemical_potential(quantum, run)
        found["ML"] = self._examine(run, "ML", host, lambda v: alone(host, v, cheap), mu_cheap)
        if s["reference"]:
            found["QM"] = self._examine(run, "QM", host, lambda v: alone(host, v, quantum), mu)
        else:
            found["QM"] = self._stored(run, mu)
        for hops in (int(h) for h in str(s["clusters"]).split(",")):
            for zone in (float(z) for z in str(s["zones"]).split(",")):
                engine = quantum if zone == 0 else sites(core_zeros(host, hops, cheap, run))
                name = f"QM/ML {hops} bonds" + (f", zone {zone:g} Å" if zone else "")
                make = lambda v, e=engine, h=hops, z=zone: mixed(host, v, e, cheap, h, s["core"], z)  # noqa: E731
                # Aligned sites leave an atom of the crystal with the interatomic model's energy, which is what is put back then.
                found[name] = self._examine(run, name, host, make, mu_cheap if zone else mu)
        self._judge(run, found)
        return found

    def _examine(self, run: Any, name: str, host: Host, make: Any, mu: float) -> dict[str, Any]:
        """Relax the perfect host, the vacancy and the path; record what is found."""
        s = run.settings
        with run.timed(name):
            perfect = minimum(make(False), host.perfect.positions)
            model: HybridModel = make(True)
            vacancy = minimum(model, np.delete(perfect.q, host.gone, axis=0))
            path = neb(model, vacancy.q, host.mirrored(vacancy.q), images=s["images"], fmax=s["fmax"])
            check = check_mep(model, path)
        ledger = model.ledger(vacancy.q)
        formation = vacancy.energy - perfect.energy + mu
        run.record(f"{name}: E_f", formation, "eV")
        run.record(f"{name}: barrier", path.barrier, "eV")
        run.record(f"{name}: path converged", path.converged)
        run.record(f"{name}: perpendicular force", check.perpendicular, "eV/Å")
        run.record(f"{name}: work against energy", check.work, "eV")
        run.record(f"{name}: evaluations", vacancy.evaluations + path.evaluations)
        return {
            "E_f": formation,
            "barrier": path.barrier,
            "path": path,
            "check": check,
            "ledger": ledger,
            "q": vacancy.q,
        }

    def _stored(self, run: Any, mu: float) -> dict[str, Any]:
        """The all-quantum numbers of this host, made by all_quantum.py."""
        stored = json.loads((self.folder / "all_quantum.json").read_text())[str(run.settings["host"])]
        formation = stored["formation_without_mu"] + mu
        run.record("QM: E_f", formation, "eV")
        run.record("QM: barrier", stored["barrier"], "eV")
        return {"E_f": formation, "barrier": stored["barrier"], "profile": stored["profile"]}

    def _judge(self, run: Any, found: dict[str, Any]) -> None:
        """Differences from the all-quantum host; the largest cluster with the sharp form is what is judged."""
        best = [n for n in found if n.startswith("QM/ML") and "zone" not in n][-1]
        for name in (n for n in found if n != "QM"):
            run.record(f"{name}: E_f − QM", found[name]["E_f"] - found["QM"]["E_f"], "eV")
            run.record(f"{name}: barrier − QM", found[name]["barrier"] - found["QM"]["barrier"], "eV")
        run.record("QM/ML: error of E_f", abs(found[best]["E_f"] - found["QM"]["E_f"]), "eV")
        run.record("QM/ML: error of the barrier", abs(found[best]["barrier"] - found["QM"]["barrier"]), "eV")
        run.record("QM/ML: work against energy", found[best]["check"].work, "eV")
        low, high = found[best]["ledger"].coverage
        run.record("coverage error", max(abs(low - 1.0), abs(high - 1.0)))

    def plot(self, run, found):
        """Energies along the paths, and the errors of the quantum cores."""
        import matplotlib.pyplot as plt

        figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.2))
        for name, f in found.items():
            if "path" in f:
                draw_path(left, name, f["path"], f["check"])
            else:
                profile = np.asarray(f["profile"])
                left.plot(np.linspace(0, 1, len(profile)), profile, "ks--", ms=5, label=name)
        left.set(xlabel="position along the path", ylabel="E − E(vacancy), eV", title="migration of the vacancy")
        left.legend(frameon=False, fontsize=8)
        names = [n for n in found if n != "QM"]
        at = np.arange(len(names))
        for k, (key, colour) in enumerate((("E_f", "#1d3557"), ("barrier", "#e76f51"))):
            values = [found[n][key] - found["QM"][key] for n in names]
            right.bar(at + 0.38 * (k - 0.5), values, 0.36, label=f"{key} − QM", color=colour)
        right.axhspan(-0.05, 0.05, color="#cccccc", alpha=0.5, label="goal")
        right.axhline(0.0, color="k", lw=0.6)
        right.set_xticks(at, [n.replace("QM/ML ", "").replace(", ", "\n") for n in names], fontsize=8)
        right.set(ylabel="eV", title="difference from the all-quantum host")
        right.legend(frameon=False, fontsize=8)
        figure.tight_layout()
        run.save_figure(figure, "si_vacancy.png")


def draw_path(axis: Any, name: str, path: Path, check: MepCheck) -> None:
    """Images as points, the cubic of energies and forces through images and midpoints as a line."""
    from scipy.interpolate import CubicHermiteSpline

    s = np.linspace(0.0, check.arc[-1], 200)
    curve = CubicHermiteSpline(check.arc, check.energies - path.energies[0], -check.along)(s)
    (line,) = axis.plot(s / s[-1], curve, lw=1.2, label=name)
    axis.plot(path.arc / path.arc[-1], path.energies - path.energies[0], "o", ms=4, color=line.get_color())


def quantum(atoms, links):
    """GFN1-xTB with a total energy only."""
    return QMRegion(atoms, link_atoms=links)


def sites(zeros: Mapping[str, float]) -> Make:
    """GFN1-xTB with site energies, its zeros such that an atom of the crystal has the interatomic model's energy."""
    return lambda atoms, links: TightBindingRegion(atoms, link_atoms=links, energy_zero=zeros)


def core_zeros(host: Host, hops: int, cheap: Make, run: Any) -> dict[str, float]:
    """Energy zeros, eV: the mean difference of the site energies at the two atoms of the bond, and at the caps; on one rank, for all.

    Site weights take an atom's energy out of the sum with the atom: without aligned zeros E_f is wrong by their difference.
    """
    zeros: dict[str, float] = {}
    if run.first:
        atoms, links, _ = host.within(hops, vacancy=False)
        want = Query(Can.SITE_ENERGIES)
        high, low = TightBindingRegion(atoms, link_atoms=links), cheap(atoms, links)
        left = (
            high.evaluate(atoms.positions, want)["site_energies"] - low.evaluate(atoms.positions, want)["site_energies"]
        )
        core = np.argsort(np.linalg.norm(atoms.positions - host.middle, axis=1), kind="stable")[:2]
        zeros = {"Si": float(left[core].mean()), "H": float(left[atoms.symbols == "H"].mean())}
    found: dict[str, float] = run.world.bcast(zeros)
    run.say(f"energy zeros of the quantum sites: {found}")
    return found


def chemical_potential(make: Make, run: Any) -> float:
    """Energy of a bulk atom, eV, from two capped clusters: E = n_b e_b + n_h e_h, μ = 2 e_b; on one rank, for all."""
    energies, bonds, caps = [], [], []
    if run.first:
        for host in (Host(LATTICE, 1), Host(LATTICE, 2)):
            atoms = host.perfect
            region = make(atoms, np.zeros(len(atoms), dtype=bool))
            energies.append(float(region.evaluate(atoms.positions, Query(Can.ENERGY))["energy"]))
            caps.append(len(host.cluster.links))
            bonds.append((4 * len(host.cluster.symbols) - caps[-1]) / 2)
    e = np.linalg.solve(np.column_stack([bonds, caps]), energies)[0] if run.first else None
    return 2.0 * float(run.world.bcast(e))


if __name__ == "__main__":
    SiliconVacancy().main()
