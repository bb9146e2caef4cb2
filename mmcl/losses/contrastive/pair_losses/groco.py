"""Learns to sort positives behind hard negatives."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from mmcl.losses.contrastive.context import ContrastBatch


class GroCo:
    """Learns to sort positives behind hard negatives.

    Learn to sort: the positive behind the hardest negatives, by a differentiable odd-even sorting network.

    The ``n_hardest`` negatives in ascending order and the positive, ``v``, pass as many layers as there are values; a
    layer swaps neighbours softly, with probability of order ``atan(steepness phi(v_{k+1} - v_k)) / pi + 1/2``,
    ``phi(x) = x / (|x|^art + 1e-10)``. The anchor's loss is the binary cross-entropy of landing among the negatives'
    and in the positive's places against where each belongs. No gradient to the negatives.

    Args:
        n_hardest: Negatives that are sorted.
        steepness: Of a swap.
        art: Exponent of phi.

    Reference:
        Shvetsova et al., "Learning by sorting" (GroCo), ICCV 2023 [C].

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> GroCo()(example_batch()).shape
        torch.Size([4])
    """

    formula = r"\mathrm{BCE}(P_{\mathrm{sort}}, I)"
    use_when = "ranking matters"
    source = "GroCo [C]"

    requires: frozenset[str] = frozenset()

    def __init__(self, n_hardest: int = 10, steepness: float = 1.0, art: float = 0.25):
        self.n_hardest, self.steepness, self.art = n_hardest, steepness, art

    def __call__(self, pairs: ContrastBatch, target: Tensor | None = None, tau_plus: float = 0.0) -> Tensor:
        weight = 0.0 if pairs.log_weight is None else torch.where(pairs.mask, pairs.log_weight, 0.0)
        cosine = pairs.query @ pairs.negatives.detach().T
        k = min(self.n_hardest, cosine.shape[1])
        chosen = torch.where(pairs.mask, cosine + weight, -torch.inf).topk(k, dim=1).indices.flip(1)
        is_negative = pairs.mask.gather(1, chosen)
        hardest = torch.where(is_negative, cosine.gather(1, chosen), -1.0)  # what is missing lies at the far end
        positive = (pairs.query * pairs.positive.detach()).sum(-1, keepdim=True)
        place = self.sort(torch.cat([hardest, positive], 1))  # anchor, place, value: probability
        belongs = torch.zeros_like(place[:, 0])
        belongs[:, -1] = 1.0
        among_positive = place[:, -1].clamp(0, 1)
        among_negative = place[:, :-1].sum(1).clamp(0, 1)
        loss = binary_cross_entropy(among_positive, belongs, reduction="none")
        loss = (loss + binary_cross_entropy(among_negative, 1 - belongs, reduction="none")).mean(1) / 2
        return torch.where(is_negative.any(1), loss, 0.0)

    def sort(self, v: Tensor) -> Tensor:
        """``(anchor, place, value)``: where each value of ``(anchor, value)`` lands in ascending order."""
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
