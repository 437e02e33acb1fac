"""One message-passing layer of MACE, with results on the first ``n`` of its nodes only.

    m_i = Σ_j W(|D_ij|) ⊗ Y(D_ij) ⊗ (U h)_j ,    i < n            the convolution
    A_i = L m_i / N ,      h'_i = Σ_ν (A_i ⊗ … ⊗ A_i) + S h_i     the product basis and the skip connection

The blocks are mace-torch's own, with their weights; here is the order in which they are called, and that no node
beyond the first ``n`` and no edge received there costs anything. The kinds of block differ in where the species
of the centre comes in, in what N is (a constant, or a smooth count of neighbours) and in what the radial functions
see besides the length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from .mace_convolve import convolve, padding


@dataclass(frozen=True)
class Layer:
    """What a layer sees of the edges received by its first ``n`` nodes.

    Attributes
    ----------
    sender, receiver : (n_edges,) long tensors
        Nodes; ``receiver`` is ascending and below ``n``.
    angular : (n_edges, n_lm) tensor
        Spherical harmonics of the edge.
    radial : (n_edges, n_basis) tensor
        Radial basis of the edge.
    envelope : (n_edges, 1) tensor or None
        The cutoff function, where the radial basis does not contain it.
    n : int
        Number of nodes on which results are wanted.
    scale : list of float or None
        :func:`~multiscale.models.mace_convolve.degrees` of the layer's tensor product.
    """

    sender: torch.Tensor
    receiver: torch.Tensor
    angular: torch.Tensor
    radial: torch.Tensor
    envelope: torch.Tensor | None
    n: int
    scale: list[float] | None = None

    def first(self, n: int, scale: list[float] | None = None) -> Layer:
        """The same for fewer nodes, and one layer's own ``scale``."""
        k = int(torch.searchsorted(self.receiver, n))
        envelope = None if self.envelope is None else self.envelope[:k]
        return Layer(self.sender[:k], self.receiver[:k], self.angular[:k], self.radial[:k], envelope, n, scale)

    def enveloped(self, values: torch.Tensor) -> torch.Tensor:
        """Edge values times the cutoff function."""
        return values if self.envelope is None else values * self.envelope

    def gather(self, values: torch.Tensor) -> torch.Tensor:
        """Sum edge values over the edges of each of the ``n`` nodes."""
        return values.new_zeros((self.n, *values.shape[1:])).index_add(0, self.receiver, values)


Result = tuple[torch.Tensor, torch.Tensor | None]


def _convolve(block: Any, up: torch.Tensor, layer: Layer) -> torch.Tensor:
    weights, tensor_product = layer.enveloped(block.conv_tp_weights(layer.radial)), block.conv_tp
    table = None if layer.scale is None else padding(layer.receiver, layer.n)
    if layer.scale is not None and table is not None:
        sent = up.index_select(0, layer.sender)
        return convolve(weights, sent, layer.angular, table, layer.scale, tensor_product.irreps_in2.slices())
    return layer.gather(block.conv_tp(up[layer.sender], layer.angular, weights))


def _one_plus_density(block: Any, layer: Layer) -> torch.Tensor:
    return layer.gather(layer.enveloped(torch.tanh(block.density_fn(layer.radial) ** 2))) + 1.0


def _agnostic(block: Any, h: torch.Tensor, z: torch.Tensor, layer: Layer) -> Result:
    message = block.linear(_convolve(block, block.linear_up(h), layer)) / block.avg_num_neighbors
    return block.reshape(block.skip_tp(message, z[: layer.n])), None


def _agnostic_residual(block: Any, h: torch.Tensor, z: torch.Tensor, layer: Layer) -> Result:
    message = block.linear(_convolve(block, block.linear_up(h), layer)) / block.avg_num_neighbors
    return block.reshape(message), block.skip_tp(h[: layer.n], z[: layer.n])


def _density(block: Any, h: torch.Tensor, z: torch.Tensor, layer: Layer) -> Result:
    message = block.linear(_convolve(block, block.linear_up(h), layer)) / _one_plus_density(block, layer)
    return block.reshape(block.skip_tp(message, z[: layer.n])), None


def _density_residual(block: Any, h: torch.Tensor, z: torch.Tensor, layer: Layer) -> Result:
    message = block.linear(_convolve(block, block.linear_up(h), layer)) / _one_plus_density(block, layer)
    return block.reshape(message), block.skip_tp(h[: layer.n], z[: layer.n])


def _attention_residual(block: Any, h: torch.Tensor, z: torch.Tensor, layer: Layer) -> Result:
    down = block.linear_down(h)
    seen = replace(layer, radial=torch.cat([layer.radial, down[layer.sender], down[layer.receiver]], dim=-1))
    message = block.linear(_convolve(block, block.linear_up(h), seen)) / block.avg_num_neighbors
    return block.reshape(message), block.skip_linear(h[: layer.n])


def _nonlinear_residual(block: Any, h: torch.Tensor, z: torch.Tensor, layer: Layer) -> Result:
    up = block.linear_up(h)
    ends = block.source_embedding(z)[layer.sender], block.target_embedding(z[: layer.n])[layer.receiver]
    seen = replace(layer, radial=torch.cat([layer.radial, *ends], dim=-1))
    density = _one_plus_density(block, seen) - 1.0
    message = block.linear_1(_convolve(block, up, seen)) / (density * block.beta + block.alpha)
    message = block.equivariant_nonlin(message + block.linear_res(up[: layer.n]))
    return block.reshape(block.linear_2(message)), block.skip_tp(h[: layer.n])


#: How each kind of interaction block is called, by the name of its class in mace-torch.
INTERACTIONS: dict[str, Callable[[Any, torch.Tensor, torch.Tensor, Layer], Result]] = {
    "RealAgnosticInteractionBlock": _agnostic,
    "RealAgnosticResidualInteractionBlock": _agnostic_residual,
    "RealAgnosticDensityInteractionBlock": _density,
    "RealAgnosticDensityResidualInteractionBlock": _density_residual,
    "RealAgnosticAttResidualInteractionBlock": _attention_residual,
    "RealAgnosticResidualNonLinearInteractionBlock": _nonlinear_residual,
}


def interact(block: Any, h: torch.Tensor, z: torch.Tensor, layer: Layer) -> Result:
    """Messages (n, channels, n_lm) of the first ``layer.n`` nodes, and what skips the product basis.

    Parameters
    ----------
    block : module
        mace-torch's interaction block.
    h : (n_nodes, n_features) tensor
        Features before the layer.
    z : (n_nodes, n_elements) tensor
        One-hot species.
    layer : Layer
        The edges.
    """
    return INTERACTIONS[type(block).__name__](block, h, z, layer)
