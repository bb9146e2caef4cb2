"""Terms on whole sequences of snippets: modules with forward(own, teacher, mask) -> scalar, of one modality to the
other.

own, teacher: embeddings ``{modality: (bag, snippet, dim)}`` of the student and (or None) of the EMA model; mask:
``(bag, snippet)``. Each process returns its share, scaled so that the mean over processes is the value of one.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmcl.distributed import all_reduce_sum, world_size

Embeddings = Mapping[str, Tensor]


def mean_of_valid(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the snippets of a mask, 0 where there is none."""
    return torch.where(mask, x, 0.0).sum() / all_reduce_sum(mask.sum()).clamp(min=1) * world_size()


class TwoConvolutions(nn.Module):
    """Over time, ``(bag, snippet, n_in)`` -> ``(bag, snippet, n_out)``; padding is zero before each, as beyond the
    end."""

    def __init__(self, n_in: int, hidden: int, n_out: int):
        super().__init__()
        self.first, self.second = (
            nn.Conv1d(n_in, hidden, 5, padding=2),
            nn.Conv1d(hidden, n_out, 5, padding=2),
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        is_valid = mask[:, None].to(x.dtype)
        return self.second(torch.relu(self.first(x.transpose(1, 2) * is_valid)) * is_valid).transpose(1, 2)
