"""Clusters of one modality teach the other."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.losses.contrastive.clusters import members_of, spherical_means
from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.regularizers._shared import FAR, masked_mean, valid_pairs
from mmcl.types import l2_normalize


class Prototypes:
    """Clusters of one modality teach the other.

    Clusters of one side teach the other: an anchor's logits over its side's cluster means follow how alike the
    clusters are.

    k-means of b gives clusters; a's centroids are the means of the anchors of a under *those* labels. Loss: ``CE(a_i
    . C_a / temperature, softmax_q(C_b[label_i] . C_b[q] / t))``.

    Args:
        n_clusters: Clusters.
        temperature: Divides the logits.
        t: Temperature of the targets.

    Reference:
        Chen et al., "ProtoCLIP" [C], clustered in the batch.

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> Prototypes(n_clusters=2)(example_batch()).shape
        torch.Size([])
    """

    formula = r"\mathrm{CE}(a_i^\top C^a / \tau,\; \mathrm{softmax}_q(C^b_{k(i)} \cdot C^b_q / t))"
    use_when = "a gap between modalities"
    source = "ProtoCLIP [C]"

    requires: frozenset[str] = frozenset()
    default_weight = 0.1

    def __init__(self, n_clusters: int = 16, temperature: float = 0.1, t: float = 0.05):
        self.n_clusters, self.temperature, self.t = n_clusters, temperature, t

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        a, b, is_valid = valid_pairs(pairs)
        with torch.no_grad():
            centre = spherical_means(b, min(self.n_clusters, len(b)))
            member = members_of(b, centre) * is_valid[:, None]
            filled = member.sum(0) > 0
            between = torch.where(filled[None], centre @ centre.T / self.t, FAR)
            target = member @ between.softmax(1)
        ours = l2_normalize(member.T @ a)
        logit = torch.where(filled[None], a @ ours.T / self.temperature, FAR).log_softmax(1)
        return masked_mean(-(target * torch.where(filled[None], logit, 0.0)).sum(1), is_valid)
