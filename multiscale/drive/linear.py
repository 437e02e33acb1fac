"""Distributed linear systems of mixed atoms and nodes: J d = F on the free dofs, through PETSc.

    direct    one sparse LU factorisation (MUMPS on several ranks)
    krylov    FGMRES with a block preconditioner, one block after the other
    atoms     of it: the sparse stiffness of their bonds, by LU (on several ranks each by its own part)
    nodes     of it: smoothed-aggregation multigrid (GAMG) with the rigid-body modes

J need not be symmetric. Every rank hands in its additive share of J over all dofs; PETSc adds them up on the ranks that own the rows.
Rows are dealt out in order: atoms first, as they are in q, then nodes.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from ..types import Array, BoolArray, IntArray, MultiscaleError, missing

try:
    from petsc4py import PETSc
except ImportError as error:
    raise missing(
        "petsc4py",
        "Newton's method",
        "install FEniCSx: apt-get install python3-dolfinx (Debian), or conda install -c conda-forge fenics-dolfinx",
    ) from error

Method = Literal["auto", "direct", "krylov"]
#: Free components up to which a direct factorisation is quicker than iterating: of plane problems, and of those in space.
DIRECT = {2: 200_000, 3: 15_000}


class LinearSystem:
    """The rows of the free components, dealt out over the ranks, and solvers of systems with them.

    Parameters
    ----------
    free : (n_q, 3) bool array
        Which components move.
    reference : (n_q, 3) array
        Å; for the rigid-body modes of the nodes.
    atoms : (n_q,) bool array
        Which dofs are particles; the others are nodes of a mesh.
    comm : mpi4py communicator or None
    method : {"auto", "direct", "krylov"}
    rtol : float
        Tolerance of the iteration, relative to the right-hand side.
    """

    def __init__(
        self,
        free: BoolArray,
        reference: Array,
        atoms: BoolArray,
        comm: Any = None,
        method: Method = "auto",
        rtol: float = 1e-6,
    ) -> None:
        if method not in ("auto", "direct", "krylov"):
            raise MultiscaleError(f"a linear system is solved by 'auto', 'direct' or 'krylov', got {method!r}")
        self.comm = PETSc.COMM_SELF if comm is None else comm
        self.free, self.rtol, self.reference = free, rtol, reference
        self.index: IntArray = np.flatnonzero(free.ravel())
        self.n = len(self.index)
        self._of_atoms = np.repeat(atoms, 3)[self.index]
        # A mesh tells best how many dimensions the problem has: atoms of a plane one may be a slab that moves in three.
        telling = self.index if self._of_atoms.all() else self.index[~self._of_atoms]
        plane = not (telling % 3 == 2).any()
        self.method = method if method != "auto" else ("direct" if self.n <= DIRECT[2 if plane else 3] else "krylov")
        size, rank = (1, 0) if comm is None else (comm.Get_size(), comm.Get_rank())
        # No dof is cut in two: multigrid wants the components of a node together.
        first = np.searchsorted(self.index // 3, [k * len(free) // size for k in range(size + 1)])
        first[-1] = self.n
        self.rows = slice(int(first[rank]), int(first[rank + 1]))
        self.matrix: Any = None

    # -- assembly -----------------------------------------------------------------------------------------------

    def vector(self) -> Any:
        """A PETSc vector over the free components."""
        return PETSc.Vec().createMPI((self.rows.stop - self.rows.start, self.n), comm=self.comm)

    def load(self, share: sp.spmatrix) -> Any:
        """Take this rank's share of J (3 n_q, 3 n_q) and add all of them up; gives the PETSc matrix. Collective."""
        mine = self._summed(sp.csr_matrix(share)[self.index][:, self.index])
        mine.sum_duplicates()
        # Rows without any entry (z of plane nodes) take no force: one on their diagonal leaves them where they are.
        largest = np.zeros(mine.shape[0])
        filled = np.diff(mine.indptr) > 0
        largest[filled] = np.maximum.reduceat(np.abs(mine.data), mine.indptr[:-1][filled]) if filled.any() else 0.0
        idle = np.flatnonzero(largest == 0)
        ones = sp.csr_matrix((np.ones(len(idle)), (idle, self.rows.start + idle)), shape=mine.shape)
        # Direct factorisations want every diagonal entry in the pattern.
        rows = np.arange(mine.shape[0])
        pattern = sp.csr_matrix((np.zeros(len(rows)), (rows, self.rows.start + rows)), shape=mine.shape)
        mine = (mine + ones + pattern).tocsr()
        if self.matrix is not None:
            self.matrix.destroy()
        local = self.rows.stop - self.rows.start
        csr = (mine.indptr.astype(PETSc.IntType), mine.indices.astype(PETSc.IntType), mine.data)
        self.matrix = PETSc.Mat().createAIJ(((local, self.n), (local, self.n)), csr=csr, comm=self.comm)
        return self.matrix

    def _summed(self, share: sp.csr_matrix) -> sp.csr_matrix:
        """The rows that this rank owns, of the sum of all ranks' shares (n, n)."""
        if self.comm.size == 1:
            return share
        comm = _mpi(self.comm)
        first = comm.allgather(self.rows.start) + [self.n]
        pieces = [share[first[k] : first[k + 1]] for k in range(self.comm.size)]
        got = comm.alltoall([(p.indptr, p.indices, p.data) for p in pieces])
        shape = (self.rows.stop - self.rows.start, self.n)
        total = sp.csr_matrix(shape)
        for indptr, indices, data in got:
            total = total + sp.csr_matrix((data, indices, indptr), shape=shape)
        return total

    # -- solution -----------------------------------------------------------------------------------------------

    def configure(self, ksp: Any) -> None:
        """Set a KSP up for this system (its operators are set already)."""
        prefix = f"multiscale_{id(self):x}_"
        options = self._options()
        database = PETSc.Options()
        ksp.setOptionsPrefix(prefix)
        for name, value in options.items():
            database[prefix + name] = value
        if self.method == "krylov" and self._mixed():
            pc = ksp.getPC()
            pc.setType("fieldsplit")
            pc.setFieldSplitIS(("atoms", self._field(True)), ("nodes", self._field(False)))
        ksp.setFromOptions()
        for name in options:
            database.delValue(prefix + name)

    def _mixed(self) -> bool:
        return bool(self._of_atoms.any() and not self._of_atoms.all())

    def _options(self) -> dict[str, Any]:
        if self.method == "direct":
            out: dict[str, Any] = {"ksp_type": "preonly", "pc_type": "lu"}
            if self.comm.size > 1:
                out["pc_factor_mat_solver_type"] = "mumps"
            return out
        bonds = {"ksp_type": "preonly", "pc_type": "lu"}
        if self.comm.size > 1:
            bonds |= {"pc_type": "bjacobi", "sub_pc_type": "lu"}
        grid = {
            "ksp_type": "preonly",
            "pc_type": "gamg",
            "mg_levels_ksp_type": "chebyshev",
            "mg_levels_pc_type": "jacobi",
        }
        common = {"ksp_type": "fgmres", "ksp_gmres_restart": 100, "ksp_max_it": 1000, "ksp_rtol": self.rtol}
        if not self._mixed():
            only = bonds if self._of_atoms.all() else grid
            return common | {k: v for k, v in only.items() if k != "ksp_type"}
        split = {"pc_fieldsplit_type": "multiplicative"}
        split |= {f"fieldsplit_atoms_{k}": v for k, v in bonds.items()}
        split |= {f"fieldsplit_nodes_{k}": v for k, v in grid.items()}
        return common | split

    def _field(self, atoms: bool) -> Any:
        """The rows of the atoms or of the nodes; the nodes' carry the rigid-body modes for multigrid."""
        mine = np.arange(self.rows.start, self.rows.stop)
        chosen = mine[self._of_atoms[mine] == atoms]
        rows = PETSc.IS().createGeneral(chosen.astype(PETSc.IntType), comm=self.comm)
        if not atoms:
            per_node = np.bincount(self.index[~self._of_atoms] // 3)
            per_node = np.unique(per_node[per_node > 0])
            if len(per_node) == 1:
                rows.setBlockSize(int(per_node[0]))
            rows.compose("nearnullspace", self._rigid_modes(chosen))
        return rows

    def _rigid_modes(self, rows: IntArray) -> Any:
        """Translations and rotations of the free nodes, restricted to the components that move."""
        X = self.reference - self.reference.mean(axis=0)
        modes = [np.tile(e, (len(X), 1)) for e in np.eye(3)]
        modes += [np.cross(e, X) for e in np.eye(3)]
        kept: list[Any] = []
        for mode in modes:
            v = PETSc.Vec().createMPI((len(rows), PETSc.DECIDE), comm=self.comm)
            v.array[:] = mode.ravel()[self.index[rows]]
            for _ in range(2):
                for other in kept:
                    v.axpy(-v.dot(other), other)
            if v.norm() > 1e-8 * np.sqrt(max(v.getSize(), 1)):  # in a plane three of the six are nothing
                v.normalize()
                kept.append(v)
        return PETSc.NullSpace().create(vectors=kept, comm=self.comm)

    def gathered(self, vector: Any) -> Array:
        """A PETSc vector over the free components as (n_q, 3), zero elsewhere, on every rank; collective."""
        mine = np.array(vector.array_r)
        whole = mine if self.comm.size == 1 else np.concatenate(_mpi(self.comm).allgather(mine))
        out = np.zeros(self.free.size)
        out[self.index] = whole
        return out.reshape(-1, 3)


def _mpi(comm: Any) -> Any:
    """The mpi4py communicator behind PETSc's."""
    return comm.tompi4py() if hasattr(comm, "tompi4py") else comm
