"""What to watch while a contrast trains: is it collapsing, how hard are its negatives."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mmcl.losses.contrastive import unit

ENOUGH = 1024  # rows


@torch.no_grad()
def alignment(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared distance of positive pairs, unit length; ``(row, dim)`` each. 0 = they coincide.

    Source: Wang and Isola, ICML 2020, with exponent 2.
    """
    return (unit(a) - unit(b)).square().sum(-1).mean()


@torch.no_grad()
def uniformity(z: Tensor) -> Tensor:
    """``log mean exp(-2 |z_i - z_j|^2)`` over pairs of different rows ``(row, dim)``, unit length; about
    -4 = spread over the sphere, 0 = collapsed to a point. Source: as ``alignment``."""
    u = unit(z)
    exponent = 4 * (u @ u.T) - 4  # -2 |a - b|^2
    n = len(u)
    exponent = exponent.masked_fill(torch.eye(n, dtype=torch.bool, device=z.device), -torch.inf)
    return exponent.flatten().logsumexp(0) - torch.log(torch.tensor(float(max(n * (n - 1), 1))))


@torch.no_grad()
def similarities(z: Mapping[str, Tensor], index: Tensor) -> dict[str, Tensor]:
    """Alignment, uniformity, and the cosines of positives and negatives between the first two
    modalities (mean; of the negatives also the hardest 5 %). z[m]: ``(row, dim)``; index: ``(row,)``. Of
    many rows the first ``ENOUGH`` stand for all."""
    z, index = {m: v[:ENOUGH] for m, v in z.items()}, index[:ENOUGH]
    first, second = list(z)[:2]
    a, b = unit(z[first]), unit(z[second])
    cosine = a @ b.T
    other = index[:, None] != index[None, :]
    negative = cosine.masked_fill(~other, torch.nan)
    found = {"alignment": alignment(a, b), **{f"uniformity {m}": uniformity(v) for m, v in z.items()}}
    return found | {
        "positive cosine": cosine.diagonal().mean(),
        "negative cosine": negative.nanmean(),
        "negative cosine, hardest 5 %": negative.flatten().nanquantile(0.95),
    }
