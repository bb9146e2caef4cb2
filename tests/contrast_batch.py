"""A small batch of pairs, for tests of components."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch, PairMetadata
from mmcl.types import l2_normalize

N, K, D, T = 6, 9, 8, 0.3  # anchors, negatives, dim, temperature


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def metadata(n: int, seed: int) -> PairMetadata:
    g = torch.Generator().manual_seed(seed)
    return PairMetadata(
        label=torch.randint(0, 3, (n,), generator=g),
        index=torch.arange(n) + 10 * seed,
        group=torch.randint(0, 2, (n,), generator=g),
        domain=torch.randint(0, 3, (n,), generator=g),
        auxiliary=draw(n, 5, seed=seed + 50),
        teacher=draw(n, D, seed=seed + 60),
        value=torch.rand(n, generator=g, dtype=torch.float64),
    )


def contrast_batch(n: int = N, k: int = K, weighted: bool = True) -> ContrastBatch:
    a, b, key = (l2_normalize(draw(m, D, seed=s)) for m, s in ((n, 1), (n, 2), (k, 3)))
    mask = torch.rand(n, k, generator=torch.Generator().manual_seed(4)) < 0.7
    mask[0] = False  # an anchor without negatives
    mask[1] = True
    weight = 0.3 * draw(n, k, seed=5) if weighted else None
    of = metadata(n, 6)
    return ContrastBatch(
        a,
        b,
        key,
        (a * b).sum(-1) / T,
        a @ key.T / T,
        mask,
        T,
        weight,
        None,
        of,
        metadata(n, 7),
        metadata(k, 8),
        0.75,
    )


def negatives_of(p: ContrastBatch, i: int) -> list[int]:
    return [j for j in range(len(p.negatives)) if p.mask[i, j]]


def cos(x: Tensor, y: Tensor) -> float:
    return float((x * y).sum() / (x.norm() * y.norm()))


def close(got: Tensor, want, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(got, torch.as_tensor(want, dtype=got.dtype), atol=tolerance, rtol=tolerance)
