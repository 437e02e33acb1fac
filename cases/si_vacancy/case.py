"""A vacancy in silicon: formation energy and migration barrier with a quantum cluster in an interatomic surrounding.

Every description gets the same capped host, clamped at its rim, whose middle is the bond that the jumping atom crosses. Compared are

    all interatomic     the potential that this repository trains (GFN1-xTB data), or Stillinger–Weber without hydrogen
    QM/ML               E_ML(all) + E_QM(cluster) − E_ML(cluster), and the same with smooth site weights
    all quantum         GFN1-xTB on the whole host; the full host's numbers are stored, see all_quantum.py; the barrier of Si98H78
                        is that of the state halfway, which inversion makes stationary: a path with two humps would be a little higher

    E_f = E(vacancy) − E(perfect) + μ,     μ = energy of a bulk atom, by bonds: E(cluster) = n_b e_b + n_h e_h, μ = 2 e_b
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from describe import Make, alone, mixed, state
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
from multiscale.types import MultiscaleError

#: Å; silicon's measured lattice constant. GFN1-xTB's own is 5.54: the hosts are compressed by 2 %, in all descriptions alike.
LATTICE = 5.43
OWN = "the goal of this case: a quantum core must give what the whole quantum host gives"


class SiliconVacancy(Case):
    """Formation energy and migration barrier of a vacancy: QM/ML against all quantum and all interatomic."""

    name = "si_vacancy"
    sizes = {
        "small": {
            "host": 3, "clusters": "2", "core": 4.0, "zones": "0", "cores": "", "images": 5, "reference": False, "fmax": 0.03,
        },
        "full": {
            "host": 3, "clusters": "2", "core": 4.0, "zones": "0,2", "cores": "4,5,6,7,8,10", "images": 5, "reference": False,
            "fmax": 0.03,
        },
    }  # fmt: skip
    expectations = (
        Expect("QM/ML: error of E_f", 0.0, tolerance=0.05, source=OWN, unit="eV"),
        # The barrier itself is 0.02 eV: the goal of 0.05 eV would be met by none at all.
        Expect("QM/ML: error of the barrier", 0.0, tolerance=0.01, source=OWN, unit="eV"),
        Expect("QM/ML: path converged", 1, source="a barrier is that of a relaxed path"),
        Expect("coverage error", 0.0, tolerance=1e-10, source="every piece of matter is counted once"),
        Expect("QM/ML: work against energy", 0.005, kind="at most", source="check_mep: E_b − E_a = −∫F·dq", unit="eV"),
    )
    citations = ("10.1021/acs.jctc.7b00118", "10.1063/1.1329672", "10.1021/cr5004419")

    def build(self, run):
        """The host and the ways of describing it; settings are looked at before anything is calculated."""
        s = run.settings
        clusters, zones, cores = (numbers(name, s[name]) for name in ("clusters", "zones", "cores"))
        stored = json.loads((self.folder / "all_quantum.json").read_text())
        if 0.0 not in zones or not clusters or not all(c == int(c) and 1 <= c <= s["host"] for c in clusters):
            raise MultiscaleError(
                f"si_vacancy was given clusters {s['clusters']!r} and zones {s['zones']!r} for a host of {s['host']} bonds; "
                "it needs clusters of 1 bond up to the host's, and the zone 0 among the zones, whose numbers are judged"
            )
        if not s["reference"] and str(s["host"]) not in stored:
            raise MultiscaleError(
                f"si_vacancy has no stored all-quantum numbers for a host of {s['host']} bonds; make them by all_quantum.py, "
                "or say --reference"
            )
        host, potential = Host(LATTICE, s["host"]), default_potential()
        cheap: Make = lambda atoms, links: MLRegion(potential, atoms, link_atoms=links)  # noqa: E731
        run.say(f"host {host.perfect.symbols}, {int((~host.rim).sum())} of its atoms free")
        return host, cheap, sorted(int(c) for c in clusters), zones, cores, stored.get(str(s["host"]))

    def measure(self, run, built):
        """E_f and the path of every description, each written as it is known."""
        host, cheap, clusters, zones, cores, stored = built
        s, found = run.settings, {}
        mu = chemical_potential(quantum, run)
        found["ML"] = self._examine(run, "ML", host, lambda v: alone(host, v, cheap), chemical_potential(cheap, run))
        if s["reference"]:
            found["QM"] = self._examine(run, "QM", host, lambda v: alone(host, v, quantum), mu)
        else:
            found["QM"] = self._stored(run, stored, mu)
        for hops in clusters:
            zeros = core_zeros(host, hops, cheap, run) if any(zones) else {}
            for zone in zones:
                name = f"QM/ML {hops} bonds" + (f", zone {zone:g} Å" if zone else "")
                engine = sites(zeros) if zone else quantum
                make = lambda v, e=engine, h=hops, z=zone: mixed(host, v, e, cheap, h, s["core"], z)  # noqa: E731
                found[name] = self._examine(run, name, host, make, mu - zeros["Si"] if zone else mu)
        best = f"QM/ML {clusters[-1]} bonds"
        self._judge(run, found, best)
        self._write(run, host, found[best]["q"], clusters[-1])
        return found, self._cores(run, host, cheap, clusters[-1], cores, mu - found["QM"]["E_f"])

    def _cores(
        self, run: Any, host: Host, cheap: Make, hops: int, cores: list[float], shift: float
    ) -> list[tuple[float, float]]:
        """E_f − QM of smooth site weights against the radius of their core, in the largest cluster, over a zone of 2 Å."""
        zeros, rows = core_zeros(host, hops, cheap, run) if cores else {}, []
        for core in cores:
            perfect, broken = (mixed(host, v, sites(zeros), cheap, hops, core, 2.0) for v in (False, True))
            start = minimum(perfect, host.perfect.positions)
            energy = minimum(broken, np.delete(start.q, host.gone, axis=0)).energy
            # The zeros are taken off every quantum site, the removed atom's too: what is put back is without it.
            rows.append((core, energy - start.energy + shift - zeros["Si"]))
            run.record(f"zone 2 Å, core {core:g} Å: E_f − QM", rows[-1][1], "eV")
        return rows

    @staticmethod
    def _write(run: Any, host: Host, q: np.ndarray, hops: int) -> None:
        """The relaxed vacancy, with the weight of each region."""
        atoms, _ = state(host, vacancy=True)
        own = host.within(hops, vacancy=True)[2].own
        inside = np.isin(np.arange(len(atoms)), own[own >= 0]).astype(float)
        run.write_atoms("atoms.extxyz", atoms.get_chemical_symbols(), q, arrays={"w_qm": inside, "w_ml": 1.0 - inside})

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

    def _stored(self, run: Any, stored: dict[str, Any], mu: float) -> dict[str, Any]:
        """The all-quantum numbers of this host, made by all_quantum.py."""
        formation = stored["formation_without_mu"] + mu
        run.record("QM: E_f", formation, "eV")
        run.record("QM: barrier", stored["barrier"], "eV")
        return {"E_f": formation, "barrier": stored["barrier"], "profile": stored["profile"]}

    def _judge(self, run: Any, found: dict[str, Any], best: str) -> None:
        """Differences from the all-quantum host; the largest cluster with the sharp form is what is judged."""
        for name in (n for n in found if n != "QM"):
            run.record(f"{name}: E_f − QM", found[name]["E_f"] - found["QM"]["E_f"], "eV")
            run.record(f"{name}: barrier − QM", found[name]["barrier"] - found["QM"]["barrier"], "eV")
        run.record("QM/ML: error of E_f", abs(found[best]["E_f"] - found["QM"]["E_f"]), "eV")
        run.record("QM/ML: error of the barrier", abs(found[best]["barrier"] - found["QM"]["barrier"]), "eV")
        run.record("QM/ML: path converged", int(found[best]["path"].converged))
        run.record("QM/ML: work against energy", found[best]["check"].work, "eV")
        low, high = found[best]["ledger"].coverage
        run.record("coverage error", max(abs(low - 1.0), abs(high - 1.0)))

    def plot(self, run, data):
        """Energies along the paths, and the errors of the quantum cores."""
        import matplotlib.pyplot as plt

        found, rows = data
        figure, axes = plt.subplots(1, 3 if rows else 2, figsize=(14.5 if rows else 10.5, 4.2))
        left, right = axes[:2]
        if rows:
            axes[2].plot(*np.array(rows).T, "o-", color="#1d3557")
            axes[2].axhspan(-0.05, 0.05, color="#cccccc", alpha=0.5)
            axes[2].set(xlabel="radius of the core, Å", ylabel="E_f − QM, eV", title="smooth site weights, zone of 2 Å")
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


def numbers(name: str, text: Any) -> list[float]:
    """Numbers separated by commas."""
    try:
        return [float(word) for word in str(text).split(",") if word]
    except ValueError as error:
        raise MultiscaleError(f"si_vacancy needs --{name} as numbers separated by commas, got {text!r}") from error


def sites(zeros: Mapping[str, float]) -> Make:
    """GFN1-xTB with site energies, zeros taken off."""
    return lambda atoms, links: TightBindingRegion(atoms, link_atoms=links, energy_zero=zeros)


def core_zeros(host: Host, hops: int, cheap: Make, run: Any) -> dict[str, float]:
    """Energy zeros, eV: the mean difference of the site energies at the two atoms of the bond, and at the caps; on one rank, for all.

    Where an atom leaves, its site leaves both sums: E_f with weighted sites is E(vacancy) − E(perfect) + μ_QM − zero.
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
