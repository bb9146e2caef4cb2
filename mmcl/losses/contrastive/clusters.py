"""Spherical k-means as parts of an objective use it: few rounds, no gradient, alike on all processes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmcl.distributed import all_gather_with_grad


@torch.no_grad()
def spherical_means(
    z: Tensor,
    n_clusters: int,
    n_clusterings: int = 0,
    n_rounds: int = 8,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Centres ``(cluster, dim)`` of samples ``z (sample, dim)`` of unit length; with ``n_clusterings`` as many
    clusterings at once, ``(clustering, cluster, dim)``.

    Begins from samples drawn at random, the same on all processes, which must bring the same z. A cluster that loses
    all its samples stays where it is.
    """
    k = max(n_clusterings, 1)
    lottery = all_gather_with_grad(torch.rand(k, len(z), device=z.device, generator=generator))[:k]
    centre = z[lottery.argsort(1)[:, :n_clusters]]
    for _ in range(n_rounds):
        member = members_of(z, centre)  # clustering sample cluster
        total = torch.einsum("krc,rd->kcd", member, z)
        is_filled = member.sum(1)[..., None] > 0
        centre = torch.where(is_filled, nn.functional.normalize(total, dim=-1), centre)
    return centre if n_clusterings else centre[0]


def members_of(z: Tensor, centre: Tensor) -> Tensor:
    """1 at each sample's nearest centre: ``(sample, cluster)``, or ``(clustering, sample, cluster)`` of several
    clusterings."""
    similarity = torch.einsum("rd,...cd->...rc", z, centre)
    return torch.zeros_like(similarity).scatter_(-1, similarity.argmax(-1, keepdim=True), 1.0)
