"""Sums of clusters stand for negatives."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.distributed import all_gather_with_grad
from mmcl.losses.contrastive.clusters import members_of, spherical_means
from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.types import l2_normalize


class ClusterProxy:
    """Sums of clusters stand for negatives.

    Sums of clusters stand for all negatives, so that the cost grows with anchors, not with pairs.

    ``-log sum_{p in A(i)} e^{t cos(a_i, p)} + mean_q log sum_{q'} e^{t cos(A_q, B_q')}``: A(i) are an anchor's
    positives (its own, and negatives that a target names), A_q and B_q the sums of the queries and of their positives
    in cluster q of the positives (k-means, no gradient through who belongs where), a cluster's cosine with itself set
    to 0.

    Args:
        n_clusters: Clusters of the batch.
        t: Factor of the cosines.

    Reference:
        "PamC", clustering with proxies [C; formula only].

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> ClusterProxy(n_clusters=2)(example_batch()).shape
        torch.Size([4])
    """

    formula = r"-\log \sum_{p \in A(i)} e^{t \cos(a_i, p)} + \overline{\log \sum_{q'} e^{t \cos(A_q, B_{q'})}}"
    use_when = "very many negatives"
    source = "PamC [C]"

    requires: frozenset[str] = frozenset()

    needs_full_batch = True

    def __init__(self, n_clusters: int = 16, t: float = 1.0):
        self.n_clusters, self.t = n_clusters, t

    def __call__(self, pairs: ContrastBatch, target: Tensor | None = None, tau_plus: float = 0.0) -> Tensor:
        cosine = self.t * (pairs.query * pairs.positive).sum(-1, keepdim=True)
        if target is not None:
            named = torch.where(target > 0, self.t * pairs.query @ pairs.negatives.T, -torch.inf)
            cosine = torch.cat([cosine, named], 1)
        is_valid = torch.ones_like(cosine[:, 0]) if pairs.valid is None else pairs.valid.to(cosine.dtype)
        is_valid = all_gather_with_grad(is_valid)
        a, b = all_gather_with_grad(pairs.query), all_gather_with_grad(pairs.positive)
        with torch.no_grad():
            centre = spherical_means(b, min(self.n_clusters, len(b)))
            member = members_of(b, centre) * is_valid[:, None]
        sums = [member.T @ z for z in (a, b)]
        between = self.t * l2_normalize(sums[0]) @ l2_normalize(sums[1]).T
        q = len(between)
        between = torch.where(torch.eye(q, dtype=torch.bool, device=a.device), 0.0, between)
        filled = member.sum(0) > 0
        between = torch.where(filled[None, :], between, -torch.inf).logsumexp(1)
        apart = torch.where(filled, between, 0.0).sum() / filled.sum().clamp(min=1)
        return torch.where(pairs.mask.any(-1), apart - cosine.logsumexp(1), 0.0)
