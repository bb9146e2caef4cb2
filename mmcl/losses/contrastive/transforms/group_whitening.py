"""Whitens random groups of channels."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mmcl.distributed import all_gather_with_grad
from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.types import l2_normalize


class GroupWhitening:
    """Whitens random groups of channels.

    Whiten channels in randomly drawn groups, so that no direction is preferred: ZCA of each group's covariance.

    Queries by the statistics of all queries, positives and negatives by those of all positives, each with a
    permutation of its own; the statistics are constants to the gradient. With no more anchors than a group has
    channels, or channels that do not divide into groups, nothing is changed.

    Args:
        n_groups: Groups of channels.
        eps: Is added to the covariance.

    Reference:
        Zhuo et al., "WhitenedCSE", ACL 2023 [C], with an eps.

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> GroupWhitening()(example_batch()).query.shape
        torch.Size([4, 8])
    """

    formula = r"\Sigma_g^{-1/2} (z_g - \mu_g)"
    use_when = "dimensions collapse"
    source = "WhitenedCSE [C]"

    requires: frozenset[str] = frozenset()
    capturable = False  # an eigendecomposition waits for the GPU

    def __init__(self, n_groups: int = 8, eps: float = 1e-3):
        self.n_groups, self.eps = n_groups, eps

    def __call__(self, pairs: ContrastBatch) -> ContrastBatch:
        if pairs.query.shape[1] % self.n_groups:
            return pairs
        is_valid = torch.ones(len(pairs.query), dtype=torch.bool, device=pairs.query.device)
        is_valid = all_gather_with_grad(is_valid if pairs.valid is None else pairs.valid)
        order, undo = self._order(pairs.query)
        query = self._whiten(pairs.query, all_gather_with_grad(pairs.query), is_valid, order, undo)
        order, undo = self._order(pairs.positive)
        positives = all_gather_with_grad(pairs.positive)
        positive, negatives = (
            self._whiten(x, positives, is_valid, order, undo) for x in (pairs.positive, pairs.negatives)
        )
        return replace(
            pairs, query=l2_normalize(query), positive=l2_normalize(positive), negatives=l2_normalize(negatives)
        )

    def _order(self, x: Tensor) -> tuple[Tensor, Tensor]:
        order = all_gather_with_grad(torch.rand(1, x.shape[1], device=x.device))[0].argsort()
        return order, order.argsort()

    def _whiten(self, x: Tensor, positives: Tensor, is_valid: Tensor, order: Tensor, undo: Tensor) -> Tensor:
        size = x.shape[1] // self.n_groups

        def groups(z):
            return z[:, order].unflatten(1, (self.n_groups, size)).transpose(0, 1)  # group anchor channel

        with torch.no_grad():
            weight = is_valid.to(x.dtype)[None, :, None]
            n = weight.sum().clamp(min=1)
            z = groups(positives)
            mean = (z * weight).sum(1, keepdim=True) / n
            centred = (z - mean) * weight
            covariance = centred.transpose(1, 2) @ centred / n
            scale = covariance.diagonal(dim1=1, dim2=2).mean(1)[:, None, None].clamp(min=1e-6)
            eye = torch.eye(size, device=x.device, dtype=x.dtype)
            value, vector = torch.linalg.eigh(covariance + self.eps * scale * eye)
            whitening = vector @ (value.clamp(min=1e-12).rsqrt()[..., None] * vector.transpose(1, 2))
        white = ((groups(x) - mean) @ whitening).transpose(0, 1).flatten(1)[:, undo]
        return torch.where(is_valid.sum() > size, white, x)
