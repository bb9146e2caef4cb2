"""A small network weighs each pair."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmcl.losses.contrastive.context import ContrastBatch


class LearnedWeight(nn.Module):
    """A small network weighs each pair.

    ``sigmoid(MLP(z_i + z_j))``, an MLP dim - 16 - tanh - 1 that learns with the rest.

    That weights all fall to 0 is a minimum of the plain loss; the weights of an anchor are therefore divided by their
    mean.

    Args:
        dim: Size of the embeddings.
        hidden: Size of the hidden layer.

    Reference:
        Peng et al., "AdaMEOW" [C]

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> LearnedWeight(8)(example_batch()).shape
        torch.Size([4, 6])
    """

    formula = r"w_{ij} = \sigma(\mathrm{MLP}(z_i + z_j)) / \overline{w}"
    use_when = "large data"
    source = "AdaMEOW [C]"

    requires: frozenset[str] = frozenset()

    def __init__(self, dim: int, hidden: int = 16):
        super().__init__()
        self.first, self.second = nn.Linear(dim, hidden), nn.Linear(hidden, 1)

    def forward(self, pairs: ContrastBatch) -> Tensor:
        q = self.first(pairs.query)[:, None] + nn.functional.linear(pairs.negatives, self.first.weight)[None]
        log_w = nn.functional.logsigmoid(self.second(torch.tanh(q))[..., 0])
        has_any = pairs.mask.any(-1, keepdim=True)
        of_negatives = torch.where(has_any, torch.where(pairs.mask, log_w, -torch.inf), 0.0)
        n = pairs.mask.sum(-1, keepdim=True).clamp(min=1).to(log_w.dtype)
        mean = of_negatives.logsumexp(-1, keepdim=True) - n.log()
        return torch.where(has_any, log_w - mean, 0.0)
