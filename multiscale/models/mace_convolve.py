"""MACE's convolution of scalar features as one small product of matrices per receiver and degree l.

    A_i,c,lm = k_l Σ_{e→i} ( R_e,lc h_j(e),c ) Y_e,lm            (K, c)ᵀ·(K, 2l + 1) for each receiver i

The general tensor product writes c·(l_max + 1)² numbers for every edge and then adds them up; here an edge has c·(l_max + 1), and the
sum over edges is the product's own. Edges are received in order, and padded to the largest number K that a node receives.
"""

from __future__ import annotations

from typing import Any

import torch

#: Padded rows over edges above which padding costs more than it saves: a few nodes receive many more edges than the others.
CROWDED = 2.0


def degrees(tensor_product: Any) -> list[float] | None:
    """k_l of each degree, read off by asking for it; None where features are no scalars, or paths are not one per degree, in order."""
    t = tensor_product
    if len(t.irreps_in1) != 1 or t.irreps_in1.lmax != 0 or any(mul != 1 for mul, _ in t.irreps_in2):
        return None
    paths = [(i.i_in1, i.i_in2, i.i_out, i.connection_mode, i.has_weight) for i in t.instructions]
    if paths != [(0, k, k, "uvu", True) for k in range(len(t.irreps_in2))]:
        return None
    like = next(b for b in t.buffers() if b.is_floating_point())
    ones = like.new_ones(1, t.irreps_in1.dim), like.new_ones(1, t.weight_numel)
    found = []
    for part in t.irreps_in2.slices():
        y = like.new_zeros(1, t.irreps_in2.dim)
        y[0, part.start] = 1.0
        found.append(float(t(ones[0], y, ones[1]).sum()) / t.irreps_in1.dim)
    return found


def padding(receiver: torch.Tensor, n: int) -> torch.Tensor | None:
    """Edge (n, K) in each place of each receiver, the number of edges where there is none; None where too many places stay empty."""
    edges = len(receiver)
    count = torch.bincount(receiver, minlength=n)
    most = int(count.max()) if n else 0
    if edges == 0 or n * most > CROWDED * edges:
        return None
    place = torch.arange(edges, device=receiver.device) - (torch.cumsum(count, 0) - count)[receiver]
    table = torch.full((n, most), edges, device=receiver.device)
    table[receiver, place] = torch.arange(edges, device=receiver.device)
    return table


def convolve(
    weights: torch.Tensor,
    sent: torch.Tensor,
    angular: torch.Tensor,
    table: torch.Tensor,
    scale: list[float],
    parts: list[slice],
) -> torch.Tensor:
    """Messages (n, c·n_lm), degree by degree as e3nn lays them out.

    Parameters
    ----------
    weights : (n_edges, n_l·c) tensor
        R, the envelope in it.
    sent : (n_edges, c) tensor
        h of the sender.
    angular : (n_edges, n_lm) tensor
    table : (n, K) long tensor
        From :func:`padding`.
    scale, parts
        k_l and the components of each degree.
    """
    edges, c = sent.shape
    degree, (n, most) = len(scale), table.shape
    # The zero is added where a receiver has fewer edges.
    product = (weights.view(edges, degree, c) * sent[:, None, :]).reshape(edges, degree * c)
    rows = table.ravel()
    m = torch.cat([product, product.new_zeros(1, degree * c)]).index_select(0, rows).view(n, most, degree, c)
    y = torch.cat([angular, angular.new_zeros(1, angular.shape[1])]).index_select(0, rows).view(n, most, -1)
    sums = (torch.bmm(m[:, :, d].transpose(1, 2), y[:, :, part]) for d, part in enumerate(parts))
    return torch.cat([(k * a).reshape(n, -1) for k, a in zip(scale, sums, strict=True)], dim=1)
