"""How alike two embeddings are: modules with forward(query, key, about, about_key) -> ``(query, key)`` logits and
paired(query, positive, about, about_positive) -> ``(query,)``; penalty(pairs), where there is one, is added to the loss.

Marks of the sources as in ``rows``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mmcl.losses.pairs import About, Pairs
from mmcl.losses.rows import needed, unit


class Cosine(nn.Module):
    """Cosine over a temperature."""

    def __init__(self, temperature: float = 0.1):
        super().__init__()
        self.temperature = temperature

    def forward(self, query: Tensor, key: Tensor, about: About, about_key: About) -> Tensor:
        return query @ key.T / self.temperature

    def paired(self, query: Tensor, positive: Tensor, about: About, about_positive: About) -> Tensor:
        return (query * positive).sum(-1) / self.temperature


class LearnableTemperature(nn.Module):
    """Cosine over a temperature that learns with the rest, from ``low`` to ``high``. Source: CLIP, ICML 2021 [C]."""

    def __init__(self, temperature: float = 0.1, low: float = 0.01, high: float = 1.0):
        super().__init__()
        self.log = nn.Parameter(torch.tensor(math.log(temperature)))
        self.low, self.high = math.log(low), math.log(high)

    @property
    def scale(self) -> Tensor:
        return (-self.log.clamp(self.low, self.high)).exp()

    def forward(self, query: Tensor, key: Tensor, about: About, about_key: About) -> Tensor:
        return query @ key.T * self.scale

    def paired(self, query: Tensor, positive: Tensor, about: About, about_positive: About) -> Tensor:
        return (query * positive).sum(-1) * self.scale


class MultiHead(nn.Module):
    """Several projections, each pair and head with a temperature of its own: ``s_ij = sum_h cos_h(i, j) / t_ij^h``.

    ``t = low + (high - low) sigmoid(phi_h(a_i, k_j))``, phi_h bilinear in the heads' projections; the penalty ``weight mean(D/2
    log t + 1/t)`` keeps temperatures from running off. Source: Wang et al., "Adaptive multi-head contrastive learning"
    (AMCL), ECCV 2024 [P]; the public code does not run.
    """

    def __init__(
        self,
        dim: int,
        n_heads: int = 3,
        hidden: int = 128,
        low: float = 0.05,
        high: float = 2.0,
        weight: float = 0.1,
    ):
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, dim)) for _ in range(n_heads)
        )
        self.bilinear = nn.Parameter(torch.zeros(n_heads, dim, dim))
        # begins at a mean of temperatures of about .1 for each of the heads together
        self.bias = nn.Parameter(torch.full((n_heads,), -3.0))
        self.low, self.high, self.weight, self.dim = low, high, weight, dim

    def _temperature(self, phi: Tensor) -> Tensor:
        return self.low + (self.high - self.low) * phi.sigmoid()

    def forward(self, query: Tensor, key: Tensor, about: About, about_key: About) -> Tensor:
        total: Tensor | float = 0.0
        for h, head in enumerate(self.heads):
            a, k = unit(head(query)), unit(head(key))
            total = total + a @ k.T / self._temperature(a @ self.bilinear[h] @ k.T + self.bias[h])
        assert isinstance(total, Tensor)
        return total

    def paired(self, query: Tensor, positive: Tensor, about: About, about_positive: About) -> Tensor:
        return torch.stack([c / t for c, t in self._pairs(query, positive)]).sum(0)

    def _pairs(self, query: Tensor, positive: Tensor) -> list[tuple[Tensor, Tensor]]:
        made = []
        for h, head in enumerate(self.heads):
            a, b = unit(head(query)), unit(head(positive))
            phi = ((a @ self.bilinear[h]) * b).sum(-1) + self.bias[h]
            made.append(((a * b).sum(-1), self._temperature(phi)))
        return made

    def penalty(self, pairs: Pairs) -> Tensor:
        t = torch.stack([t for _, t in self._pairs(pairs.query, pairs.positive)])
        return self.weight * (self.dim / 2 * t.log() + 1 / t).mean()


class ClassGate(nn.Module):
    """Each pair of classes looks at a subspace of its own: ``s_ij = sum_d a_d k_d g_d(y_i, y_j)^2 / temperature``.

    ``g = sigmoid(MLP((E[y_i] + E[y_j]) / 2))``, the gate on both sides, not renormalised; logits of all class pairs come
    from one product a class. Needs about.label, int. Source: "Rethinking positive pairs" (Hydra, SimLAP) [C].
    """

    def __init__(self, dim: int, n_classes: int, temperature: float = 0.1, hidden: int = 64):
        super().__init__()
        self.temperature, self.n_classes = temperature, n_classes
        self.embedding = nn.Embedding(n_classes, hidden)
        self.gate = nn.Sequential(nn.Linear(hidden, 2 * hidden), nn.ReLU(), nn.Linear(2 * hidden, dim))

    def _gates(self) -> Tensor:
        """``(class, class, dim)``, squared."""
        e = self.embedding.weight
        return self.gate((e[:, None] + e[None]) / 2).sigmoid().square()

    def forward(self, query: Tensor, key: Tensor, about: About, about_key: About) -> Tensor:
        y, y_key = self._classes(about), self._classes(about_key)
        seen = query[:, None] * self._gates()[y]  # query, class of the key, dim
        every = torch.einsum("qcd,kd->qkc", seen, key)
        return every.gather(2, y_key[None, :, None].expand(len(query), -1, 1))[..., 0] / self.temperature

    def paired(self, query: Tensor, positive: Tensor, about: About, about_positive: About) -> Tensor:
        gates = self._gates()[self._classes(about), self._classes(about_positive)]
        return (query * positive * gates).sum(-1) / self.temperature

    def _classes(self, about: About) -> Tensor:
        y = needed(about.label, "class-gate", "about.label")
        y = y if y.ndim == 1 else torch.where(y.sum(1) > 0, y.argmax(1) + 1, 0)
        return y.clamp(0, self.n_classes - 1)


class Routed(nn.Module):
    """A small expert for each domain (``about.domain``) moves an embedding before the cosine: ``unit(x + W_e x)``.

    Source: mixture-of-experts sentence embeddings [A].
    """

    def __init__(self, dim: int, n_domains: int, temperature: float = 0.1):
        super().__init__()
        self.temperature, self.n_domains = temperature, n_domains
        self.expert = nn.Parameter(torch.zeros(n_domains, dim, dim))

    def _moved(self, x: Tensor, about: About) -> Tensor:
        domain = needed(about.domain, "routed", "about.domain").clamp(0, self.n_domains - 1)
        every = torch.einsum("rd,eod->reo", x, self.expert)
        return unit(x + every.gather(1, domain[:, None, None].expand(-1, 1, x.shape[1]))[:, 0])

    def forward(self, query: Tensor, key: Tensor, about: About, about_key: About) -> Tensor:
        return self._moved(query, about) @ self._moved(key, about_key).T / self.temperature

    def paired(self, query: Tensor, positive: Tensor, about: About, about_positive: About) -> Tensor:
        return (self._moved(query, about) * self._moved(positive, about_positive)).sum(-1) / self.temperature
