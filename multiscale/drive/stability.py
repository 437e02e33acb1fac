"""Is an equilibrium stable? The lowest eigenvalues of the tangent, by shift-and-invert Krylov–Schur (SLEPc).

    J φ = λ φ       J = −∂F/∂q on the free dofs (its symmetric part, where the coupler's is not);     stable: λ₁ > 0

The shift lies below the spectrum: it is lowered until J − σ I is positive definite, which the inertia of a factorisation tells. Then the
eigenvalues nearest to σ are the lowest ones, and none can be missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..protocol import Model
from ..types import Array, BoolArray, MultiscaleError, missing
from .linear import LinearSystem, PETSc
from .monolithic import particles

try:
    from slepc4py import SLEPc
except ImportError as error:
    raise missing(
        "slepc4py", "the lowest eigenvalues of a tangent", "apt-get install python3-slepc4py, or conda install slepc4py"
    ) from error


@dataclass(frozen=True)
class Modes:
    """The lowest eigenvalues and their modes.

    Attributes
    ----------
    values : (m,) array
        eV/Å², ascending.
    modes : (m, n_q, 3) array
        Of unit length, zero on fixed dofs.
    """

    values: Array
    modes: Array

    @property
    def stable(self) -> bool:
        """Whether every small displacement costs energy."""
        return bool(self.values[0] > 0)


def lowest_modes(model: Model, q: Array, n: int = 1, *, fixed: BoolArray | None = None, rtol: float = 1e-8) -> Modes:
    """The n lowest eigenvalues of the tangent at q (n_q, 3) and their modes; collective.

    Parameters
    ----------
    model : Model
        Every region that its coupler evaluates must offer STIFFNESS.
    q : (n_q, 3) array
        Å.
    n : int
    fixed : (n_q, 3) bool array, optional
        Instead of the interface's mask. Components without any stiffness (z of plane nodes) count as fixed.
    rtol : float
        Of the eigenvalues.

    Raises
    ------
    MultiscaleError
        If the eigensolver does not converge.
    """
    free = ~(model.interface.fixed if fixed is None else fixed)
    share = model.jacobian(q)
    share = 0.5 * (share + share.T)
    free = free & _held(model, share)
    comm = model.ranks.world.comm
    system = LinearSystem(free, model.interface.reference, particles(model.interface), comm, "direct")
    if not 0 < n < system.n:
        raise MultiscaleError(
            f"a system of {system.n} free components has no {n} lowest modes; ask for fewer, at least 1"
        )
    matrix = system.load(share)
    matrix.setOption(PETSc.Mat.Option.SYMMETRIC, True)
    solver = SLEPc.EPS().create(comm=system.comm)
    solver.setOperators(matrix)
    solver.setProblemType(SLEPc.EPS.ProblemType.HEP)
    solver.setDimensions(n)
    solver.setTolerances(rtol, 500)
    sigma = _below(matrix)
    solver.setWhichEigenpairs(SLEPc.EPS.Which.TARGET_MAGNITUDE)
    solver.setTarget(sigma)
    transform = solver.getST()
    transform.setType(SLEPc.ST.Type.SINVERT)
    ksp = transform.getKSP()
    ksp.setType("preonly")
    ksp.getPC().setType("lu")
    ksp.getPC().setFactorSolverType("mumps")
    # A start that every run, on however many ranks, has alike.
    start = system.vector()
    start.array[:] = np.cos(np.arange(system.rows.start, system.rows.stop))
    solver.setInitialSpace(start)
    solver.solve()
    if solver.getConverged() < n:
        raise MultiscaleError(
            f"only {solver.getConverged()} of {n} eigenvalues converged (shift {sigma:.3g} eV/Å²); ask for fewer, or with a larger rtol"
        )
    order = np.argsort([solver.getEigenvalue(i).real for i in range(solver.getConverged())])[:n]
    values, modes, vector = [], [], system.vector()
    for i in order:
        values.append(float(solver.getEigenpair(int(i), vector).real))
        mode = system.gathered(vector)
        # The sign of an eigenvector means nothing; its largest component is positive.
        largest = mode.ravel()[int(np.abs(mode).argmax())]
        modes.append(mode * (np.sign(largest) / np.linalg.norm(mode)))
    solver.destroy()
    return Modes(np.array(values), np.stack(modes))


def _held(model: Model, share: Any) -> BoolArray:
    """Components (n_q, 3) on which some rank's share has a stiffness."""
    world = model.ranks.world
    mine = np.asarray(abs(share).sum(axis=1)).ravel()
    total: Array = world.sum(mine) if world.size > 1 else mine
    return np.asarray(total > 0).reshape(-1, 3)


def _below(matrix: Any) -> float:
    """A number below all eigenvalues of a symmetric matrix, not far below the lowest."""
    from_zero = _negative(matrix, 0.0)
    if from_zero == 0:
        return 0.0
    diagonal = matrix.getDiagonal()
    diagonal.abs()
    scale = float(diagonal.sum() / matrix.getSize()[0])
    sigma = -1e-3 * scale
    for _ in range(12):
        if _negative(matrix, sigma) == 0:
            return sigma
        sigma *= 4.0
    raise MultiscaleError(
        f"the tangent has eigenvalues below {sigma:.3g} eV/Å², {sigma / scale:.3g} times its mean diagonal; is the state anywhere near an "
        "equilibrium?"
    )


def _negative(matrix: Any, sigma: float) -> int:
    """How many eigenvalues of a symmetric matrix lie below σ: the inertia of an L D Lᵀ factorisation of A − σ I."""
    shifted = matrix.copy()
    shifted.shift(-sigma)
    shifted.setOption(PETSc.Mat.Option.SYMMETRIC, True)
    ksp = PETSc.KSP().create(comm=shifted.comm)
    ksp.setOperators(shifted)
    ksp.setType("preonly")
    pc = ksp.getPC()
    pc.setType("cholesky")
    pc.setFactorSolverType("mumps")
    pc.setFactorSetUpSolverType()
    # A matrix that is singular to round-off has a null pivot: counted as zero, not as an error.
    pc.getFactorMatrix().setMumpsIcntl(24, 1)
    # Inertia is not to be had from a factorisation that exploits definiteness, nor in parallel from a split root (ICNTL 13).
    pc.getFactorMatrix().setMumpsIcntl(13, 1)
    ksp.setUp()
    negative, _zero, _positive = pc.getFactorMatrix().getInertia()
    ksp.destroy()
    shifted.destroy()
    return int(negative)
