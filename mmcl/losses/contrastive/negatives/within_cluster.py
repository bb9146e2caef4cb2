"""Only what shares the query's cluster of an auxiliary space is a negative."""

from __future__ import annotations

from torch import Tensor

from mmcl.losses.contrastive.clusters import members_of, spherical_means
from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.negatives._shared import log_keep, space_of


class WithinCluster:
    """Only what shares the query's cluster of an auxiliary space is a negative: the hard ones.

    Source: "LEMON" [A]. A row alone in its cluster has no negatives, and no loss.
    """

    requires: frozenset[str] = frozenset()
    optional = frozenset({"auxiliary", "teacher"})

    needs_full_batch = True

    def __init__(self, n_clusters: int = 8):
        self.n_clusters = n_clusters

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        own, key = space_of(pairs)
        centre = spherical_means(key, min(self.n_clusters, len(key)))
        return log_keep(members_of(own, centre) @ members_of(key, centre).T)
