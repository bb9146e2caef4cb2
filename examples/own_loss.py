"""A weight of negatives of one's own, in an objective and by name in a training: `python examples/own_loss.py`.

On the command line: `mmcl train utd-mhad-streams ... --loss.snippet.negatives own_loss:FarInTime` with this folder on
PYTHONPATH.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.losses import ContrastBatch, ContrastiveObjective, PairMetadata
from mmcl.losses.contrastive.context import require


class FarInTime:
    """Negatives of the query's own recording count by how far their scores are apart.

    Args:
        floor: Log-weight of a negative whose score is the query's.
    """

    requires = frozenset({"index", "scores"})
    capturable = True  # alike at every step, so that CUDA graphs may record it
    formula, use_when, source = r"w_{ij} = |v_i - v_j|", "events and background of one recording are alike", "ours"

    def __init__(self, floor: float = -3.0):
        self.floor = floor

    def __call__(self, batch: ContrastBatch) -> Tensor:
        """``(query, negative)`` log-weights."""
        mine, theirs = batch.metadata, batch.negative_metadata
        same = require(mine.index, "far-in-time", "index")[:, None] == require(theirs.index, "far-in-time", "index")
        value = require(mine.value, "far-in-time", "value")[:, None] - require(theirs.value, "far-in-time", "value")
        return torch.where(same, value.abs().clamp(min=1e-9).log().clamp(min=self.floor), 0.0)


def main() -> None:
    """Embeddings of two modalities come together."""
    torch.manual_seed(0)
    a, b = torch.nn.Linear(20, 16), torch.nn.Linear(30, 16)
    x, y = torch.randn(32, 20), torch.randn(32, 30)
    metadata = PairMetadata(index=torch.arange(32) // 4, value=torch.rand(32))
    objective = ContrastiveObjective(0.1, negatives=[FarInTime()])
    others = ~torch.eye(32, dtype=torch.bool)
    optimizer = torch.optim.Adam([*a.parameters(), *b.parameters()], 1e-2)
    for step in range(101):
        left, right = a(x), b(y)
        loss = objective(left, right, right, others, metadata=metadata, negative_metadata=metadata).anchor_loss.mean()
        if step % 50 == 0:
            print(f"step {step}: loss {loss.item():.3f}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    main()
