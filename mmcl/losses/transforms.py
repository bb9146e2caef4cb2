"""What is done to embeddings before they are compared: callables pairs -> pairs with query, positive or key changed.

In evaluation a module among them changes nothing. Marks of the sources as in ``rows``.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from mmcl.losses.negative_weights import space_of
from mmcl.losses.pairs import Pairs
from mmcl.losses.rows import unit
from mmcl.processes import gather


class Extrapolate:
    """Push the two sides of a pair apart: ``a' = l a + (1 - l) b, b' = l b + (1 - l) a``, l = 1 + Beta(alpha, alpha).

    Their inner product falls to ``2 l (1 - l) + (2 l^2 - 2 l + 1) cos``; not renormalised. Keys stay as they are.
    Source: Zhu et al., "Visualizing feature transformation" (FT), ICCV 2021 [C].
    """

    def __init__(self, alpha: float = 2.0):
        self.alpha = alpha

    def __call__(self, pairs: Pairs) -> Pairs:
        share = torch.full((2,), self.alpha, device=pairs.query.device)
        drawn = torch.distributions.Beta(share[0], share[1]).sample((1,)).to(pairs.query.dtype)
        part = 1 + gather(drawn)[0]  # alike on all processes
        a, b = pairs.query, pairs.positive
        return replace(pairs, query=part * a + (1 - part) * b, positive=part * b + (1 - part) * a)


class MixNegatives:
    """Negatives between negatives: ``n' = u n + (1 - u) n[permutation]``, u ~ Beta(alpha, alpha), beside the keys.

    A mixture is a negative of a row of which both its parts are. Source: as ``Extrapolate`` (alpha 1.6) [C].
    """

    def __init__(self, alpha: float = 1.6):
        self.alpha = alpha

    def __call__(self, pairs: Pairs) -> Pairs:
        key, n = pairs.key, len(pairs.key)
        lottery = torch.rand(1, n, device=key.device)
        share = torch.distributions.Beta(self.alpha, self.alpha).sample((1, n)).to(key)
        order, share = gather(lottery)[0].argsort(), gather(share)[0][:, None]  # alike on all processes
        mixed = share * key + (1 - share) * key[order]
        both = pairs.mask & pairs.mask[:, order]
        weight = pairs.log_weight
        if weight is not None:
            weight = torch.cat([weight, torch.minimum(weight, weight[:, order])], 1)
        return replace(
            pairs,
            key=torch.cat([key, mixed]),
            mask=torch.cat([pairs.mask, both], 1),
            logit=pairs.logit.new_zeros(len(pairs.query), 0),
            log_weight=weight,
            about_key=pairs.about_key.map(lambda x: torch.cat([x, x])),
            parent=torch.cat([torch.arange(n, device=key.device), order]),
        )


class GroupWhitening:
    """Whiten channels in randomly drawn groups, so that no direction is preferred: ZCA of each group's covariance.

    Queries by the statistics of all queries, positives and keys by those of all positives, each with a permutation of
    its own; the statistics are constants to the gradient. With no more rows than a group has channels, or channels that do not
    divide into groups, nothing is changed. Source: Zhuo et al., "WhitenedCSE", ACL 2023 [C], with an eps.
    """

    def __init__(self, n_groups: int = 8, eps: float = 1e-3):
        self.n_groups, self.eps = n_groups, eps

    def __call__(self, pairs: Pairs) -> Pairs:
        if pairs.query.shape[1] % self.n_groups:
            return pairs
        real = torch.ones(len(pairs.query), dtype=torch.bool, device=pairs.query.device)
        real = gather(real if pairs.real is None else pairs.real)
        order, undo = self._order(pairs.query)
        query = self._whiten(pairs.query, gather(pairs.query), real, order, undo)
        order, undo = self._order(pairs.positive)
        every = gather(pairs.positive)
        positive, key = (self._whiten(x, every, real, order, undo) for x in (pairs.positive, pairs.key))
        return replace(pairs, query=unit(query), positive=unit(positive), key=unit(key))

    def _order(self, x: Tensor) -> tuple[Tensor, Tensor]:
        order = gather(torch.rand(1, x.shape[1], device=x.device))[0].argsort()
        return order, order.argsort()

    def _whiten(self, x: Tensor, every: Tensor, real: Tensor, order: Tensor, undo: Tensor) -> Tensor:
        size = x.shape[1] // self.n_groups
        groups = lambda z: (
            z[:, order].unflatten(1, (self.n_groups, size)).transpose(0, 1)
        )  # group row channel
        with torch.no_grad():
            weight = real.to(x.dtype)[None, :, None]
            n = weight.sum().clamp(min=1)
            z = groups(every)
            mean = (z * weight).sum(1, keepdim=True) / n
            centred = (z - mean) * weight
            covariance = centred.transpose(1, 2) @ centred / n
            scale = covariance.diagonal(dim1=1, dim2=2).mean(1)[:, None, None].clamp(min=1e-6)
            eye = torch.eye(size, device=x.device, dtype=x.dtype)
            value, vector = torch.linalg.eigh(covariance + self.eps * scale * eye)
            whitening = vector @ (value.clamp(min=1e-12).rsqrt()[..., None] * vector.transpose(1, 2))
        white = ((groups(x) - mean) @ whitening).transpose(0, 1).flatten(1)[:, undo]
        return torch.where(real.sum() > size, white, x)


class NeighbourPositive(nn.Module):
    """The positive becomes a learned mixture of the keys nearest to it in another space, itself among them.

    ``sum_r g_r z_r``, ``g = dropout(softmax_r(leaky_relu(v . [W e_i; W e_r])))`` over the ``n`` nearest of the auxiliary
    space (the teacher's; the positive's own, where there is none). Source: Cui et al., "SRA-CL" [C].
    """

    def __init__(self, dim: int, n: int = 4, hidden: int = 32, dropout: float = 0.5):
        super().__init__()
        self.n, self.dropout = n, dropout
        self.map, self.ask = nn.Linear(dim, hidden), nn.Linear(2 * hidden, 1)

    def forward(self, pairs: Pairs) -> Pairs:
        if not self.training:
            return pairs
        with torch.no_grad():
            own, key = space_of(pairs)
            near = (own @ key.T).topk(min(self.n, len(key)), dim=1).indices
        candidates = torch.cat([pairs.positive[:, None], pairs.key[near]], 1)  # row, one of n + 1, dim
        e = self.map(candidates.detach())
        asked = torch.cat([e[:, :1].expand_as(e), e], -1)
        share = nn.functional.leaky_relu(self.ask(asked)[..., 0]).softmax(1)
        share = nn.functional.dropout(share, self.dropout)
        share = torch.where(share.sum(1, keepdim=True) > 0, share, torch.full_like(share, 1 / share.shape[1]))
        return replace(pairs, positive=unit((share[..., None] * candidates).sum(1)))


class LearnedView(nn.Module):
    """Augmentation learned in embedding space: each side moves by a small network of its own, ``unit(z + MLP(z))``.

    Its weights learn with the rest; the source's alternating meta steps are left out. Use it with the adaptive
    margin, which keeps views from collapsing. Source: Qin et al., "MCLRec", SIGIR 2023 [C].
    """

    def __init__(self, dim: int, hidden: int = 32):
        super().__init__()
        made = lambda: nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, dim))
        self.first, self.second = made(), made()

    def forward(self, pairs: Pairs) -> Pairs:
        if not self.training:
            return pairs
        move = lambda x, by: unit(x + 0.1 * by(x))
        return replace(
            pairs,
            query=move(pairs.query, self.first),
            positive=move(pairs.positive, self.second),
            key=move(pairs.key, self.second),
        )
