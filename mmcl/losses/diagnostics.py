"""What to watch while a contrast trains: is it collapsing, how hard are its negatives."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mmcl.losses.rows import unit

ENOUGH = 1024  # rows
N_BINS = 40


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
def tolerance(z: Tensor, label: Tensor) -> Tensor:
    """Mean cosine of different rows of the same class, ``(row, dim)`` and ``(row,)``: how well a contrast bears with
    what is alike (1 = classes are points). NaN where no class has two rows. Source: Wang and Liu, CVPR 2021."""
    u = unit(z)
    same = (label[:, None] == label[None, :]) & ~torch.eye(len(u), dtype=torch.bool, device=u.device)
    return (u @ u.T).masked_fill(~same, torch.nan).nanmean()


@torch.no_grad()
def isotropy(z: Tensor) -> Tensor:
    """``1 - mean cosine`` of different rows ``(row, dim)``: about 1 = in all directions, 0 = in one.
    Source: Su and Collier 2022."""
    u, n = unit(z), len(z)
    return 1 - (u.sum(0).square().sum() - u.square().sum()) / max(n * (n - 1), 1)


@torch.no_grad()
def false_negatives(a: Tensor, b: Tensor, label: Tensor, hardest: float = 0.05) -> dict[str, Tensor]:
    """Which share of the negatives of a row are of its own class in truth: of all, and of the ``hardest`` part.

    a, b: ``(row, dim)``, row i of both one recording; label: ``(row,)``. What is hard and what is false are told apart
    by the second being little above the first.
    """
    cosine = unit(a) @ unit(b).T
    other = ~torch.eye(len(a), dtype=torch.bool, device=a.device)
    false = (label[:, None] == label[None, :])[other]
    n_hard = max(round(hardest * int(other.sum())), 1)
    hard = cosine[other].topk(n_hard).indices
    return {
        "false negatives": false.float().mean(),
        f"false negatives, hardest {100 * hardest:g} %": false[hard].float().mean(),
    }


@torch.no_grad()
def histograms(z: Mapping[str, Tensor], index: Tensor, n_bins: int = N_BINS) -> dict[str, Tensor]:
    """How many positives and negatives between the first two modalities have which cosine: ``(bin,)`` each, equal
    bins from -1 to 1. Arguments as of ``similarities``."""
    cosine, other = _cosines(z, index)
    count = lambda x: torch.histc(x, n_bins, -1.0, 1.0)
    return {
        "positive cosine": count(cosine.diagonal()),
        "negative cosine": count(torch.where(other, cosine, -9.0)),
    }


def _cosines(z: Mapping[str, Tensor], index: Tensor) -> tuple[Tensor, Tensor]:
    first, second = list(z)[:2]
    a, b = unit(z[first][:ENOUGH]), unit(z[second][:ENOUGH])
    index = index[:ENOUGH]
    return (a @ b.T).clamp(-1, 1), index[:, None] != index[None, :]


@torch.no_grad()
def similarities(z: Mapping[str, Tensor], index: Tensor) -> dict[str, Tensor]:
    """Alignment, uniformity, and the cosines of positives and negatives between the first two
    modalities (mean; of the negatives also the hardest 5 %). z[m]: ``(row, dim)``; index: ``(row,)``. Of
    many rows the first ``ENOUGH`` stand for all."""
    cosine, other = _cosines(z, index)
    z = {m: v[:ENOUGH] for m, v in z.items()}
    a, b = list(z.values())[:2]
    negative = cosine.masked_fill(~other, torch.nan)
    found = {"alignment": alignment(a, b), **{f"uniformity {m}": uniformity(v) for m, v in z.items()}}
    return found | {
        "positive cosine": cosine.diagonal().mean(),
        "negative cosine": negative.nanmean(),
        "negative cosine, hardest 5 %": negative.flatten().nanquantile(0.95),
    }
