"""Which rows are probably of the same class, found without labels: negatives that should not be.

Each function takes ``z (row, dim)``, a teacher's embeddings of unit length or not, and returns ``(own, row)``
in [0, 1]: how sure it is that two rows belong together, own being the ``rows`` asked for (all, if left
out). ``log_weight`` makes weights of negatives of it, ``as_target`` positives. In single precision at least.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.errors import InputError
from mmcl.losses.clusters import members_of, spherical_means
from mmcl.losses.rows import unit


@torch.no_grad()
def same_by_clusters(
    z: Tensor,
    n_clusters: int,
    n_clusterings: int = 8,
    n_rounds: int = 8,
    generator: torch.Generator | None = None,
    rows: slice = slice(None),
) -> Tensor:
    """The share of clusterings in which two rows share a cluster (MEOW's count, as a share).

    Spherical k-means from rows drawn at random, ``n_clusterings`` times, all at once; clusters that
    lose all their rows stay where they are. All processes bring the same z. Source of the count: MEOW (hard negatives weighted by
    how often clusterings part them).
    """
    if not 1 <= n_clusters <= len(z):
        raise InputError(f"n_clusters: expected 1 to the {len(z)} rows, got {n_clusters}")
    z = unit(z)
    member = members_of(z, spherical_means(z, n_clusters, n_clusterings, n_rounds, generator))
    return torch.einsum("krc,ksc->rs", member[:, rows], member) / n_clusterings


@torch.no_grad()
def same_by_neighbours(z: Tensor, n_neighbours: int, rows: slice = slice(None)) -> Tensor:
    """1 where two rows are among each other's nearest ``n_neighbours``, and for a row with itself."""
    similarity = unit(z) @ unit(z).T
    n = len(z)
    chosen = similarity.topk(min(n_neighbours + 1, n), dim=1).indices  # itself included
    near = torch.zeros_like(similarity).scatter_(1, chosen, 1.0)
    both = near * near.T
    return torch.maximum(both, torch.eye(n, dtype=both.dtype, device=z.device))[rows]


def log_weight(same: Tensor, surest: float = 1.0) -> Tensor:
    """``log(1 - same)``: a negative counts by how sure it is that it is one; -inf from ``surest`` on."""
    return torch.where(same >= surest, -torch.inf, torch.log1p(-same.clamp(max=1 - 1e-6)))


def as_target(same: Tensor, share: float) -> Tensor:
    """Rows that give ``share`` of their attraction to those of the same kind, by how sure that is; rows
    that have none keep it. same: ``(row, key)``, 0 for what must not be a positive."""
    total = same.sum(1, keepdim=True)
    return torch.where(total > 0, share * same / total.clamp(min=1e-6), 0.0)
