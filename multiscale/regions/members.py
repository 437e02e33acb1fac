"""Every member of a committee on one graph: E_m = Σ_i w_i e_i^m and F_m = −∂E_m/∂x, for error bars."""

from __future__ import annotations

import numpy as np

from ..models.committee import Committee
from ..region import Answer, Can, Query
from ..types import Array, MultiscaleError
from .hessian import gradient
from .ml import MLRegion


def member_answers(region: MLRegion, x: Array, weights: Array | None = None) -> list[Answer]:
    """Energy, forces and site energies of every member of a region's committee, this rank's share.

    Parameters
    ----------
    region : MLRegion
        A region of a :class:`~multiscale.models.Committee`.
    x : (n_dofs, 3) array
        Å.
    weights : (n_sites,) array, optional
        Site weights; one everywhere unless given. Sites of weight zero are left out, their energies are zero.

    Raises
    ------
    MultiscaleError
        If the region has no committee, or a member's answer is not finite.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from multiscale.models import Committee, StillingerWeber
    >>> silicon = MLRegion(Committee([StillingerWeber(20.0), StillingerWeber(22.0)]), bulk("Si", a=5.6))
    >>> np.ptp([a.energy for a in member_answers(silicon, silicon.reference)]) < 1e-12  # no angle is bent
    True
    """
    if not isinstance(region.model, Committee):
        raise MultiscaleError(
            f"member_answers was given a region of {region.model.name}; it needs one of a Committee, MLRegion(Committee([...]), atoms)"
        )
    x = np.asarray(x, dtype=float)
    w = np.ones(region.n_sites) if weights is None else np.asarray(weights, dtype=float)
    region.check(x, Query(Can.ENERGY | Can.FORCES, w))
    with region.together():
        edges, nodes, centres = region._edges(x, w != 0.0)
        vectors = edges.vectors.requires_grad_(True)
        model = region._model()
        assert isinstance(model, Committee)
        # A rank on which there is nothing to compute calls no model.
        none = vectors.new_zeros((len(model.members), 0)).double() * vectors.sum()
        energies = model.site_energies(edges) if edges.n_receivers else none
        zero, counted = energies.new_tensor(region._zeros[centres]), energies.new_tensor(w[centres])
        answers = []
        for member in energies:
            site = member - zero
            total = (counted * site).sum()
            g = gradient(total, vectors, again=True).detach().double().cpu().numpy()
            forces, full = -region._scatter(edges, nodes, g), np.zeros(region.n_sites)
            full[centres] = site.detach().cpu().numpy()
            region._check_finite({"forces": forces}, centres, full[centres])
            answers.append(Answer(energy=float(total.detach()), forces=forces, site_energies=full))
    return answers
