"""What a history field does instead, for comparison: damage driven by the largest ψ that a place has ever seen, without bounds.

    2 (1 − d) H = (2 Gc/c) [w′(d)/2ℓ − ℓ Δd],      H(X, t) = max over the past of ½ ε:C:ε        (Miehe, Hofacker & Welschinger 2010)

H remembers the stress concentration of a tip that has passed, where the bound remembers damage alone; the band behind it stays broken wider
than a crack's profile is, and the functional counts more crack than there is. As it is mostly used, with one sweep per load step, the crack
also runs at loads that it could not stand.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from multiscale.continuum import dolfinx_compat as fx
from multiscale.continuum.bounded import BoundedProblem
from multiscale.continuum.phase_field import PhaseField
from multiscale.continuum.reference import rule


class HistoryField(PhaseField):
    """A phase field (AT2) whose irreversibility is a history of the energy density."""

    def _bounded(self, slope: Any, curvature: Any) -> BoundedProblem:
        forms, domain = self.forms, self.parts.domain
        space = fx.quadrature_space(domain, forms.degree)
        points = rule(self.mesh.dim, forms.degree)[0][:, 1:]
        self._history = fx.fem.Function(space)
        self._places = fx.dofs(space, len(points))[: fx.owned_cells(domain)].ravel()
        # The density without its degradation, whose residual part keeps it from being 0/0.
        self._psi = fx.PointExpression(forms.density / forms.degradation, points, domain)
        driving = (1.0 - self._d) ** 2 * self._history * forms.dx
        return super()._bounded(*forms.derivatives(driving + forms.crack))

    def _damage(self, relaxation: float) -> None:
        """One linear solve: the bounds are those of any damage, and never act."""
        now: Any = self._psi().reshape(-1)
        kept = self._history.x.array
        kept[self._places] = np.maximum(kept[self._places], now)
        self._lower[:] = 0.0
        super()._damage(relaxation)
