"""Random bags of scores and embeddings, for tests of losses."""

from __future__ import annotations

import torch

LENGTHS = [[1, 1], [1, 7, 33], [16, 15, 17, 2], [40], [3, 1, 64, 5, 9]]


def bags(lengths, n_classes=1, dim=6, seed=0, extra=0):
    g = torch.Generator().manual_seed(seed)
    n, t = len(lengths), max(lengths) + extra
    mask = torch.arange(t) < torch.tensor(lengths)[:, None]

    def draw(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    real = max(lengths)

    def pad(x):
        return torch.nn.functional.pad(x, (0, 0, 0, extra), value=9.0)

    logit = pad(draw(n, real, n_classes))
    z = {m: pad(draw(n, real, dim)) for m in ("a", "b")}
    score = {m: pad(draw(n, real, 1))[..., 0].sigmoid() for m in ("a", "b")}
    return logit, mask, z, score
