"""Terms beside the contrast, of all rows of all processes: callables pairs -> scalar.

Every process returns the whole value, whose gradient ``processes.gather`` makes that of one process with all rows.
Marks of the sources as in ``rows``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from mmcl.losses.clusters import members_of, spherical_means
from mmcl.losses.pairs import Pairs
from mmcl.losses.rows import needed, unit
from mmcl.processes import gather

FAR = -1e9  # a logit of what is not there


def real_rows(pairs: Pairs) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and positives of all processes and, ``(row,)`` 0 or 1, which count."""
    real = torch.ones(len(pairs.query), device=pairs.query.device) if pairs.real is None else pairs.real
    return gather(pairs.query), gather(pairs.positive), gather(real.to(pairs.query.dtype))


def mean_over(x: Tensor, weight: Tensor) -> Tensor:
    return (x * weight).sum() / weight.sum().clamp(min=1)


def log_mean_kernel(z: Tensor, real: Tensor, t: float) -> Tensor:
    """``log mean_{i != j} exp(-t |z_i - z_j|^2)`` over the real rows; 0 where there are not two."""
    both = real[:, None] * real[None, :] * (1 - torch.eye(len(z), device=z.device, dtype=z.dtype))
    some = both.sum() > 0
    exponent = torch.where(both > 0, -t * _squared(z), torch.where(some, -torch.inf, 0.0))
    return torch.where(some, exponent.flatten().logsumexp(0) - both.sum().clamp(min=1).log(), 0.0)


def _squared(z: Tensor) -> Tensor:
    norm = z.square().sum(1)
    return (norm[:, None] + norm[None] - 2 * z @ z.T).clamp(min=0)


class AlignUniform:
    """``mean |a - b|^2 + share (U(a) + U(b)) / 2``, U the log mean of Gaussian kernels of all rows.

    Source: Wang and Isola, ICML 2020 [C].
    """

    def __init__(self, share: float = 1.0, t: float = 2.0):
        self.share, self.t = share, t

    def __call__(self, pairs: Pairs) -> Tensor:
        a, b, real = real_rows(pairs)
        align = mean_over((a - b).square().sum(-1), real)
        return align + self.share * (log_mean_kernel(a, real, self.t) + log_mean_kernel(b, real, self.t)) / 2


class CommonSalient:
    """Half of the dimensions are common to all rows, the other half salient of events; neither may tell the other.

    With y = 1 for events (about.label > 0) and s, c the halves: ``common (align + 2 unif)(c) + target (align + 2 unif)(s |
    y = 1) + background mean |s|^2 (y = 0) + joint mean_i log mean_j K(c_i, c_j) K(s_i, s_j)``, ``align = |x - y|^2 / 2t``,
    ``unif = log mean exp(-d^2 / 2t)``. Source: Louiset et al., "SepCLR", ICLR 2024 [C]; a background's salient half goes to 0.
    """

    def __init__(
        self,
        common: float = 1.0,
        target: float = 1.0,
        background: float = 1.0,
        joint: float = 1.0,
        t: float = 0.5,
    ):
        self.common, self.target, self.background, self.joint, self.t = common, target, background, joint, t

    def __call__(self, pairs: Pairs) -> Tensor:
        a, b, real = real_rows(pairs)
        label = gather(needed(pairs.about.label, "common-salient", "about.label"))
        event = (label > 0 if label.ndim == 1 else label.sum(1) > 0).to(a.dtype) * real
        half, k = a.shape[1] // 2, 1 / (2 * self.t)
        (c_a, s_a), (c_b, s_b) = ((z[:, :half], z[:, half:]) for z in (a, b))
        spread = lambda x, y, w: log_mean_kernel(x, w, k) + log_mean_kernel(y, w, k)
        term = lambda x, y, w: k * mean_over((x - y).square().sum(-1), w) + spread(x, y, w)
        empty = mean_over((s_a.square().sum(-1) + s_b.square().sum(-1)) / 2, real - event)
        both = torch.where(
            real[:, None] * real[None, :] > 0, -k * (_squared(c_a) + _squared(s_a)), -torch.inf
        )
        joint = mean_over(
            torch.where(real > 0, torch.where(real[:, None] > 0, both, 0.0).logsumexp(1), 0.0)
            - real.sum().clamp(min=1).log(),
            real,
        )
        return (
            self.common * term(c_a, c_b, real)
            + self.target * term(s_a, s_b, event)
            + self.background * empty
            + self.joint * joint
        )


class StdHinge:
    """Keep every dimension alive: ``mean_d max(0, 1 / sqrt(dim) - sqrt(var_d + 1e-4))`` of both sides.

    Source: "AD-L-JEPA" [C], after VICReg.
    """

    def __call__(self, pairs: Pairs) -> Tensor:
        a, b, real = real_rows(pairs)
        return (self._one(a, real) + self._one(b, real)) / 2

    @staticmethod
    def _one(z: Tensor, real: Tensor) -> Tensor:
        n = real.sum().clamp(min=2)
        mean = (z * real[:, None]).sum(0) / n
        var = ((z - mean) * real[:, None]).square().sum(0) / (n - 1)
        return torch.relu(1 / math.sqrt(z.shape[1]) - (var + 1e-4).sqrt()).mean()


class CrossBarlow:
    """The correlation of the two sides' dimensions is the identity: ``sum_d (C_dd - 1)^2 + off sum_{d != e} C_de^2``.

    Source: Fini et al., "Improved baselines for vision-language pre-training" (BarLIP) [C], after Barlow Twins.
    """

    def __init__(self, off: float = 5e-3):
        self.off = off

    def __call__(self, pairs: Pairs) -> Tensor:
        a, b, real = real_rows(pairs)
        n = real.sum().clamp(min=1)

        def standard(z: Tensor) -> Tensor:
            mean = (z * real[:, None]).sum(0) / n
            centred = (z - mean) * real[:, None]
            return centred / (centred.square().sum(0) / n + 1e-5).sqrt()

        c = standard(a).T @ standard(b) / n
        diagonal = c.diagonal()
        return (diagonal - 1).square().sum() + self.off * (c.square().sum() - diagonal.square().sum())


class Predictor(nn.Module):
    """Without negatives: each side predicts the other's constant, ``2 - 2 cos(MLP(a), b)`` and the other way round.

    Source: SiamLIP of Fini et al. [C], after SimSiam.
    """

    def __init__(self, dim: int, hidden: int = 64):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, dim))

    def forward(self, pairs: Pairs) -> Tensor:
        a, b, real = real_rows(pairs)
        one = lambda x, y: 2 - 2 * (unit(self.net(x)) * y.detach()).sum(-1)
        return mean_over((one(a, b) + one(b, a)) / 2, real)


class SwappedAssignment:
    """Each side predicts the balanced assignment that Sinkhorn makes of the other's similarities.

    Targets: the logits ``b . a^T / eps`` balanced by ``n_rounds`` of rows and columns; loss: their cross-entropy with ``a . b^T
    / temperature``, both ways. Source: SwALIP of Fini et al. [C], with pairs as prototypes.
    """

    def __init__(self, eps: float = 0.05, n_rounds: int = 3, temperature: float = 0.1):
        self.eps, self.n_rounds, self.temperature = eps, n_rounds, temperature

    def __call__(self, pairs: Pairs) -> Tensor:
        a, b, real = real_rows(pairs)
        there = real[:, None] * real[None, :] > 0
        cosine = torch.where(there, a @ b.T, -torch.inf)

        def loss(s: Tensor) -> Tensor:
            target = self.balanced(s.T.detach(), real)
            log_p = torch.where(real[:, None] > 0, s / self.temperature, 0.0).log_softmax(1)
            return mean_over(-(target * torch.where(there, log_p, 0.0)).sum(1), real)

        return (loss(cosine) + loss(cosine.T)) / 2

    @torch.no_grad()
    def balanced(self, s: Tensor, real: Tensor) -> Tensor:
        """Rows and columns of ``exp(s / eps)`` made to add up to 1, ``(row, column)``."""
        q = torch.where(real[:, None] * real[None, :] > 0, s / self.eps, -1e9)
        there = real[:, None] * real[None, :] > 0
        for _ in range(self.n_rounds):
            for side in (0, 1):
                q = torch.where(there, q - q.logsumexp(side, keepdim=True), -1e9)
        return q.exp() * there


class Compactness:
    """A pair's margin over the mean of the others is sure, even for the worst query within ``eps``: BCE of the bound to 1.

    ``c_i = a_i . (b_i - m_i) - eps |b_i - m_i|``, m_i the mean of the other rows' b: the minimum of the margin over an l2
    ball about a_i. Source: "POT" [C]; its bound over edge drops of a graph is this closed form for a ball.
    """

    def __init__(self, eps: float = 0.1):
        self.eps = eps

    def __call__(self, pairs: Pairs) -> Tensor:
        a, b, real = real_rows(pairs)
        return mean_over(softplus(-self.bound(a, b, real)), real)

    def bound(self, a: Tensor, b: Tensor, real: Tensor) -> Tensor:
        n = real.sum().clamp(min=2)
        mean = ((b * real[:, None]).sum(0) - b) / (n - 1)
        away = b - mean
        return (a * away).sum(-1) - self.eps * (away.square().sum(-1) + 1e-12).sqrt()


class AdaptiveMargin:
    """Positives above and negatives below the batch's own bounds: ``mean max(0, s+ - lo) + mean max(0, hi - s-)``.

    With lo = min(min s+, max s-) and hi = max(min s+, max s-), of the cosines. Source: "MCLRec" [C].
    """

    def __call__(self, pairs: Pairs) -> Tensor:
        a, b, real = real_rows(pairs)
        cosine = a @ b.T
        there = real[:, None] * real[None, :] > 0
        own = torch.eye(len(a), dtype=torch.bool, device=a.device)
        positive = torch.where(real > 0, cosine.diagonal(), torch.inf)
        other = there & ~own
        highest = torch.where(other, cosine, -torch.inf).max()
        lo, hi = torch.minimum(positive.min(), highest), torch.maximum(positive.min(), highest)
        lo, hi = (torch.where(x.isfinite(), x, 0.0) for x in (lo, hi))
        near = mean_over(torch.relu(torch.where(real > 0, positive, 0.0) - lo), real)
        return near + mean_over(torch.relu(hi - cosine), other.to(a.dtype))


class Community(nn.Module):
    """Rows fall into soft communities that are dense inside and sparse between; a row is contrasted with the communities.

    ``R = softmax(h . centre / t)``, A the graph of cosines above their mean: ``DeCA = (lam sum(R' A R) - (n - 1 + lam) tr(R' A
    R)) / (n (n - 1)) + tr(R' R) / 2n``; then InfoNCE of each row with the (constant) community means, its likeliest the
    positive. DeCA's share falls as ``exp(-progress)``, the other's rises. Source: Li et al., "gCooL", WWW 2022 [C; formula].
    """

    def __init__(self, dim: int, n_communities: int = 10, t: float = 0.4, lam: float = 1.0):
        super().__init__()
        self.centre = nn.Parameter(nn.functional.normalize(torch.randn(n_communities, dim), dim=-1))
        self.t, self.lam = t, lam

    def forward(self, pairs: Pairs) -> Tensor:
        a, b, real = real_rows(pairs)
        r = (a @ unit(self.centre).T / self.t).softmax(1) * real[:, None]
        n = real.sum().clamp(min=2)
        with torch.no_grad():
            cosine = a @ b.T
            both = real[:, None] * real[None, :] * (1 - torch.eye(len(a), device=a.device, dtype=a.dtype))
            graph = (cosine > mean_over(cosine, both)).to(a.dtype) * both
        between = r.T @ graph @ r
        deca = (self.lam * between.sum() - (n - 1 + self.lam) * between.trace()) / (n * (n - 1))
        deca = deca + r.square().sum() / (2 * n)
        member = r.detach()
        mean = unit(member.T @ a.detach())
        own = member.argmax(1)
        contrast = nn.functional.cross_entropy(b @ mean.T / self.t, own, reduction="none")
        share = math.exp(-pairs.progress)
        return share * deca + (1 - share) * mean_over(contrast, real)


class Prototypes:
    """Clusters of one side teach the other: a row's logits over its side's cluster means follow how alike the clusters are.

    k-means of b gives clusters; a's centroids are the means of the rows of a under *those* labels. Loss: ``CE(a_i . C_a /
    temperature, softmax_q(C_b[label_i] . C_b[q] / t))``. Source: Chen et al., "ProtoCLIP" [C], clustered in the batch.
    """

    def __init__(self, n_clusters: int = 16, temperature: float = 0.1, t: float = 0.05):
        self.n_clusters, self.temperature, self.t = n_clusters, temperature, t

    def __call__(self, pairs: Pairs) -> Tensor:
        a, b, real = real_rows(pairs)
        with torch.no_grad():
            centre = spherical_means(b, min(self.n_clusters, len(b)))
            member = members_of(b, centre) * real[:, None]
            filled = member.sum(0) > 0
            between = torch.where(filled[None], centre @ centre.T / self.t, FAR)
            target = member @ between.softmax(1)
        ours = unit(member.T @ a)
        logit = torch.where(filled[None], a @ ours.T / self.temperature, FAR).log_softmax(1)
        return mean_over(-(target * torch.where(filled[None], logit, 0.0)).sum(1), real)


class ProtoNCE:
    """A row against the prototypes of its positives' clusters, each with the temperature of its density.

    ``-log softmax_q(a_i . c_q / phi_q)`` at the row's own cluster, ``phi_q = mean sqrt(distance) / log(size + 5)``, clipped to its
    10th and 90th percentile and scaled to a mean of ``temperature``. Source: the second term of "MEOW" [C], after PCL.
    """

    def __init__(self, n_clusters: int = 16, temperature: float = 0.2):
        self.n_clusters, self.temperature = n_clusters, temperature

    def __call__(self, pairs: Pairs) -> Tensor:
        a, b, real = real_rows(pairs)
        with torch.no_grad():
            centre = spherical_means(b, min(self.n_clusters, len(b)))
            member = members_of(b, centre) * real[:, None]
            size = member.sum(0)
            distance = (2 - 2 * b @ centre.T).clamp(min=0).sqrt()
            phi = (member * distance.clamp(min=1e-6).sqrt()).sum(0) / size.clamp(min=1) / (size + 5).log()
            filled = size > 0
            seen = torch.where(filled, phi, torch.nan)
            low, high = (seen.nanquantile(q).nan_to_num(1.0) for q in (0.1, 0.9))
            phi = phi.clamp(low, high).clamp(min=1e-3)
            mean = torch.where(filled, phi, 0.0).sum() / filled.sum().clamp(min=1)
            phi = phi * self.temperature / mean.clamp(min=1e-3)
        logit = torch.where(filled[None], a @ centre.T / phi, FAR).log_softmax(1)
        return mean_over(-(member * torch.where(filled[None], logit, 0.0)).sum(1), real)


class FeatureDistance:
    """Stay near a teacher's encodings: ``sum_d (a - teacher)^2``, unit length. Source: "DeGLA" [C], weight .005."""

    def __call__(self, pairs: Pairs) -> Tensor:
        teacher = unit(needed(pairs.about.teacher, "feature-distance", "about.teacher").detach())
        real = torch.ones(len(teacher), device=teacher.device) if pairs.real is None else pairs.real
        squares = (pairs.query - teacher).square().sum(-1)
        return mean_over(gather(squares), gather(real.to(squares.dtype)))


class DirectPredictor(nn.Module):
    """A linear predictor that is set, not learned: from the eigenvalues of the average correlation of the queries.

    ``F <- rho F + (1 - rho) E[a a']``, ``W = U diag(sqrt(max(0, d) / d_max) + eps) U'``; loss ``-2 cos(W a, b)``, b constant.
    Source: Tian et al., "Understanding self-supervised learning dynamics without contrastive pairs" (DirectPred), ICML 2021 [C].
    """

    correlation: Tensor

    def __init__(self, dim: int, rho: float = 0.3, eps: float = 0.01):
        super().__init__()
        self.rho, self.eps = rho, eps
        self.register_buffer("correlation", torch.zeros(dim, dim))

    def forward(self, pairs: Pairs) -> Tensor:
        a, b, real = real_rows(pairs)
        with torch.no_grad():
            if self.training:
                now = (a * real[:, None]).T @ a / real.sum().clamp(min=1)
                self.correlation.mul_(self.rho).add_((1 - self.rho) * now.to(self.correlation.dtype))
            value, vector = torch.linalg.eigh(self.correlation)
            scale = (value.clamp(min=0) / value.max().clamp(min=1e-12)).sqrt() + self.eps
            w = ((vector * scale.clamp(min=1e-4)) @ vector.T).to(a.dtype)
        return mean_over(-2 * (unit(a @ w) * b.detach()).sum(-1), real)


class Bottleneck(nn.Module):
    """A noisy, compressed twin of each row is told from the others': InfoNCE(a, z), ``z = a (mu + sigma eps)``, and its KL.

    mu and sigma from a layer on a; KL to N(0, sigma): ``.5 log(1 + mu^2 / sigma^2)``. Source: "CVIB" [M].
    """

    def __init__(self, dim: int, temperature: float = 0.1, kl: float = 0.01):
        super().__init__()
        self.net = nn.Linear(dim, 2 * dim)
        nn.init.zeros_(self.net.weight)
        with torch.no_grad():
            self.net.bias.copy_(torch.cat([torch.ones(dim), torch.full((dim,), -2.0)]))
        self.temperature, self.kl = temperature, kl

    def forward(self, pairs: Pairs) -> Tensor:
        a, _, real = real_rows(pairs)
        mu, log_sigma = self.net(a).chunk(2, -1)
        log_sigma = log_sigma.clamp(-6, 2)
        noise = gather(torch.randn_like(pairs.query)) if self.training else torch.zeros_like(a)
        twin = unit(a * (mu + log_sigma.exp() * noise))
        logit = torch.where(real[None] > 0, a @ twin.T / self.temperature, -1e9)
        own = torch.arange(len(a), device=a.device)
        kl = 0.5 * torch.log1p(mu.square() * (-2 * log_sigma).exp()).sum(-1)
        return mean_over(nn.functional.cross_entropy(logit, own, reduction="none") + self.kl * kl, real)
