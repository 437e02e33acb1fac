"""MACE: higher-order equivariant message passing, by mace-torch's modules on our graph.

    e_i = E0(z_i) + σ [ Σ_ℓ R_ℓ(h_i^ℓ) + ½ Σ_j V_ZBL(|D_ij|) ] + μ,      h^ℓ = interact(h^{ℓ−1}, D),   ℓ = 1 … L

Layer ℓ is evaluated on the nodes that the requested site energies depend on through the layers above, and nowhere else:
those within L − ℓ hops. Asking for few centres costs their receptive field, which shrinks layer by layer. Spread over ranks, each
computes its own nodes' features and gets those of its neighbours' nodes from their owners between the layers.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols

from ..types import MultiscaleError
from . import mace_file
from .base import Edges, SiteModel
from .mace_layers import INTERACTIONS, Layer, interact
from .mace_product import Contracted

#: Parts of a mace-torch module that add terms which are no sum of site energies of edges.
_REFUSED = ("joint_embedding", "embedding_readout")


class Mace(SiteModel):
    """A MACE potential.

    Parameters
    ----------
    module : mace.modules.MACE or ScaleShiftMACE
        The trained module, in float32 or float64; copied.
    head : str, optional
        Which of the module's heads; needed where there are several.
    name : str, optional
        For reports.
    provenance : mapping, optional
        Words and numbers that travel with the files: training data, errors, licence, citation.

    Notes
    -----
    ``import mace`` makes ``torch.load`` unpickle anything in the whole process from then on (it sets
    ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD``). This module takes that back after its own import; another import of a part
    of mace may set it again.

    References
    ----------
    I. Batatia, D. P. Kovács, G. N. C. Simm, C. Ortner, G. Csányi, Adv. Neural Inf. Process. Syst. 35 (2022),
    https://doi.org/10.48550/arXiv.2206.07697.
    """

    def __init__(
        self,
        module: Any,
        *,
        head: str | None = None,
        name: str | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        check_module(module)
        try:
            self.module = copy.deepcopy(module).eval().requires_grad_(False)
        except (TypeError, RuntimeError) as e:
            raise MultiscaleError(
                f"Mace was given a {type(module).__name__} that cannot be copied ({e}), as in the midst of a backward pass; "
                "give a trained module"
            ) from e
        self.heads = tuple(getattr(module, "heads", None) or ("Default",))
        self.head = _chosen_head(self.heads, head)
        self.symbols = tuple(chemical_symbols[int(z)] for z in module.atomic_numbers)
        self.cutoff, self.layers = float(module.r_max), len(module.interactions)
        self.exchanges = tuple(_width(product) for product in list(module.products)[:-1])
        self.name = name or f"MACE({self.layers} layers, {self.cutoff:g} Å, {' '.join(self.symbols)})"
        self.provenance = dict(provenance or {})
        self._fast: Contracted | None = None
        self.doi = str(self.provenance.get("doi", "10.48550/arXiv.2206.07697"))

    @classmethod
    def from_module(cls, module: Any, **settings: Any) -> Mace:
        """The potential of a mace-torch module in memory; ``settings`` as in the constructor."""
        return cls(module, **settings)

    @classmethod
    def from_checkpoint(cls, path: str | os.PathLike[str], *, trust: bool = False, **settings: Any) -> Mace:
        """The potential of a ``.model`` file of mace-torch.

        Parameters
        ----------
        path : path
            The file.
        trust : bool
            That you trust its author with this machine: the file is a pickle, and reading it executes code.

        Raises
        ------
        MultiscaleError
            Without ``trust=True``; if the file is no pickled MACE; if the model has parts that are not supported.
        """
        if trust is not True:
            raise MultiscaleError(
                f"{path} is a pickled checkpoint, and reading it executes whatever code it contains; if you trust its "
                "author, say Mace.from_checkpoint(path, trust=True), and Mace.save it as safetensors for next time"
            )
        settings.setdefault("provenance", {"checkpoint": Path(path).name})
        return cls(mace_file.unpickle(path), **settings)

    @classmethod
    def load(cls, stem: str | os.PathLike[str]) -> Mace:
        """The potential that :meth:`save` wrote at ``stem`` (a stem, either of the files, or the folder)."""
        module, words = mace_file.read(stem)
        return cls(module, head=words["head"], name=words["name"], provenance=words["provenance"])

    def save(self, stem: str | os.PathLike[str]) -> Path:
        """Write ``STEM.safetensors`` and ``STEM.json``; in an existing folder, ``model.*``. Gives the JSON's path.

        Files that are there already are replaced as a whole, the JSON last: whatever interrupts this leaves the old pair, the new
        one, or one whose hashes do not agree and which :meth:`load` refuses.
        """
        words = {
            "name": self.name,
            "head": self.head,
            "elements": list(self.symbols),
            "cutoff": self.cutoff,
            "provenance": self.provenance,
        }
        return mace_file.write(self.module, stem, words)[0]

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights; :class:`~multiscale.regions.MLRegion` converts a copy to its own."""
        dtype: torch.dtype = self.module.r_max.dtype
        return dtype

    def forward(self, edges: Edges) -> torch.Tensor:
        """Site energies (n_centres,), eV, in double precision (E0s of thousands of eV eat up the digits of float32)."""
        n, m = edges.n_centres, self.module
        if edges.n_receivers == 0:
            return edges.vectors.sum().double() * torch.zeros(0, dtype=torch.float64, device=edges.vectors.device)
        which = self.heads.index(self.head)
        z = torch.nn.functional.one_hot(edges.species, len(self.symbols)).to(edges.vectors.dtype)
        h, layer, pair = self._embed(edges, z)
        heads = torch.full((n,), which, dtype=torch.long, device=z.device)
        inter, passed = pair, edges.vectors.new_zeros(())
        readouts, fast = list(m.readouts), self._contracted()
        for depth, (block, product) in enumerate(zip(m.interactions, m.products, strict=True), start=1):
            wanted = edges.levels[self.layers - depth]
            # mace-torch's product basis does not take none; a rank may have nothing left to do while others do.
            if wanted:
                message, skip = interact(block, h, z, layer.first(wanted, fast.scales[depth - 1]))
                h = fast.product(depth - 1, product, message, skip, z[:wanted], edges.species[:wanted])
            else:
                h = h.new_zeros((0, _width(product)))
            # A model with one readout reads its last layer only.
            if n and (len(readouts) > 1 or depth == self.layers):
                readout = readouts[depth - 1] if len(readouts) > 1 else readouts[0]
                inter = inter + readout(h[:n], heads)[:, which]
            if depth < self.layers:
                h, through = edges.complete(h)
                passed = passed + through
        if n and type(m).__name__ == "ScaleShiftMACE":
            inter = m.scale_shift(inter, heads)
        e0 = m.atomic_energies_fn(z[:n])[:, which]
        return e0.double() + inter.double() + passed.double()

    def _contracted(self) -> Contracted:
        """What follows from the weights alone, made anew where the module was converted or moved."""
        there = self.module.r_max
        if self._fast is None or (self._fast.dtype, self._fast.device) != (there.dtype, there.device):
            self._fast = Contracted(self.module)
        return self._fast

    def _embed(self, edges: Edges, z: torch.Tensor) -> tuple[torch.Tensor, Layer, torch.Tensor]:
        """Features of the species, what layers see of the edges, and pair energies (n_centres,)."""
        m, n = self.module, edges.n_centres
        ends = torch.stack([edges.neighbour, edges.centre])
        # Lengths come as a column, and edges point to the centre.
        r = edges.lengths()[:, None]
        radial, envelope = m.radial_embedding(r, z, ends, m.atomic_numbers)
        angular = m.spherical_harmonics(-edges.vectors)
        layer = Layer(edges.neighbour, edges.centre, angular, radial, envelope, edges.levels[-1])
        pair = r.new_zeros(n)
        if "pair_repulsion_fn" in dict(m.named_children()):
            k = int(torch.searchsorted(edges.centre, n))
            pair = m.pair_repulsion_fn(r[:k], z, ends[:, :k], m.atomic_numbers)[:n]
        return m.node_embedding(z), layer, pair


def _width(product: Any) -> int:
    """Number of features per node after a layer."""
    return int(product.linear.irreps_out.dim)


def _chosen_head(heads: tuple[str, ...], head: str | None) -> str:
    if head is None and len(heads) == 1:
        return heads[0]
    if head not in heads:
        given = "no head" if head is None else f"the head '{head}'"
        raise MultiscaleError(f"Mace was given {given} for a model with the heads {', '.join(heads)}; name one of them")
    return head


def check_module(module: Any) -> None:
    """Refuse what is not a MACE of supported parts, in one sentence that names the part.

    Raises
    ------
    MultiscaleError
    """
    kind = type(module).__name__
    if isinstance(module, dict):
        kind = f"a dictionary with {', '.join(sorted(map(str, module))[:4])}"
    if type(module) not in mace_file.MODELS.values():
        raise MultiscaleError(
            f"Mace was given {kind}; it needs a MACE or ScaleShiftMACE module of mace-torch (in Python, neither compiled "
            "nor a training checkpoint), which gives energies as sums over sites"
        )
    parts = dict(module.named_children())
    unsupported = [name for name in _REFUSED if name in parts]
    unsupported += sorted({type(b).__name__ for b in module.interactions} - set(INTERACTIONS))
    if type(module.radial_embedding.bessel_fn).__name__ == "ChebychevBasis":
        unsupported.append("a Chebyshev basis (torch does not differentiate it: its forces are wrong)")
    if getattr(module, "use_so3", False):
        unsupported.append("SO(3) features (use_so3)")
    configs = [getattr(b, name, None) for b in module.modules() for name in ("cueq_config", "oeq_config")]
    if any(config is not None and config.enabled for config in configs):
        unsupported.append("cuequivariance or openequivariance kernels")
    if unsupported:
        raise MultiscaleError(
            f"Mace was given a {kind} with {', '.join(unsupported)}, which is not supported; use a model of "
            f"{', '.join(sorted(INTERACTIONS))}, without these parts"
        )
    unknown = [int(z) for z in module.atomic_numbers if not 0 < int(z) < len(chemical_symbols)]
    if unknown:
        raise MultiscaleError(
            f"Mace was given a model of the atomic numbers {unknown}, which are no chemical elements; check the file"
        )
