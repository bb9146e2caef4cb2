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
    """Centres of spherical k-means, from samples drawn at random, the same on all processes.

    A cluster that loses all its samples stays where it is.

    Args:
        z: ``(sample, dim)`` of unit length, the same on all processes.
        n_clusters: Clusters of a clustering.
        n_clusterings: Clusterings at once; 0 = one, without the first axis.
        n_rounds: Rounds of k-means.
        generator: Of the draw.

    Returns:
        ``(clustering, cluster, dim)`` or ``(cluster, dim)``.

    Example:
        >>> spherical_means(torch.eye(4), 2).shape
        torch.Size([2, 4])
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
    """1 at each sample's nearest centre.

    Args:
        z: ``(sample, dim)``.
        centre: ``(cluster, dim)`` or ``(clustering, cluster, dim)``.

    Returns:
        ``(sample, cluster)`` or ``(clustering, sample, cluster)``.

    Example:
        >>> members_of(torch.eye(2), torch.eye(2))
        tensor([[1., 0.],
                [0., 1.]])
    """
    similarity = torch.einsum("rd,...cd->...rc", z, centre)
    return torch.zeros_like(similarity).scatter_(-1, similarity.argmax(-1, keepdim=True), 1.0)
