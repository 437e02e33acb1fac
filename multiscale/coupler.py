"""The coupling API: what a method developer writes.

A coupler turns the regions' answers into one energy (or none) and one set of forces. It is numpy only: it holds frozen settings and
no state, runs identically on every rank and contains no communication, because ``ask`` is the one collective and is handed in.

    weights = interface.weights(q)                              Σ_r w_r = 1
    answers = ask(q, {r: Query(ENERGY | FORCES, weights[r])})   all regions at once, each on its own ranks
    forces  = Σ_r interface.pull(r, answers[r]["forces"])
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .constraint import Constraint
from .interface import Interface
from .region import Answer, Can, Query
from .types import Array

#: The collective evaluation of regions: (q, {name: Query}) -> {name: Answer}, complete on every rank.
Ask = Callable[[Array, Mapping[str, Query]], dict[str, Answer]]

#: (name, weights) -> this rank's share of ∂²E_r/∂x² (3 n_dofs, 3 n_dofs) of a region, a ``scipy.sparse`` matrix.
Stiffness = Callable[[str, Array | None], Any]


@dataclass(frozen=True)
class Claims:
    """What a coupler promises; the conformance suite holds it to each, and to claiming what holds.

    Attributes
    ----------
    conservative : bool
        Forces are −∂E/∂q of the energy it returns.
    momentum : bool
        Forces on an isolated body sum to zero (and, for weights that ride on the matter, exert no torque).
    patch : bool
        A homogeneous deformation within ±2 % of the reference is an equilibrium of the interior.
    """

    conservative: bool
    momentum: bool
    patch: bool

    def __and__(self, other: Claims) -> Claims:
        """What both promise: a method that wraps another promises no more than that one keeps."""
        return Claims(
            self.conservative and other.conservative, self.momentum and other.momentum, self.patch and other.patch
        )


@dataclass(frozen=True)
class Evaluation:
    """The state of a hybrid at q, the same on every rank.

    Attributes
    ----------
    energy : float or None
        eV; None when the method has no energy (never a zero in its place).
    forces : (n_q, 3) array
        eV/Å.
    parts : mapping of name to float
        Energies per region with the sign and weight they are counted with, eV; empty where there is no energy.
    """

    energy: float | None
    forces: Array
    parts: Mapping[str, float] = field(default_factory=dict)


class Coupler(ABC):
    """A coupling method.

    Class attributes
    ----------------
    needs : Can
        What every region it evaluates must offer.
    claims : Claims
        Or a property, where they depend on the settings.
    frames : tuple of str
        Where the weights may live: in the reference, or also in the current configuration (moving regions).
    references : tuple of str
        DOIs or arXiv numbers.
    """

    frames: ClassVar[tuple[str, ...]] = ("reference", "current")
    needs: Can
    references: tuple[str, ...] = ()

    @property
    @abstractmethod
    def claims(self) -> Claims:
        """What it promises."""

    def required(self, interface: Interface) -> dict[str, Can]:
        """What each region it evaluates must offer: ``needs``, and site energies where weights move."""
        moving = Can.SITE_ENERGIES if interface.moving else Can.NOTHING
        return {r: self.needs | moving for r in interface.shared}

    def prepare(self, q: Array, interface: Interface, ask: Ask) -> Any:
        """What is computed once per (re)build or load step at the predicted state q: ghost forces, projections."""
        return None

    @abstractmethod
    def evaluate(self, q: Array, interface: Interface, ask: Ask, prepared: Any) -> Evaluation:
        """Energy and forces at the shared positions q (n_q, 3), Å."""

    def jacobian(self, q: Array, interface: Interface, stiffness: Stiffness, prepared: Any) -> Any:
        """−∂F/∂q (3 n_q, 3 n_q), sparse: this rank's additive share, for Newton's method; not symmetric for methods without an energy.

        Unless a method says otherwise Σ_r M_rᵀ K_r(w_r) M_r, which is exact for weighted energies with weights that belong to the
        material; where weights move, the terms with their derivatives are left out.
        """
        total = 0
        for r, w in interface.weights(q).items():
            m = interface.embeddings[r].matrix
            total = total + m.T @ stiffness(r, w) @ m
        return total

    def constraint(self, interface: Interface) -> Constraint | None:
        """What ties dofs to one another, A q = b, constant; drivers keep to it, and the forces of :meth:`evaluate` know nothing of it.

        Methods that wrap another pass on what that one says.
        """
        return None

    def masses(self, interface: Interface) -> Array:
        """Masses (n_q,), amu, with which the shared dofs move: by default the regions', weighed by their shares at the dofs."""
        return interface.masses()

    def count(self, q: Array, interface: Interface) -> dict[str, Array]:
        """The weight (n_sites,) with which each region's sites are counted; the ledger adds them up."""
        return interface.weights(q)
