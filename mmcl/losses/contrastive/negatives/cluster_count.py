"""What clusters often with the query counts less."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.losses.contrastive.clusters import members_of, spherical_means
from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.negatives._shared import log_keep, space_of


class ClusterCount:
    """What clusters often with the query counts less.

    A negative counts by the share of clusterings that part it from the query: ``1 - mean_r [c_r(i) = c_r(j)]``.

    What is clustered: the negatives' auxiliary space where one is given, else the teacher's, else the negatives
    themselves; the query stands where its positive does. One always together is no negative.

    Args:
        n_clusters: Clusters of a clustering.
        n_clusterings: Clusterings.

    Reference:
        Peng et al., "MEOW" [C].

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> ClusterCount(n_clusters=2)(example_batch()).shape
        torch.Size([4, 6])
    """

    formula = r"1 - \tfrac{1}{C}\sum_c [k_c(i) = k_c(j)]"
    use_when = "many false negatives, no labels"
    source = "MEOW [C]"

    requires: frozenset[str] = frozenset()
    optional = frozenset({"auxiliary", "teacher"})

    needs_full_batch = True  # one clustering for all anchors

    def __init__(self, n_clusters: int = 40, n_clusterings: int = 8):
        self.n_clusters, self.n_clusterings = n_clusters, n_clusterings

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        own, negative = space_of(pairs)
        centre = spherical_means(negative, min(self.n_clusters, len(negative)), self.n_clusterings)
        together = torch.einsum("krc,ksc->rs", members_of(own, centre), members_of(negative, centre))
        return log_keep(1 - together / self.n_clusterings)
