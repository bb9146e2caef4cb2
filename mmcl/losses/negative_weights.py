"""How much each negative counts: callables pairs -> ``(query, key)`` log-weights, 0 = as it is, -inf = not at all.

They add up in the order given; each sees what those before it left (``pairs.mask``, ``pairs.log_weight``), so that
concentration, which comes last, looks for hard negatives among what is not known to be false.
Marks of the sources: [C] read in the authors' public code, [P] in the paper, [A] abstract alone, [M] from memory.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmcl.losses.clusters import members_of, spherical_means
from mmcl.losses.pairs import Pairs, same_label
from mmcl.losses.rows import needed, unit
from mmcl.losses.weighting import concentration

SUREST = 1 - 1e-6


def log_keep(share: Tensor) -> Tensor:
    """``log share``, -inf where it is 0."""
    return torch.where(share > 1 - SUREST, share.clamp(min=1 - SUREST).log(), -torch.inf)


class Concentration:
    """Near negatives count more: ``exp(beta s_ij)``, averaging 1 over a row (see ``weighting.concentration``).

    Source: Robinson et al., ICLR 2021 [C]; Choi et al. 2023 [C].
    """

    def __init__(self, beta: float = 1.0, detach: bool = False):
        self.beta, self.detach = beta, detach

    def __call__(self, pairs: Pairs) -> Tensor:
        return concentration(pairs.logit, pairs.mask, self.beta, self.detach, pairs.log_weight)


class ClusterCount:
    """A negative counts by the share of clusterings that part it from the query: ``1 - mean_r [c_r(i) = c_r(j)]``.

    What is clustered: the keys' auxiliary space where one is given, else the teacher's, else the keys themselves; the
    query stands where its positive does. One always together is no negative. Source: Peng et al., "MEOW" [C].
    """

    whole = True  # one clustering for all rows

    def __init__(self, n_clusters: int = 40, n_clusterings: int = 8):
        self.n_clusters, self.n_clusterings = n_clusters, n_clusterings

    def __call__(self, pairs: Pairs) -> Tensor:
        own, key = space_of(pairs)
        centre = spherical_means(key, min(self.n_clusters, len(key)), self.n_clusterings)
        together = torch.einsum("krc,ksc->rs", members_of(own, centre), members_of(key, centre))
        return log_keep(1 - together / self.n_clusterings)


class LearnedWeight(nn.Module):
    """``sigmoid(MLP(z_i + z_j))``, an MLP dim - 16 - tanh - 1 that learns with the rest.

    Source: Peng et al., "AdaMEOW" [C]. That weights all fall to 0 is a minimum of the plain loss; the weights of a row
    are therefore divided by their mean.
    """

    def __init__(self, dim: int, hidden: int = 16):
        super().__init__()
        self.first, self.second = nn.Linear(dim, hidden), nn.Linear(hidden, 1)

    def forward(self, pairs: Pairs) -> Tensor:
        q = self.first(pairs.query)[:, None] + nn.functional.linear(pairs.key, self.first.weight)[None]
        log_w = nn.functional.logsigmoid(self.second(torch.tanh(q))[..., 0])
        some = pairs.mask.any(-1, keepdim=True)
        seen = torch.where(some, torch.where(pairs.mask, log_w, -torch.inf), 0.0)
        n = pairs.mask.sum(-1, keepdim=True).clamp(min=1).to(log_w.dtype)
        mean = seen.logsumexp(-1, keepdim=True) - n.log()
        return torch.where(some, log_w - mean, 0.0)


class MarginFilter:
    """Only what is farther than the positive by a margin is a negative: ``cos_ij < cos_ii - margin``.

    share: the other rule of the source, ``cos_ij < share cos_ii`` (.95), where margin is None.
    Source: "LG-ANNA" [A; rule M].
    """

    def __init__(self, margin: float | None = 0.05, share: float = 0.95):
        self.margin, self.share = margin, share

    def __call__(self, pairs: Pairs) -> Tensor:
        with torch.no_grad():
            own = (pairs.query * pairs.positive).sum(-1, keepdim=True)
            limit = self.share * own if self.margin is None else own - self.margin
            return torch.where(pairs.query @ pairs.key.T < limit, 0.0, -torch.inf)


class OwnClusterOnly:
    """Only what shares the query's cluster of an auxiliary space is a negative: the hard ones.

    Source: "LEMON" [A]. A row alone in its cluster has no negatives, and no loss.
    """

    whole = True

    def __init__(self, n_clusters: int = 8):
        self.n_clusters = n_clusters

    def __call__(self, pairs: Pairs) -> Tensor:
        own, key = space_of(pairs)
        centre = spherical_means(key, min(self.n_clusters, len(key)))
        return log_keep(members_of(own, centre) @ members_of(key, centre).T)


class Confidence:
    """A negative counts by how sure it is that it is one: ``1 - p(i, j)``, p the probability that both show the same.

    p from a teacher, ``max(0, cos of its encodings)^power``, or where there is none, from ``about.value``, a score in [0, 1]
    of what both would show: ``v_i v_j``. Source: the relevance model of "CET" [A]; this analogue is ours.
    """

    def __init__(self, power: float = 4.0):
        self.power = power

    def __call__(self, pairs: Pairs) -> Tensor:
        a, b = pairs.about, pairs.about_key
        with torch.no_grad():
            if a.teacher is not None and b.teacher is not None:
                p = (unit(a.teacher) @ unit(b.teacher).T).clamp(0, 1) ** self.power
            else:
                y = needed(a.value, "confidence", "about.teacher or about.value")
                p = y[:, None] * needed(b.value, "confidence", "about_key.value")[None, :]
        return log_keep(1 - p.clamp(0, 1))


class Propensity:
    """Pairs that look alike are drawn too often: weights ``(1 + cos semantic) / (1 + cos surface)``, a row's mean 1.

    Semantic: the embeddings' cosine, surface: that of the auxiliary space (raw features), of the query's positive and key. Stands for sampling by these
    probabilities, whose expectation it is. Source: Miao et al., "DebCSE" [A; form ours].
    """

    def __call__(self, pairs: Pairs) -> Tensor:
        own = unit(needed(pairs.about_positive.auxiliary, "propensity", "about_positive.auxiliary"))
        key = unit(needed(pairs.about_key.auxiliary, "propensity", "about_key.auxiliary"))
        with torch.no_grad():
            semantic, surface = pairs.query @ pairs.key.T, own @ key.T
            ratio = torch.where(pairs.mask, (1.05 + semantic) / (1.05 + surface), 0.0)
            n = pairs.mask.sum(-1, keepdim=True).clamp(min=1)
            mean = ratio.sum(-1, keepdim=True) / n
            return torch.where(pairs.mask, (ratio / mean.clamp(min=1e-6)).clamp(min=1e-6).log(), 0.0)


class SameLabel:
    """What has the query's label is no negative; of several labels it counts by ``1 - Jaccard``."""

    def __call__(self, pairs: Pairs) -> Tensor:
        y, y_key = pairs.about.label, pairs.about_key.label
        same = same_label(
            needed(y, "same-label", "about.label"), needed(y_key, "same-label", "about_key.label")
        )
        return log_keep(1 - same)


class OwnGroupOnly:
    """Negatives are of the query's own group alone (``about.group``: a subject, a site), so that what tells them apart is
    what is done, never who does it, and embeddings need not say who.

    others: how much the rest counts, 0 = not at all. A row that would have none keeps all of its negatives. Source: subject-aware contrast, Cheng et al. 2020 (arXiv
    2007.04871) [A], for two modalities here.
    """

    def __init__(self, others: float = 0.0):
        self.others = others

    def __call__(self, pairs: Pairs) -> Tensor:
        own, key = pairs.about.group, pairs.about_key.group
        same = needed(own, "own-group", "about.group")[:, None] == needed(key, "own-group", "about_key.group")
        alone = ~(same & pairs.mask).any(-1, keepdim=True)
        return log_keep(torch.where(same | alone, 1.0, self.others))


class OwnRecordingOnly:
    """Negatives are the other rows of the query's own recording alone (``about.index``): the grounded ones.

    Source: the own-negatives loss of "DeGLA" [C], whose negatives are made from a caption; here a recording has them.
    """

    def __call__(self, pairs: Pairs) -> Tensor:
        own, key = pairs.about.index, pairs.about_key.index
        same = needed(own, "own-recording", "about.index")[:, None] == needed(
            key, "own-recording", "about_key.index"
        )
        return torch.where(same, 0.0, -torch.inf)


def space_of(pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Where queries and keys lie in the space that is clustered, unit length, no gradient. A query stands where its positive
    does, in the keys' own stream: embeddings before projection of different streams have no cosine."""
    for name in ("auxiliary", "teacher"):
        own, key = getattr(pairs.about_positive, name), getattr(pairs.about_key, name)
        if own is not None and key is not None:
            return unit(own.detach()), unit(key.detach())
    return pairs.positive.detach(), pairs.key.detach()
