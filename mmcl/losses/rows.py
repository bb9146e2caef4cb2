"""Rows: what one query loses against its positive and its negatives. Each takes (pairs, target, tau) -> ``(query,)``.

Marks of the sources: [C] read in the authors' public code, [P] in the paper, [A] abstract alone, [M] from memory.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy, softplus

from mmcl.errors import InputError
from mmcl.losses.clusters import members_of, spherical_means
from mmcl.losses.pairs import Pairs
from mmcl.losses.weighting import log_count
from mmcl.precision import at_least_float32
from mmcl.processes import gather, rank


def unit(x: Tensor) -> Tensor:
    """Unit length over the last axis, in float32 or better; a zero vector stays zero."""
    return nn.functional.normalize(at_least_float32(x), dim=-1)


def weighted_info_nce(
    positive: Tensor,
    negative: Tensor,
    mask: Tensor,
    log_weight: Tensor | None = None,
    *,
    temperature: float,
    tau: float = 0.0,
    target: Tensor | None = None,
    log_n: Tensor | None = None,
) -> Tensor:
    """Loss of each row from its logits, all in log space.

    positive: ``(query,)``, negative: ``(query, negative)``, both cosine / temperature. mask: True
    where the negative belongs to the row, broadcastable to ``negative``. log_weight: as
    ``negative``, -inf removes one. target: as ``negative``, >= 0, rows adding up to at most 1: the share
    of the row's attraction that goes to these in place of its positive. log_n: ``(query,)``, log of how many
    negatives there are, where weights say that some hardly count. Returns ``(query,)``; 0 for a row
    without negatives.
    """
    mask = mask.expand_as(negative)
    if log_weight is not None:
        mask = mask & (log_weight > -math.inf)
    log_sum, some = _log_sum(negative, mask, log_weight)
    if tau > 0:
        log_n = log_count(mask, None, positive.dtype) if log_n is None else log_n
        log_sum = _log_subtract(log_sum, positive + log_n + math.log(tau)) - math.log1p(-tau)
        log_sum = torch.maximum(log_sum, log_n - 1 / temperature)
    loss = softplus(log_sum - positive)
    if target is not None:
        to_others = (target * softplus(log_sum[:, None] - negative)).sum(-1)
        loss = (1 - target.sum(-1)) * loss + to_others
    return torch.where(some, loss, 0.0)


def _log_sum(logit: Tensor, mask: Tensor, log_weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """``log sum_j w_j exp(s_ij)`` of each row, 0 for a row without negatives; and which rows have some."""
    some = mask.any(-1)
    s = logit if log_weight is None else logit + torch.where(mask, log_weight, 0.0)
    # a row without negatives gets finite stand-ins: its loss is discarded, its gradient is 0
    s = torch.where(mask, s, -math.inf)
    return torch.where(some[:, None], s, 0.0).logsumexp(-1), some


def _log_subtract(a: Tensor, b: Tensor) -> Tensor:
    """``log(exp(a) - exp(b))``, -inf where b >= a, with finite gradients everywhere."""
    valid = b < a
    gap = torch.where(valid, b - a, -1.0)
    return torch.where(valid, a + torch.log(-torch.expm1(gap)), -math.inf)


def info_nce(pairs: Pairs, target: Tensor | None = None, tau: float = 0.0) -> Tensor:
    """``-log(exp(s_ii) / (exp(s_ii) + Ng_i))``, Ng the debiased sum of weighted negatives.

    Source: van den Oord et al. 2018; tau: Chuang et al., NeurIPS 2020.
    """
    return weighted_info_nce(
        pairs.positive_logit,
        pairs.logit,
        pairs.mask,
        pairs.log_weight,
        temperature=pairs.temperature,
        tau=tau,
        target=target,
        # weights of concentration average 1, so that the sum of all weights counts a row's negatives
        log_n=log_count(pairs.mask, pairs.log_weight, pairs.positive_logit.dtype) if tau > 0 else None,
    )


class Decoupled:
    """The positive is no part of what it is compared with: ``-w_i s_ii + log sum_j exp(s_ij + g_ij)``.

    within: the other queries are negatives too. sigma: None, or ``w_i = 2 - N softmax_i(cos_ii / sigma)`` over all N
    rows, so that far positives pull more (DCLW, .5). Least sensitive to small batches.
    Source: Yeh et al., "Decoupled contrastive learning", ECCV 2022 [C].
    """

    whole = True

    def __init__(self, within: bool = False, sigma: float | None = None):
        self.within, self.sigma = within, sigma

    def __call__(self, pairs: Pairs, target: Tensor | None = None, tau: float = 0.0) -> Tensor:
        logit, mask, weight = pairs.logit, pairs.mask, pairs.log_weight
        if self.within:
            others, number = gather(pairs.query), torch.arange(len(logit), device=logit.device)
            own = number + rank() * len(number)
            there = (
                torch.ones(len(logit), dtype=torch.bool, device=logit.device)
                if pairs.real is None
                else pairs.real
            )
            apart = (own[:, None] != torch.arange(len(others), device=logit.device)) & gather(there)
            logit = torch.cat([logit, pairs.query @ others.T / pairs.temperature], 1)
            weight = None if weight is None else torch.cat([weight, weight.new_zeros(apart.shape)], 1)
            mask = torch.cat([mask, apart], 1)
        log_sum, some = _log_sum(logit, mask, weight)
        scale = 1.0 if self.sigma is None else self._pull(pairs, self.sigma)
        return torch.where(some, log_sum - scale * pairs.positive_logit, 0.0)

    @staticmethod
    def _pull(pairs: Pairs, sigma: float) -> Tensor:
        cosine = (pairs.query * pairs.positive).sum(-1).detach() / sigma
        counted = pairs.counts
        every = torch.where(gather(counted), gather(cosine), -torch.inf)
        return 2 - gather(counted).sum() * torch.where(counted, (cosine - every.logsumexp(0)).exp(), 0.0)


class AttractionRepulsion:
    """Far positives attract most, near negatives repel most, by conditional distributions over each.

    ``sum_v softmax_v(t+ c_v) alpha c_v - beta sum_j softmax_j(-t- d_j + g_j) d_j`` with squared distances c to a row's
    positives (its own, and keys that a target names) and d to its negatives. tau > 0 debiases the latter by the class
    prior: ``(E_j d - tau c) / (1 - tau)``. Source: Zheng et al., "Contrastive attraction and contrastive repulsion"
    (CACR), TMLR 2023 [C].
    """

    def __init__(
        self, alpha: float = 1.0, beta: float = 1.0, t_positive: float = 1.0, t_negative: float = 1.0
    ):
        self.alpha, self.beta, self.t_positive, self.t_negative = alpha, beta, t_positive, t_negative

    def __call__(self, pairs: Pairs, target: Tensor | None = None, tau: float = 0.0) -> Tensor:
        c = 2 - 2 * (pairs.query * pairs.positive).sum(-1, keepdim=True)
        d = 2 - 2 * pairs.query @ pairs.key.T
        if target is not None:
            others = torch.where(target > 0, d, 0.0)
            c_all = torch.cat([c, others], 1)
            meant = torch.cat([torch.ones_like(c, dtype=torch.bool), target > 0], 1)
            pull = torch.where(meant, self.t_positive * c_all, -torch.inf).softmax(-1)
            attraction = (pull * c_all).sum(-1)
        else:
            attraction = c[:, 0]
        weight = -self.t_negative * d + (
            0.0 if pairs.log_weight is None else torch.where(pairs.mask, pairs.log_weight, 0.0)
        )
        some = pairs.mask.any(-1)
        push = torch.where(some[:, None], torch.where(pairs.mask, weight, -torch.inf), 0.0).softmax(-1)
        repelled = ((push * d).sum(-1) - tau * c[:, 0]) / (1 - tau)
        return torch.where(some, self.alpha * attraction - self.beta * repelled, 0.0)


class GroupOrder:
    """Learn to sort: the positive behind the hardest negatives, by a differentiable odd-even sorting network.

    The ``n_hardest`` negatives in ascending order and the positive, ``v``, pass as many layers as there are values; a
    layer swaps neighbours softly, with probability of order ``atan(steepness phi(v_{k+1} - v_k)) / pi + 1/2``, ``phi(x)
    = x / (|x|^art + 1e-10)``. The row's loss is the binary cross-entropy of landing among the negatives' and in the
    positive's places against where each belongs. No gradient to the keys.
    Source: Shvetsova et al., "Learning by sorting" (GroCo), ICCV 2023 [C].
    """

    def __init__(self, n_hardest: int = 10, steepness: float = 1.0, art: float = 0.25):
        self.n_hardest, self.steepness, self.art = n_hardest, steepness, art

    def __call__(self, pairs: Pairs, target: Tensor | None = None, tau: float = 0.0) -> Tensor:
        weight = 0.0 if pairs.log_weight is None else torch.where(pairs.mask, pairs.log_weight, 0.0)
        cosine = pairs.query @ pairs.key.detach().T
        k = min(self.n_hardest, cosine.shape[1])
        chosen = torch.where(pairs.mask, cosine + weight, -torch.inf).topk(k, dim=1).indices.flip(1)
        there = pairs.mask.gather(1, chosen)
        hardest = torch.where(there, cosine.gather(1, chosen), -1.0)  # what is missing lies at the far end
        positive = (pairs.query * pairs.positive.detach()).sum(-1, keepdim=True)
        place = self.sort(torch.cat([hardest, positive], 1))  # row, place, value: probability
        belongs = torch.zeros_like(place[:, 0])
        belongs[:, -1] = 1.0
        among_positive = place[:, -1].clamp(0, 1)
        among_negative = place[:, :-1].sum(1).clamp(0, 1)
        loss = binary_cross_entropy(among_positive, belongs, reduction="none")
        loss = (loss + binary_cross_entropy(among_negative, 1 - belongs, reduction="none")).mean(1) / 2
        return torch.where(there.any(1), loss, 0.0)

    def sort(self, v: Tensor) -> Tensor:
        """``(row, place, value)``: where each value of ``(row, value)`` lands in ascending order."""
        n = v.shape[1]
        place = torch.eye(n, dtype=v.dtype, device=v.device).expand(len(v), n, n)
        for layer in range(n):
            first = torch.arange(layer % 2, n - 1, 2, device=v.device)
            if len(first) == 0:
                continue
            gap = v[:, first + 1] - v[:, first]
            gap = gap / ((gap.square() + 1e-20) ** (self.art / 2) + 1e-10)  # |gap|^art, smooth at 0
            stays = torch.atan(self.steepness * gap) / math.pi + 0.5  # probability that the two are in order
            v, place = self._swap(v, first, stays), self._swap(place, first, stays[..., None])
        return place

    @staticmethod
    def _swap(x: Tensor, first: Tensor, stays: Tensor) -> Tensor:
        a, b = x[:, first], x[:, first + 1]
        low, high = stays * a + (1 - stays) * b, stays * b + (1 - stays) * a
        return x.index_copy(1, first, low).index_copy(1, first + 1, high)


class ClusterProxy:
    """Sums of clusters stand for all negatives, so that the cost grows with rows, not with pairs.

    ``-log sum_{p in A(i)} e^{t cos(a_i, p)} + mean_q log sum_{q'} e^{t cos(A_q, B_q')}``: A(i) are a row's positives
    (its own, and keys that a target names), A_q and B_q the sums of the queries and of their positives in cluster q of
    the positives (k-means, no gradient through who belongs where), a cluster's cosine with itself set to 0.
    Source: "PamC", clustering with proxies [C; formula only].
    """

    whole = True

    def __init__(self, n_clusters: int = 16, t: float = 1.0):
        self.n_clusters, self.t = n_clusters, t

    def __call__(self, pairs: Pairs, target: Tensor | None = None, tau: float = 0.0) -> Tensor:
        cosine = self.t * (pairs.query * pairs.positive).sum(-1, keepdim=True)
        if target is not None:
            named = torch.where(target > 0, self.t * pairs.query @ pairs.key.T, -torch.inf)
            cosine = torch.cat([cosine, named], 1)
        real = torch.ones_like(cosine[:, 0]) if pairs.real is None else pairs.real.to(cosine.dtype)
        real = gather(real)
        a, b = gather(pairs.query), gather(pairs.positive)
        with torch.no_grad():
            centre = spherical_means(b, min(self.n_clusters, len(b)))
            member = members_of(b, centre) * real[:, None]
        sums = [member.T @ z for z in (a, b)]
        between = self.t * unit(sums[0]) @ unit(sums[1]).T
        q = len(between)
        between = torch.where(torch.eye(q, dtype=torch.bool, device=a.device), 0.0, between)
        filled = member.sum(0) > 0
        between = torch.where(filled[None, :], between, -torch.inf).logsumexp(1)
        apart = torch.where(filled, between, 0.0).sum() / filled.sum().clamp(min=1)
        return torch.where(pairs.mask.any(-1), apart - cosine.logsumexp(1), 0.0)


class OrdinalMix:
    """Mixtures by an ordinal label (``about.value``: a score, a length) as harder negatives and denser positives.

    Negatives: besides each key j of another value than the query's, ``l a_i + (1 - l) k_j``. Positives: where the
    query's value lies between two keys' values, the mixture of these two whose value is the query's; the row's loss is
    the mean of that against this positive and against its own.
    Source: Wu et al., "SupReMix" [A; coefficients M].
    """

    def __init__(self, share: float = 0.3):
        self.share = share

    def __call__(self, pairs: Pairs, target: Tensor | None = None, tau: float = 0.0) -> Tensor:
        y, y_key = needed(pairs.about.value, "ordinal-mix", "about.value"), needed(
            pairs.about_key.value, "ordinal-mix", "about_key.value"
        )  # fmt: skip
        share, cosine = self.share, pairs.query @ pairs.key.T
        norm = (share**2 + (1 - share) ** 2 + 2 * share * (1 - share) * cosine).clamp(min=1e-6).sqrt()
        mixed = (share + (1 - share) * cosine) / norm / pairs.temperature
        other = pairs.mask & (y_key[None, :] != y[:, None])
        logit, mask = torch.cat([pairs.logit, mixed], 1), torch.cat([pairs.mask, other], 1)
        weight = pairs.log_weight if pairs.log_weight is None else pairs.log_weight.repeat(1, 2)
        row = lambda positive: weighted_info_nce(
            positive, logit, mask, weight, temperature=pairs.temperature, tau=tau
        )
        gap = y_key[None, :] - y[:, None]
        below = torch.where(pairs.mask & (gap < 0), gap, -torch.inf)
        above = torch.where(pairs.mask & (gap > 0), gap, torch.inf)
        low, high = below.max(1), above.min(1)
        between = low.values.isfinite() & high.values.isfinite()
        lower, upper = torch.where(between, -low.values, 1.0), torch.where(between, high.values, 1.0)
        part = (upper / (lower + upper))[
            :, None
        ]  # of the lower one, so that the mixture has the query's value
        made = unit(part * pairs.key[low.indices] + (1 - part) * pairs.key[high.indices])
        second = row((pairs.query * made).sum(-1) / pairs.temperature)
        first = row(pairs.positive_logit)
        return torch.where(between, (first + second) / 2, first)


class Adversarial:
    """Negatives a small step from the positive that fail the task, positives a large step away that still pass it.

    The task is to tell whose positive b is: ``p(i | b) = softmax_i(a_i . b / temperature)`` over the rows (a network's own
    head, where one is given: head(b) -> logits over the rows). With g the gradient of its cross-entropy,
    ``b- = b + e_n g / |g|``, one more negative of the row; with g_c the contrastive gradient and g_kl that of
    KL(p(b) | p(b+)), ``b+ = b + e_p g_c / |g_c| - e_p g_kl / |g_kl|``. The row's loss is the mean of those with b and
    with b+ as the positive. Source: Lee et al., "Contrastive learning with adversarial perturbations" (CLAPS), ICLR
    2021 [C]; the task is ours, for paired recordings without one.
    """

    whole = True

    def __init__(self, negative: float = 0.1, positive: float = 0.5, head=None):
        self.negative, self.positive, self.head = negative, positive, head

    def __call__(self, pairs: Pairs, target: Tensor | None = None, tau: float = 0.0) -> Tensor:
        a, t = pairs.query, pairs.temperature
        row = lambda positive, extra: weighted_info_nce(
            positive,
            torch.cat([pairs.logit, extra[:, None]], 1),
            torch.cat([pairs.mask, pairs.mask.any(-1, keepdim=True)], 1),
            None if pairs.log_weight is None else nn.functional.pad(pairs.log_weight, (0, 1)),
            temperature=t,
            tau=tau,
        )
        near, far = self._perturbed(pairs)
        minus = (a * near).sum(-1) / t
        return (row(pairs.positive_logit, minus) + row((a * far).sum(-1) / t, minus)) / 2

    def _perturbed(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """b- and b+, of unit length; the steps are constants to the gradient."""
        a, b = pairs.query.detach(), pairs.positive.detach()
        task = self.head or (lambda x: x @ gather(a).T / pairs.temperature)
        own = torch.arange(len(a), device=a.device) + rank() * len(a)
        step = lambda x, size: size * nn.functional.normalize(x, dim=-1)
        with torch.enable_grad():
            x = b.clone().requires_grad_()
            wrong = nn.functional.cross_entropy(task(x), own, reduction="sum")
            (g,) = torch.autograd.grad(wrong, x)
            logit, mask = a @ pairs.key.detach().T / pairs.temperature, pairs.mask
            x = b.clone().requires_grad_()
            lost = weighted_info_nce(
                (a * x).sum(-1) / pairs.temperature, logit, mask, temperature=pairs.temperature
            )
            (g_c,) = torch.autograd.grad(lost.sum(), x)
            x = (b + step(g_c, self.positive)).requires_grad_()
            before = task(b).log_softmax(-1).detach()
            kl = nn.functional.kl_div(task(x).log_softmax(-1), before, log_target=True, reduction="sum")
            (g_kl,) = torch.autograd.grad(kl, x)
        b_live = pairs.positive
        near = unit(b_live + step(g, self.negative))
        return near, unit(b_live + step(g_c, self.positive) - step(g_kl, self.positive))


class Ranker(nn.Module):
    """A cross-encoder that sees both sides ranks a row's candidates, and distils its order into the embeddings.

    f = MLP([a * k, |a - k|]) of the positive and the ``n_hardest`` negatives, p = softmax(s) of the embeddings over the
    same, q = softmax(f / T), r_j = log sigmoid(f_pos - f_j)::

        -log softmax(f)_pos + (1 - reward) (-sum_j q_j log p_j) + reward sum_j r_j log p_j

    q and r are constants to the gradient. Source: Zhang et al., "Adversarial retriever-ranker" (AR2), ICLR 2022 [C]; the
    ranker here stands on the embeddings.
    """

    def __init__(self, dim: int, n_hardest: int = 15, reward: float = 0.2, t: float = 1.0):
        super().__init__()
        self.n_hardest, self.reward, self.t = n_hardest, reward, t
        self.rank = nn.Sequential(nn.Linear(2 * dim, dim), nn.ReLU(), nn.Linear(dim, 1))

    def forward(self, pairs: Pairs, target: Tensor | None = None, tau: float = 0.0) -> Tensor:
        weight = 0.0 if pairs.log_weight is None else torch.where(pairs.mask, pairs.log_weight, 0.0)
        weighted = torch.where(pairs.mask, pairs.logit + weight, -torch.inf)
        chosen = weighted.topk(min(self.n_hardest, weighted.shape[1]), dim=1)
        some = pairs.mask.any(-1)
        there = nn.functional.pad(pairs.mask.gather(1, chosen.indices), (1, 0), value=True)
        candidates = torch.cat([pairs.positive[:, None], pairs.key[chosen.indices]], 1)
        both = torch.cat([pairs.query[:, None] * candidates, (pairs.query[:, None] - candidates).abs()], -1)
        hidden = lambda x: x.masked_fill(~there, -1e4)
        f = hidden(self.rank(both)[..., 0])
        log_p = hidden(
            torch.cat([pairs.positive_logit[:, None], torch.where(there[:, 1:], chosen.values, 0.0)], 1)
        )
        log_p = torch.where(there, log_p.log_softmax(1), 0.0)
        with torch.no_grad():
            q = (f / self.t).softmax(1)
            r = torch.where(there, nn.functional.logsigmoid(f[:, :1] - f), 0.0)
        ranked = -f.log_softmax(1)[:, 0]
        distilled = (1 - self.reward) * -(q * log_p).sum(1) + self.reward * (r * log_p).sum(1)
        return torch.where(some, ranked + distilled, 0.0)


def needed(x: Tensor | None, part: str, what: str) -> Tensor:
    """x, or the error that says which part needs what."""
    if x is None:
        raise InputError(f"{part}: needs {what}, which is not known here")
    return x
