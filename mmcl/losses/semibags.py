"""Semi-bags: each bag's snippets clustered by score into event, background and normal ones.

No snippet has a label of its own; the scores of the network itself decide (MACIL-SD, section 3.3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from mmcl.errors import InputError
from mmcl.losses.checks import check_shape
from mmcl.losses.mil import n_top

Clustering = Literal["topk", "2-means", "3-means"]


@dataclass(frozen=True)
class SnippetSelection:
    """Selected snippets of each bag; where ``mask`` is False the index is meaningless, but safe to gather with.

    Attributes:
        idx: ``(bag, selected)`` int.
        mask: ``(bag, selected)`` bool.

    Example:
        >>> SnippetSelection(torch.zeros(2, 3, dtype=torch.long), torch.tensor([[True, True, False]] * 2)).count
        tensor([2, 2])
    """

    idx: Tensor
    mask: Tensor

    @property
    def count(self) -> Tensor:
        """``(bag,)`` selected snippets of each bag."""
        return self.mask.sum(1)


@dataclass(frozen=True)
class SemiBags:
    """A batch's snippets in three clusters, per modality (MACIL-SD, section 3.3).

    Attributes:
        event: The high-scored snippets of event bags.
        background: The low-scored snippets of every bag.
        normal: The high-scored snippets of bags without an event (hard negatives).
        is_event: ``(bag,)`` bool.
    """

    event: Mapping[str, SnippetSelection]
    background: Mapping[str, SnippetSelection]
    normal: Mapping[str, SnippetSelection]
    is_event: Tensor

    def only(self, bags: Tensor) -> SemiBags:
        """Nothing selected in the other bags; bags: ``(bag,)`` bool."""

        def keep(selections: Mapping[str, SnippetSelection]) -> dict[str, SnippetSelection]:
            return {m: SnippetSelection(s.idx, s.mask & bags[:, None]) for m, s in selections.items()}

        return SemiBags(keep(self.event), keep(self.background), keep(self.normal), self.is_event)


def cluster(
    score: Tensor,
    mask: Tensor,
    clustering: Clustering = "topk",
    topk_divisor: int = 16,
    min_gap: float = 0.1,
    overlap: bool = False,
) -> tuple[SnippetSelection, SnippetSelection]:
    """The high-scored and the low-scored snippets of each bag, which do not overlap unless told to.

    Args:
        score: ``(bag, snippet)`` in [0, 1].
        mask: ``(bag, snippet)`` bool.
        clustering: "topk" (the authors'): the ``floor(length / topk_divisor) + 1`` highest and as many lowest.
            "2-means", "3-means": the optimal clustering of the bag's own scores, the middle one of three being
            neither.
        topk_divisor: Of "topk".
        min_gap: A bag whose outer centroids are closer is one cluster: high if its mean is 0.5 or more, else low, its
            top snippet excepted.
        overlap: Of "topk": the lowest-scored snippets are low even where they are high too, as in a bag of one.

    Raises:
        InputError: The clustering is unknown, or the shapes do not match.

    Returns:
        High-scored and low-scored selection. Without overlap a bag of one snippet has a high one only.

    Reference:
        MACIL-SD (arXiv 2207.05500), section 3.3; k-means is ours.

    Example:
        >>> high, low = cluster(torch.tensor([[0.9, 0.1, 0.2]]), torch.ones(1, 3, dtype=torch.bool), "2-means")
        >>> high.count, low.count
        (tensor([1]), tensor([2]))
    """
    if clustering not in get_args(Clustering):
        raise InputError(f"clustering: expected one of {', '.join(get_args(Clustering))}, got {clustering!r}")
    check_shape("mask", mask, ("bag", "snippet"), is_bool=True)
    check_shape("score", score, tuple(mask.shape))
    if clustering == "topk":
        return _topk(score, mask, topk_divisor, overlap)
    high, low = _means(score, mask, 2 if clustering == "2-means" else 3, min_gap)
    idx = torch.arange(score.shape[1], device=score.device).expand_as(mask)
    return SnippetSelection(idx, high), SnippetSelection(idx, low)


def _topk(score: Tensor, mask: Tensor, topk_divisor: int, overlap: bool) -> tuple[SnippetSelection, SnippetSelection]:
    lengths = mask.sum(1)
    k = torch.minimum(n_top(lengths, topk_divisor), lengths)
    k_max = min(mask.shape[1] // topk_divisor + 1, mask.shape[1])
    rank = torch.arange(k_max, device=score.device)
    high = score.masked_fill(~mask, -math.inf).topk(k_max, dim=1).indices
    low = score.masked_fill(~mask, math.inf).topk(k_max, dim=1, largest=False).indices
    n_low = k if overlap else torch.minimum(k, lengths - k)
    return SnippetSelection(high, rank < k[:, None]), SnippetSelection(low, rank < n_low[:, None])


def _means(score: Tensor, mask: Tensor, n_clusters: int, min_gap: float) -> tuple[Tensor, Tensor]:
    """Masks ``(bag, snippet)`` of the top and the bottom cluster of an exact 1-D k-means."""
    n = mask.shape[1]
    lengths = mask.sum(1)
    order = score.masked_fill(~mask, -math.inf).argsort(dim=1, descending=True, stable=True)
    exact = torch.float32 if score.device.type == "mps" else torch.float64  # MPS has no float64
    x = score.to(exact).masked_fill(~mask, 0).gather(1, order)
    total = torch.nn.functional.pad(x.cumsum(1), (1, 0))  # sum of the i highest, i = 0..n
    count = torch.arange(n + 1, device=score.device)
    # Within-cluster squares fall as the sum over clusters of (sum^2 / count) rises.
    end = lengths[:, None]

    def gain(total_part: Tensor, count_part: Tensor) -> Tensor:
        return total_part.square() / count_part.clamp(min=1)

    first = gain(total, count)  # cluster = the i highest
    last = gain(total.gather(1, end) - total, end - count)
    if n_clusters == 2:
        value = (first + last).masked_fill((count < 1) | (count >= end), -math.inf)
        i = j = value.argmax(1)
    else:
        a, b = count[:, None], count[None, :]
        middle = gain(total[:, None, :] - total[:, :, None], b - a)
        value = first[:, :, None] + middle + last[:, None, :]
        wrong = (a < 1) | (b <= a) | (b >= end[..., None])
        best = value.masked_fill(wrong, -math.inf).flatten(1).argmax(1)
        i, j = best // (n + 1), best % (n + 1)
        few = lengths < 3  # too short for three clusters: the best two
        i, j = torch.where(few, 1, i), torch.where(few, 1, j)

    def at(k):
        return total.gather(1, k[:, None])[:, 0]

    high_mean = at(i) / i.clamp(min=1)
    low_mean = (at(lengths) - at(j)) / (lengths - j).clamp(min=1)
    apart = (lengths > 1) & (high_mean - low_mean >= min_gap)
    mean = at(lengths) / lengths.clamp(min=1)
    i = torch.where(apart, i, torch.where(mean >= 0.5, lengths, lengths.clamp(max=1)))
    j = torch.where(apart, j, i)
    rank = torch.empty_like(order).scatter_(1, order, count[:n].expand_as(order))
    return (rank < i[:, None]) & mask, (rank >= j[:, None]) & mask


def semi_bags(
    score: Mapping[str, Tensor],
    mask: Tensor,
    is_event: Tensor,
    *,
    clustering: Clustering = "topk",
    topk_divisor: int = 16,
    min_gap: float = 0.1,
    overlap: bool = False,
) -> SemiBags:
    """Cluster every modality's snippets by that modality's scores. No gradient flows.

    Args:
        score: ``{modality: (bag, snippet)}`` in [0, 1].
        mask: ``(bag, snippet)`` bool.
        is_event: ``(bag,)`` bool: by label, or by a predicted bag score above 0.5 (the authors). In event bags the
            high-scored snippets are the event, in the others hard normal ones; the low-scored ones are background
            everywhere.
        clustering: As of ``cluster``.
        topk_divisor: As of ``cluster``.
        min_gap: As of ``cluster``.
        overlap: As of ``cluster``.

    Raises:
        InputError: ``is_event`` is not of one bool a bag, shapes do not match, or the clustering is unknown.

    Reference:
        MACIL-SD (arXiv 2207.05500), section 3.3.

    Example:
        >>> score, mask = {"audio": torch.rand(2, 20)}, torch.ones(2, 20, dtype=torch.bool)
        >>> semi_bags(score, mask, torch.tensor([True, False])).event["audio"].count
        tensor([2, 0])
    """
    if is_event.dtype != torch.bool or is_event.shape != mask.shape[:1]:
        got = f"{tuple(is_event.shape)} of {is_event.dtype}"
        raise InputError(
            f"is_event: expected ({len(mask)},) of torch.bool, a value a bag, got {got}; label > 0.5 gives it"
        )
    event, background, normal = {}, {}, {}
    for m, s in score.items():
        high, low = cluster(s.detach(), mask, clustering, topk_divisor, min_gap, overlap)
        event[m] = SnippetSelection(high.idx, high.mask & is_event[:, None])
        normal[m] = SnippetSelection(high.idx, high.mask & ~is_event[:, None])
        background[m] = low
    return SemiBags(event, background, normal, is_event)


def select(x: Tensor, selection: SnippetSelection) -> Tensor:
    """The selected snippets: ``(bag, snippet, dim)`` -> ``(bag, selected, dim)``, 0 where the mask is False."""
    gathered = x.gather(1, selection.idx[..., None].expand(-1, -1, x.shape[-1]))
    return gathered.masked_fill(~selection.mask[..., None], 0)


def mean_of_selected(x: Tensor, selection: SnippetSelection) -> Tensor:
    """``(bag, dim)``: the mean of each bag's picked snippets, 0 where none is picked."""
    return select(x, selection).sum(1) / selection.count.clamp(min=1)[:, None]
