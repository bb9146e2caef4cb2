"""Recordings that are probably of the same class, found without labels: negatives that should not be.

``log_weight`` makes weights of negatives of how sure that is, ``pseudo_positive_target`` positives.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mmcl.distributed import all_gather_with_grad, rank
from mmcl.errors import InputError
from mmcl.losses.contrastive.clusters import members_of, spherical_means
from mmcl.types import l2_normalize


@torch.no_grad()
def same_by_clusters(
    z: Tensor,
    n_clusters: int,
    n_clusterings: int = 8,
    n_rounds: int = 8,
    generator: torch.Generator | None = None,
    anchors: slice = slice(None),
) -> Tensor:
    """The share of clusterings in which two samples share a cluster.

    Spherical k-means from samples drawn at random, all clusterings at once; a cluster that loses all its samples stays
    where it is. All processes bring the same z.

    Args:
        z: ``(sample, dim)``, a teacher's embeddings.
        n_clusters: Clusters of a clustering.
        n_clusterings: Clusterings.
        n_rounds: Rounds of k-means.
        generator: Of the first centres.
        samples: Samples to return.

    Returns:
        ``(sample of samples, sample)`` in [0, 1].

    Raises:
        InputError: There are fewer samples than clusters.

    Reference:
        MEOW (hard negatives weighted by how often clusterings part them), as a share.

    Example:
        >>> same_by_clusters(torch.eye(4), 1)[0]
        tensor([1., 1., 1., 1.])
    """
    if not 1 <= n_clusters <= len(z):
        raise InputError(f"n_clusters: expected 1 to the {len(z)} rows, got {n_clusters}")
    z = l2_normalize(z)
    member = members_of(z, spherical_means(z, n_clusters, n_clusterings, n_rounds, generator))
    return torch.einsum("krc,ksc->rs", member[:, anchors], member) / n_clusterings


@torch.no_grad()
def same_by_neighbours(z: Tensor, n_neighbours: int, anchors: slice = slice(None)) -> Tensor:
    """1 where two samples are among each other's nearest neighbours, and for a sample with itself.

    Args:
        z: ``(sample, dim)``, a teacher's embeddings.
        n_neighbours: How many neighbours of each.
        samples: Samples to return.

    Returns:
        ``(sample of samples, sample)``, 0 or 1.

    Example:
        >>> same_by_neighbours(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), 1)[0]
        tensor([1., 1., 0.])
    """
    similarity = l2_normalize(z) @ l2_normalize(z).T
    n = len(z)
    chosen = similarity.topk(min(n_neighbours + 1, n), dim=1).indices  # itself included
    near = torch.zeros_like(similarity).scatter_(1, chosen, 1.0)
    both = near * near.T
    return torch.maximum(both, torch.eye(n, dtype=both.dtype, device=z.device))[anchors]


def find_same_class(
    teacher: Mapping[str, Tensor], method: str, k: int, banked: Mapping[str, Tensor] | None = None
) -> Tensor:
    """How sure it is that a recording of this process and any other are of one class, by a teacher's embeddings.

    Args:
        teacher: ``{modality: (sample, dim)}`` of this process's batch.
        method: "clusters" or "neighbours".
        k: Number of clusters, or of neighbours.
        banked: ``{modality: (sample, dim)}`` of earlier batches.

    Returns:
        ``(sample, negative)`` in [0, 1], the batch of all processes, then the bank.

    Example:
        >>> find_same_class({"a": torch.eye(3), "b": torch.eye(3)}, "clusters", 1).shape
        torch.Size([3, 3])
    """
    embeddings = {m: all_gather_with_grad(l2_normalize(v)) for m, v in teacher.items()}
    if banked is not None:
        embeddings = {m: torch.cat([v, l2_normalize(banked[m])]) for m, v in embeddings.items()}
    joint = torch.cat(list(embeddings.values()), 1)
    n = len(next(iter(teacher.values())))
    own = slice(rank() * n, (rank() + 1) * n)
    find = same_by_clusters if method == "clusters" else same_by_neighbours
    return find(joint, min(k, len(joint)), anchors=own)


def log_weight(same: Tensor, surest: float = 1.0) -> Tensor:
    """``log(1 - same)``: a negative counts by how sure it is that it is one.

    Args:
        same: ``(sample, negative)`` in [0, 1].
        surest: From here on the weight is -inf.

    Example:
        >>> log_weight(torch.tensor([0.0, 1.0]))
        tensor([-0., -inf])
    """
    return torch.where(same >= surest, -torch.inf, torch.log1p(-same.clamp(max=1 - 1e-6)))


def pseudo_positive_target(same: Tensor, share: float) -> Tensor:
    """Samples give a share of their attraction to those of the same class, by how sure that is; samples without any
    keep it.

    Args:
        same: ``(sample, negative)`` in [0, 1], 0 for what must not be a positive.
        share: Of the attraction.

    Example:
        >>> pseudo_positive_target(torch.tensor([[0.5, 0.5], [0.0, 0.0]]), 0.5).tolist()
        [[0.25, 0.25], [0.0, 0.0]]
    """
    total = same.sum(1, keepdim=True)
    return torch.where(total > 0, share * same / total.clamp(min=1e-6), 0.0)
