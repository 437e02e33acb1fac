"""A small many-body model, exported with metatomic: e_i = ε [−√(h_i + 0.1) + h_i²/20 + Σ_j f e^{−r}], f = (1 − r²/c²)³.

One layer: h_i = Σ_j f Z_j/14. Two layers: h_i ← Σ_j f tanh h_j. It takes edges from its neighbour list, or works them
out from positions, shifts and cell, as some published models do.
"""

from typing import Dict, List, Optional  # noqa: UP035 - TorchScript reads these

import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import AtomisticModel, ModelCapabilities, ModelMetadata, ModelOutput, NeighborListOptions, System


class Toy(torch.nn.Module):
    def __init__(self, cutoff: float, positions: bool, full: bool, layers: int, once: bool, dtype: torch.dtype):
        super().__init__()
        self.positions, self.layers, self.full, self.cutoff, self.once = positions, layers, full, cutoff, once
        self.request = NeighborListOptions(cutoff, full, True)
        self.register_buffer("epsilon", torch.tensor(0.3, dtype=dtype))

    def requested_neighbor_lists(self) -> List[NeighborListOptions]:  # noqa: UP006
        return [self.request]

    def edges(self, system: System):
        """Centre, neighbour and vector of every directed edge."""
        block = system.get_neighbor_list(self.request)
        samples = block.samples.values
        i, j = samples[:, 0].to(torch.long), samples[:, 1].to(torch.long)
        vectors = block.values.reshape(-1, 3)
        if self.positions:
            shift = samples[:, 2:].to(system.cell.dtype) @ system.cell
            vectors = system.positions[j] - system.positions[i] + shift
        if not self.full:
            i, j, vectors = torch.cat([i, j]), torch.cat([j, i]), torch.cat([vectors, -vectors])
        return i, j, vectors

    def site_energies(self, system: System) -> torch.Tensor:
        i, j, vectors = self.edges(system)
        r = torch.sqrt((vectors * vectors).sum(1))
        if self.once:
            # torch has no second derivative of this.
            r = torch.cdist(vectors[:, None, :], torch.zeros_like(vectors)[:, None, :]).reshape(-1)
        f = (1.0 - (r / self.cutoff) ** 2).clamp(min=0.0) ** 3
        h = torch.zeros(len(system), dtype=f.dtype).index_add(0, i, f * system.types.to(f.dtype)[j] / 14.0)
        if self.layers == 2:
            h = torch.zeros_like(h).index_add(0, i, f * torch.tanh(h[j]))
        pair = torch.zeros_like(h).index_add(0, i, f * torch.exp(-r))
        return self.epsilon * (-torch.sqrt(h + 0.1) + 0.05 * h * h + pair)

    def forward(
        self,
        systems: List[System],  # noqa: UP006
        outputs: Dict[str, ModelOutput],  # noqa: UP006
        selected_atoms: Optional[Labels] = None,  # noqa: UP045
    ) -> Dict[str, TensorMap]:  # noqa: UP006
        results: Dict[str, TensorMap] = {}  # noqa: UP006
        if "energy" not in outputs:
            return results
        per_atom = outputs["energy"].sample_kind == "atom"
        values: List[torch.Tensor] = []  # noqa: UP006
        samples: List[torch.Tensor] = []  # noqa: UP006
        for s in range(len(systems)):
            e = self.site_energies(systems[s])
            atoms = torch.arange(len(systems[s]))
            if selected_atoms is not None:
                atoms = selected_atoms.column("atom")[selected_atoms.column("system") == s].to(torch.long)
                e = e[atoms]
            if per_atom:
                values.append(e.reshape(-1, 1))
                samples.append(torch.stack([torch.full_like(atoms, s), atoms], dim=1).to(torch.int32))
            else:
                values.append(e.sum().reshape(1, 1))
                samples.append(torch.tensor([[s]], dtype=torch.int32))
        block = TensorBlock(
            torch.cat(values),
            Labels(["system", "atom"] if per_atom else ["system"], torch.cat(samples)),
            torch.jit.annotate(List[Labels], []),  # noqa: UP006
            Labels(["energy"], torch.tensor([[0]], dtype=torch.int32)),
        )
        results["energy"] = TensorMap(Labels(["_"], torch.tensor([[0]], dtype=torch.int32)), [block])
        return results


def atomistic(
    *,
    cutoff=4.0,
    positions=False,
    full=True,
    layers=1,
    once=False,
    dtype="float64",
    length="angstrom",
    energy="eV",
    kind="atom",
    reach=None,
    types=(1, 14),
):
    module = Toy(cutoff, positions, full, layers, once, getattr(torch, dtype)).eval()
    capabilities = ModelCapabilities(
        outputs={"energy": ModelOutput(unit=energy, sample_kind=kind)},
        atomic_types=list(types),
        interaction_range=cutoff * layers if reach is None else reach,
        length_unit=length,
        supported_devices=["cpu"],
        dtype=dtype,
    )
    return AtomisticModel(module, ModelMetadata(name="toy"), capabilities)


def export(path, **settings):
    atomistic(**settings).save(str(path))
