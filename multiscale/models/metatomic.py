"""Exported metatomic models: e_i = "energy" per atom of a TorchScript program, on the part of the structure it needs.

    D  →  System(types, x(D), h(D)), neighbour lists D  →  model(selected_atoms = centres)  →  e_i

The model sees an ordinary system with neighbour lists; positions and cell are functions of the edge vectors
(:mod:`multiscale.models.frame`), so that forces, virial and, where the program can be differentiated twice, Hessians come
out the same way as for every other model. Layers: interaction range / largest neighbour cutoff, rounded up.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.data import chemical_symbols

from ..lazy import REMEDIES
from ..types import IntArray, MultiscaleError, missing
from .base import Edges, Placement, SiteModel
from .frame import recover

try:
    with warnings.catch_warnings():
        # Both compile TorchScript when they are imported, which torch calls deprecated.
        warnings.simplefilter("ignore")
        from metatensor.torch import Labels, TensorBlock
        from metatomic.torch import (
            AtomisticModel,
            ModelEvaluationOptions,
            ModelOutput,
            System,
            is_atomistic_model,
            load_atomistic_model,
        )
except ImportError as error:  # pragma: no cover - the environment of the tests has it
    raise missing("metatomic", "A metatomic model", REMEDIES["metatomic"]) from error

_SAMPLES = ["first_atom", "second_atom", "cell_shift_a", "cell_shift_b", "cell_shift_c"]


class Metatomic(SiteModel):
    """An exported metatomic model.

    Parameters
    ----------
    model : path or AtomisticModel
        The ``.pt`` file, or the model in memory.
    output : str
        The energy among the model's outputs: ``"energy"``, or a variant such as ``"energy/pbe"``.
    extensions : path, optional
        Folder of the compiled extensions the file needs. They are native code: needs ``trust=True``.
    trust : bool
        That you trust the author of ``extensions`` with this machine.
    name : str, optional
        For reports.

    Raises
    ------
    MultiscaleError
        If the file is no metatomic model, or its capabilities do not fit: no energy per atom, an infinite interaction
        range, inputs besides the structure, other units than lengths and energies, particles that are no elements.

    References
    ----------
    F. Bigi et al., Metatensor and metatomic: foundational libraries for interoperable atomistic machine learning (2025),
    https://doi.org/10.48550/arXiv.2508.15704.
    """

    needs_placement = True

    def __init__(
        self,
        model: Any,
        *,
        output: str = "energy",
        extensions: str | os.PathLike[str] | None = None,
        trust: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__()
        if isinstance(model, str | os.PathLike):
            name = name or Path(model).stem
            model = _load(model, extensions, trust)
        elif not (isinstance(model, torch.nn.Module) and is_atomistic_model(model)):
            raise MultiscaleError(
                f"Metatomic was given {type(model).__name__}; it needs the path of an exported model or an AtomisticModel"
            )
        capabilities = model.capabilities()
        _check(model, capabilities, output)
        # A list hides the program from torch's bookkeeping: its precision is its own and must not be converted.
        self._program, self._device = [model], torch.device("cpu")
        self._output = output
        self.symbols = tuple(chemical_symbols[int(z)] for z in capabilities.atomic_types)
        self._types = [int(z) for z in capabilities.atomic_types]
        self._devices = tuple(capabilities.supported_devices)
        self._requests = model.requested_neighbor_lists()
        reach = float(capabilities.engine_interaction_range("angstrom"))
        cutoffs = [float(request.engine_cutoff("angstrom")) for request in self._requests]
        self.cutoff = max(cutoffs, default=reach)
        self.layers = max(1, int(np.ceil(reach / self.cutoff - 1e-9)))
        self.precisions = (str(capabilities.dtype),)
        metadata = model.metadata()
        self.name = name or str(metadata.name) or "metatomic model"
        references = [r for group in dict(metadata.references).values() for r in group]
        self.doi = str(references[0]) if references else "10.48550/arXiv.2508.15704"
        self.twice_differentiable = self._probe()

    def forward(self, edges: Edges) -> torch.Tensor:
        """Site energies (n_centres,), eV, in double precision."""
        n, dtype = edges.n_centres, getattr(torch, self.precisions[0])
        if n == 0:
            return edges.vectors.sum().double() * torch.zeros(0, dtype=torch.float64, device=edges.vectors.device)
        if edges.placement is None:
            raise MultiscaleError(
                f"{self.name} needs positions and a cell besides edge vectors; give it Edges with a placement, as MLRegion does"
            )
        self._move(edges.vectors.device)
        system = self._system(edges, edges.placement, dtype)
        centres = torch.stack([torch.zeros(n, dtype=torch.int32), torch.arange(n, dtype=torch.int32)], dim=1)
        selected = Labels(["system", "atom"], centres.to(edges.vectors.device))
        options = ModelEvaluationOptions(
            length_unit="angstrom",
            outputs={self._output: ModelOutput(unit="eV", sample_kind="atom")},
            selected_atoms=selected,
        )
        block = self._program[0]([system], options, check_consistency=False)[self._output].block()
        atom = block.samples.column("atom").long()
        mine = atom < n
        if int(mine.sum()) != n:
            raise MultiscaleError(
                f"{self.name} was asked for the energies of {n} atoms and gave {int(mine.sum())}; it does not honour selected_atoms"
            )
        values = block.values[mine].sum(dim=1).double()
        return torch.zeros_like(values).index_add(0, atom[mine], values)

    def _system(self, edges: Edges, place: Placement, dtype: torch.dtype) -> Any:
        """The graph as a system of the model's own kind."""
        positions, cell = recover(edges, place)
        # Only periodic axes have a cell vector there.
        pbc = torch.as_tensor(place.pbc, device=cell.device)
        types = torch.tensor(self._types, dtype=torch.int32, device=cell.device)[edges.species]
        system = System(types, positions.to(dtype), torch.where(pbc[:, None], cell, 0.0).to(dtype), pbc)
        pairs = np.column_stack([edges.centre.cpu().numpy(), edges.neighbour.cpu().numpy(), place.shift])
        lengths = edges.lengths().detach().cpu().numpy()
        for request in self._requests:
            rows = np.flatnonzero(lengths < request.engine_cutoff("angstrom"))
            if not request.full_list:
                rows = rows[_once(pairs[rows])]
            index = torch.as_tensor(rows, device=cell.device)
            samples = torch.as_tensor(pairs[rows].astype(np.int32), device=cell.device)
            block = TensorBlock(
                edges.vectors[index].to(dtype)[:, :, None],
                Labels(_SAMPLES, samples),
                [Labels(["xyz"], torch.arange(3, dtype=torch.int32, device=cell.device)[:, None])],
                Labels(["distance"], torch.zeros((1, 1), dtype=torch.int32, device=cell.device)),
            )
            system.add_neighbor_list(request, block)
        return system

    def _move(self, device: torch.device) -> None:
        if device == self._device:
            return
        if device.type not in self._devices:
            raise MultiscaleError(
                f"{self.name} was asked to run on {device}, but it supports {', '.join(self._devices)}; say MLRegion(..., device=...)"
            )
        self._program, self._device = [self._program[0].to(device)], device

    def _probe(self) -> bool:
        """Whether the program can be differentiated twice, tried on three atoms (thrice: it is compiled on the way)."""
        d, n = 0.4 * min(self.cutoff, 6.0), 3
        x = d * np.array([[0.0, 0.0, 0.0], [1.0, 0.1, 0.2], [0.3, 1.0, -0.1]])
        i, j = (np.array([[a, b] for a in range(n) for b in range(n) if a != b]).T).astype(np.int64)
        place = Placement(x, np.eye(3), np.zeros(3, dtype=bool), np.zeros((len(i), 3), dtype=np.int64))
        species, levels = torch.zeros(n, dtype=torch.long), (n,) * (self.layers + 1)
        for _ in range(3):
            vectors = torch.tensor(x[j] - x[i], dtype=getattr(torch, self.precisions[0]), requires_grad=True)
            try:
                edges = Edges(vectors, torch.as_tensor(i), torch.as_tensor(j), species, levels, place)
                (g,) = torch.autograd.grad(self(edges).sum(), vectors, create_graph=True)
                torch.autograd.grad((g * g).sum(), vectors)
            except RuntimeError:
                return False
        return True


def _once(pairs: IntArray) -> IntArray:
    """Rows (n_pairs, 5) of a full list that make a half list: of a pair listed twice, the one that comes first."""
    back = pairs[:, [1, 0, 2, 3, 4]] * np.array([1, 1, -1, -1, -1])
    kinds, where = np.unique(np.concatenate([pairs, back]), axis=0, return_inverse=True)
    where = where.ravel()
    here, there = where[: len(pairs)], where[len(pairs) :]
    listed = np.zeros(len(kinds), dtype=bool)
    listed[here] = True
    return np.flatnonzero((here < there) | ~listed[there])


def _load(path: str | os.PathLike[str], extensions: str | os.PathLike[str] | None, trust: bool) -> AtomisticModel:
    if extensions is not None and trust is not True:
        raise MultiscaleError(
            f"Metatomic was given a folder of extensions, {extensions}, which are native code; if you trust its author, "
            "say Metatomic(path, extensions=..., trust=True)"
        )
    if not Path(path).is_file():
        raise MultiscaleError(f"{path} is not there; give the path of an exported metatomic model")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return load_atomistic_model(path, extensions)
    except (RuntimeError, ValueError) as e:
        raise MultiscaleError(
            f"{path} cannot be loaded as a metatomic model ({str(e).splitlines()[0]}); give a .pt file written by "
            "AtomisticModel.save, and the folder of its extensions where it has some"
        ) from e


def _check(model: Any, capabilities: Any, output: str) -> None:
    """Refuse capabilities that a site-energy model cannot do without, or cannot serve."""
    outputs, wrong = capabilities.outputs, ""
    if output not in outputs:
        wrong = f"has no output '{output}' (it has {', '.join(outputs)})"
    elif outputs[output].sample_kind != "atom":
        wrong = f"gives '{output}' per {outputs[output].sample_kind} and not per atom"
    elif not np.isfinite(capabilities.interaction_range) or capabilities.interaction_range <= 0.0:
        wrong = f"has the interaction range {capabilities.interaction_range}, where a finite and positive one is needed"
    elif capabilities.length_unit == "" or outputs[output].unit == "":
        wrong = "does not declare its units of length and energy"
    elif inputs := model.requested_inputs(use_new_names=True):
        wrong = f"needs inputs besides the structure ({', '.join(inputs)})"
    else:
        odd = [int(z) for z in capabilities.atomic_types if not 0 < int(z) < len(chemical_symbols)]
        wrong = f"is of the atomic types {odd}, which are no chemical elements" if odd else ""
    if wrong:
        raise MultiscaleError(
            f"The metatomic model {wrong}; export it with per-atom energies, a finite range and units, or couple it as a "
            "whole through its ASE calculator (QMRegion, force mixing)"
        )
