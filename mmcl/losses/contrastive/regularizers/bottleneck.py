"""Contrasts with a compressed twin."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmcl.distributed import all_gather_with_grad
from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.regularizers._shared import masked_mean, valid_pairs
from mmcl.types import l2_normalize


class Bottleneck(nn.Module):
    """Contrasts with a compressed twin.

    A noisy, compressed twin of each anchor is told from the others': InfoNCE(a, z), ``z = a (mu + sigma eps)``, and
    its KL.

    mu and sigma from a layer on a; KL to N(0, sigma): ``.5 log(1 + mu^2 / sigma^2)``.

    Args:
        dim: Size of the embeddings.
        temperature: Divides the cosine.
        kl: Weight of the KL divergence.

    Reference:
        "CVIB" [M].

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> Bottleneck(8)(example_batch()).shape
        torch.Size([])
    """

    formula = r"\mathrm{InfoNCE}(a, z) + \lambda\, \tfrac{1}{2} \log(1 + \mu^2 / \sigma^2)"
    use_when = "noise"
    source = "CVIB [M]"

    requires: frozenset[str] = frozenset()
    default_weight = 0.1

    def __init__(self, dim: int, temperature: float = 0.1, kl: float = 0.01):
        super().__init__()
        self.net = nn.Linear(dim, 2 * dim)
        nn.init.zeros_(self.net.weight)
        with torch.no_grad():
            self.net.bias.copy_(torch.cat([torch.ones(dim), torch.full((dim,), -2.0)]))
        self.temperature, self.kl = temperature, kl

    def forward(self, pairs: ContrastBatch) -> Tensor:
        a, _, is_valid = valid_pairs(pairs)
        mu, log_sigma = self.net(a).chunk(2, -1)
        log_sigma = log_sigma.clamp(-6, 2)
        noise = all_gather_with_grad(torch.randn_like(pairs.query)) if self.training else torch.zeros_like(a)
        twin = l2_normalize(a * (mu + log_sigma.exp() * noise))
        logit = torch.where(is_valid[None] > 0, a @ twin.T / self.temperature, -1e9)
        own = torch.arange(len(a), device=a.device)
        kl = 0.5 * torch.log1p(mu.square() * (-2 * log_sigma).exp()).sum(-1)
        return masked_mean(nn.functional.cross_entropy(logit, own, reduction="none") + self.kl * kl, is_valid)
