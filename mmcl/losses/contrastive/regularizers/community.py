"""Soft communities."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.regularizers._shared import masked_mean, valid_pairs
from mmcl.types import l2_normalize


class Community(nn.Module):
    """Soft communities.

    Anchors fall into soft communities that are dense inside and sparse between; an anchor is contrasted with the
    communities.

    ``R = softmax(h . centre / t)``, A the graph of cosines above their mean: ``DeCA = (lam sum(R' A R) - (n - 1 +
    lam) tr(R' A R)) / (n (n - 1)) + tr(R' R) / 2n``; then InfoNCE of each anchor with the (constant) community means,
    its likeliest the positive. DeCA's share falls as ``exp(-progress)``, the other's rises.

    Args:
        dim: Size of the embeddings.
        n_communities: Communities.
        t: Temperature.
        lam: Weight of the density.

    Reference:
        Li et al., "gCooL", WWW 2022 [C; formula].

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> Community(8, n_communities=2)(example_batch()).shape
        torch.Size([])
    """

    formula = r"e^{-p} L_{\mathrm{DeCA}} + (1 - e^{-p}) L_{\mathrm{NCE}}(b, \bar c)"
    use_when = "groups without labels"
    source = "gCooL [C]"

    requires: frozenset[str] = frozenset()
    capturable = False  # reads the progress
    default_weight = 0.1

    def __init__(self, dim: int, n_communities: int = 10, t: float = 0.4, lam: float = 1.0):
        super().__init__()
        self.centre = nn.Parameter(nn.functional.normalize(torch.randn(n_communities, dim), dim=-1))
        self.t, self.lam = t, lam

    def forward(self, pairs: ContrastBatch) -> Tensor:
        a, b, is_valid = valid_pairs(pairs)
        r = (a @ l2_normalize(self.centre).T / self.t).softmax(1) * is_valid[:, None]
        n = is_valid.sum().clamp(min=2)
        with torch.no_grad():
            cosine = a @ b.T
            both = is_valid[:, None] * is_valid[None, :] * (1 - torch.eye(len(a), device=a.device, dtype=a.dtype))
            graph = (cosine > masked_mean(cosine, both)).to(a.dtype) * both
        between = r.T @ graph @ r
        deca = (self.lam * between.sum() - (n - 1 + self.lam) * between.diagonal().sum()) / (n * (n - 1))
        deca = deca + r.square().sum() / (2 * n)
        member = r.detach()
        mean = l2_normalize(member.T @ a.detach())
        own = member.argmax(1)
        contrast = nn.functional.cross_entropy(b @ mean.T / self.t, own, reduction="none")
        share = math.exp(-pairs.progress)
        return share * deca + (1 - share) * masked_mean(contrast, is_valid)
