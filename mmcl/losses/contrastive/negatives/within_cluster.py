"""Negatives of the query's cluster only."""

from __future__ import annotations

from torch import Tensor

from mmcl.losses.contrastive.clusters import members_of, spherical_means
from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.negatives._shared import log_keep, space_of


class WithinCluster:
    """Negatives of the query's cluster only.

    Only what shares the query's cluster of an auxiliary space is a negative: the hard ones.

    An anchor only in its cluster has no negatives, and no loss.

    Args:
        n_clusters: Clusters of the batch.

    Reference:
        "LEMON" [A]

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> WithinCluster(n_clusters=2)(example_batch()).shape
        torch.Size([4, 6])
    """

    formula = r"w_{ij} = [k(i) = k(j)]"
    use_when = "to make training hard late"
    source = "LEMON [A]"

    requires: frozenset[str] = frozenset()
    optional = frozenset({"auxiliary", "teacher"})

    needs_full_batch = True

    def __init__(self, n_clusters: int = 8):
        self.n_clusters = n_clusters

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        own, negative = space_of(pairs)
        centre = spherical_means(negative, min(self.n_clusters, len(negative)))
        return log_keep(members_of(own, centre) @ members_of(negative, centre).T)
