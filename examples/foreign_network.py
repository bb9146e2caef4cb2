"""Semi-bag contrast, MIL pooling and an EMA teacher in another network: `python examples/foreign_network.py`.

The network is two GRUs; bags are made up: half of them hold an event that both modalities show.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmcl.losses import info_nce_objective, mil_loss, semi_bags, semibag_contrast, topk_pool
from mmcl.training.ema import ModelEMA


class TwoGru(nn.Module):
    """Embeddings and logits of each snippet in each modality."""

    def __init__(self, widths: dict[str, int], dim: int = 32):
        super().__init__()
        self.gru = nn.ModuleDict({m: nn.GRU(n, dim, batch_first=True) for m, n in widths.items()})
        self.head = nn.ModuleDict({m: nn.Linear(dim, 1) for m in widths})

    def forward(self, x: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        z = {m: self.gru[m](v)[0] for m, v in x.items()}
        return z, {m: self.head[m](v) for m, v in z.items()}


def draw(n: int, widths: dict[str, int]) -> tuple[dict[str, Tensor], Tensor]:
    """Bags of 30 snippets; the label says whether snippets 10 to 14 are an event."""
    label = (torch.arange(n) % 2).float()[:, None]
    event = ((torch.arange(30) >= 10) & (torch.arange(30) < 15)).float() * label
    return {m: torch.randn(n, 30, w) + event[..., None] for m, w in widths.items()}, label


def main(steps: int = 60) -> float:
    """Train; returns how much higher event snippets score than others."""
    torch.manual_seed(0)
    widths = {"audio": 8, "video": 12}
    network, mask = TwoGru(widths), torch.ones(32, 30, dtype=torch.bool)
    teacher, objective = ModelEMA(network, 0.95), info_nce_objective(0.2, beta=1.0)
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    for step in range(steps):
        x, label = draw(32, widths)
        z, logit = network(x)
        with torch.no_grad():  # the teacher's scores cluster snippets
            _, smooth = teacher(x)
        loss = mil_loss(topk_pool(logit["audio"] + logit["video"], mask), label)
        clusters = semi_bags({m: v.sigmoid()[..., 0] for m, v in smooth.items()}, mask, label[:, 0] > 0)
        terms = semibag_contrast(z, clusters, objective=objective, against=("background", "normal"))
        loss = loss + 0.1 * torch.stack(list(terms.values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        teacher.update(network)
        if step % 20 == 0:
            print(f"step {step}: loss {loss.item():.3f}")
    x, label = draw(32, widths)
    with torch.no_grad():
        score = (network(x)[1]["audio"] + network(x)[1]["video"])[label[:, 0] > 0, :, 0].sigmoid()
    gap = float(score[:, 10:15].mean() - score[:, :10].mean())
    print(f"event snippets score {gap:.2f} higher")
    return gap


if __name__ == "__main__":
    main()
