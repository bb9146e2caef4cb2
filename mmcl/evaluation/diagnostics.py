"""What to monitor while a contrast trains: is it collapsing, how hard are its negatives."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mmcl.types import l2_normalize

MAX_SAMPLES = 1024  # of more, the first ones stand for all
N_BINS = 40


@torch.no_grad()
def alignment(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared distance of positive pairs of unit length, 0 = they coincide.

    Args:
        a: ``(sample, dim)``.
        b: ``(sample, dim)``, the positives.

    Reference:
        Wang and Isola, ICML 2020 (arXiv 2005.10242), with exponent 2.

    Example:
        >>> alignment(torch.eye(2), torch.eye(2)).item()
        0.0
    """
    return (l2_normalize(a) - l2_normalize(b)).square().sum(-1).mean()


@torch.no_grad()
def uniformity(z: Tensor) -> Tensor:
    """``log mean exp(-2 |z_i - z_j|^2)`` over pairs of different samples of unit length.

    Near -4 = spread over the sphere, 0 = collapsed to a point.

    Args:
        z: ``(sample, dim)``.

    Reference:
        Wang and Isola, ICML 2020 (arXiv 2005.10242).

    Example:
        >>> uniformity(torch.ones(3, 2)).abs().item() < 1e-5
        True
    """
    u = l2_normalize(z)
    exponent = 4 * (u @ u.T) - 4  # -2 |a - b|^2
    n = len(u)
    exponent = exponent.masked_fill(torch.eye(n, dtype=torch.bool, device=z.device), -torch.inf)
    return exponent.flatten().logsumexp(0) - torch.log(torch.tensor(float(max(n * (n - 1), 1))))


@torch.no_grad()
def tolerance(z: Tensor, label: Tensor) -> Tensor:
    """Mean cosine of different samples of the same class, 1 = classes are points; NaN where no class has two.

    Args:
        z: ``(sample, dim)``.
        label: ``(sample,)``.

    Reference:
        Wang and Liu, CVPR 2021 (arXiv 2012.09740).

    Example:
        >>> round(tolerance(torch.ones(3, 2), torch.zeros(3)).item(), 4)
        1.0
    """
    u = l2_normalize(z)
    same = (label[:, None] == label[None, :]) & ~torch.eye(len(u), dtype=torch.bool, device=u.device)
    return (u @ u.T).masked_fill(~same, torch.nan).nanmean()


@torch.no_grad()
def isotropy(z: Tensor) -> Tensor:
    """``1 - mean cosine`` of different samples: about 1 = in all directions, 0 = in one.

    Args:
        z: ``(sample, dim)``.

    Reference:
        Su and Collier 2022 (arXiv 2210.14140).

    Example:
        >>> isotropy(torch.eye(3)).item()
        1.0
    """
    u, n = l2_normalize(z), len(z)
    return 1 - (u.sum(0).square().sum() - u.square().sum()) / max(n * (n - 1), 1)


@torch.no_grad()
def spectrum(z: Tensor) -> Tensor:
    """Eigenvalues of the covariance of samples of unit length, largest first, adding up to 1.

    Args:
        z: ``(sample, dim)``.

    Example:
        >>> spectrum(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        tensor([1., 0.])
    """
    u = l2_normalize(z)
    value = torch.linalg.svdvals(u - u.mean(0)).square()
    return value / value.sum().clamp(min=1e-12)


@torch.no_grad()
def effective_dimensions(z: Tensor) -> Tensor:
    """``exp`` of the entropy of the spectrum: in how many directions embeddings spread.

    Args:
        z: ``(sample, dim)``.

    Example:
        >>> round(effective_dimensions(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])).item(), 4)
        1.0
    """
    share = spectrum(z)
    return (-(share * share.clamp(min=1e-12).log()).sum()).exp()


@torch.no_grad()
def false_negatives(a: Tensor, b: Tensor, label: Tensor, hardest: float = 0.05) -> dict[str, Tensor]:
    """Which share of the negatives is of the anchor's class in truth: of all, and of the hardest.

    Where the second is little above the first, hard and false negatives are well apart.

    Args:
        a: ``(sample, dim)``.
        b: ``(sample, dim)``, sample i of both being one recording.
        label: ``(sample,)``.
        hardest: Share of the negatives.

    Example:
        >>> false_negatives(torch.eye(2), torch.eye(2), torch.tensor([0, 1]))["false negatives"].item()
        0.0
    """
    cosine = l2_normalize(a) @ l2_normalize(b).T
    other = ~torch.eye(len(a), dtype=torch.bool, device=a.device)
    false = (label[:, None] == label[None, :])[other]
    n_hard = max(round(hardest * int(other.sum())), 1)
    hard = cosine[other].topk(n_hard).indices
    return {
        "false negatives": false.float().mean(),
        f"false negatives, hardest {100 * hardest:g} %": false[hard].float().mean(),
    }


@torch.no_grad()
def cosine_histograms(z: Mapping[str, Tensor], index: Tensor, n_bins: int = N_BINS) -> dict[str, Tensor]:
    """How many positives and negatives between the first two modalities have which cosine.

    Args:
        z: ``{modality: (sample, dim)}``.
        index: ``(sample,)``, equal for samples of one recording.
        n_bins: Equal bins from -1 to 1.

    Returns:
        ``{"positive cosine": (bin,), "negative cosine": (bin,)}``.

    Example:
        >>> z = {"a": torch.eye(2), "b": torch.eye(2)}
        >>> cosine_histograms(z, torch.arange(2), 4)["negative cosine"]
        tensor([0., 0., 2., 0.])
    """
    cosine, other = _cosines(z, index)
    return {
        "positive cosine": torch.histc(cosine.diagonal(), n_bins, -1.0, 1.0),
        "negative cosine": torch.histc(torch.where(other, cosine, -9.0), n_bins, -1.0, 1.0),
    }


def _cosines(z: Mapping[str, Tensor], index: Tensor) -> tuple[Tensor, Tensor]:
    first, second = list(z)[:2]
    a, b = l2_normalize(z[first][:MAX_SAMPLES]), l2_normalize(z[second][:MAX_SAMPLES])
    index = index[:MAX_SAMPLES]
    return (a @ b.T).clamp(-1, 1), index[:, None] != index[None, :]


@torch.no_grad()
def pair_statistics(z: Mapping[str, Tensor], index: Tensor) -> dict[str, Tensor]:
    """Alignment, uniformity, and mean cosines of positives, negatives and the hardest 5 % of these.

    Args:
        z: ``{modality: (sample, dim)}``; pairs are of the first two.
        index: ``(sample,)``, equal for samples of one recording.

    Example:
        >>> z = {"a": torch.eye(2), "b": torch.eye(2)}
        >>> pair_statistics(z, torch.arange(2))["positive cosine"].item()
        1.0
    """
    cosine, other = _cosines(z, index)
    z = {m: v[:MAX_SAMPLES] for m, v in z.items()}
    a, b = list(z.values())[:2]
    negative = cosine.masked_fill(~other, torch.nan)
    statistics = {"alignment": alignment(a, b), **{f"uniformity {m}": uniformity(v) for m, v in z.items()}}
    return statistics | {
        "positive cosine": cosine.diagonal().mean(),
        "negative cosine": negative.nanmean(),
        "negative cosine, hardest 5 %": negative.flatten().nanquantile(0.95),
    }
