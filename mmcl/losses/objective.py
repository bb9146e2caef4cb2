"""One objective, composed of small parts: which pairs attract, which repel, and how much each counts.

For query i with its positive and K negatives j, s = similarity / temperature::

    L_i = a_i ( (1 - sum_j t_ij) l(s_ii) + sum_j t_ij l(s_ij) )      l(s) = log(1 + exp(N_i - s))
    N_i = debias( log sum_j exp(s_ij + g_ij) )

with ``g`` log-weights of negatives (-inf removes one), ``t`` the share of a row's attraction that goes to keys in
place of its own positive, ``a`` the weight of the row. Transforms change embeddings before, regularisers add a term.
Without any part it is InfoNCE. Each part is a plain callable or module, so that a stranger's does as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmcl.errors import InputError
from mmcl.losses.pairs import About, Pairs
from mmcl.losses.rows import info_nce, unit
from mmcl.losses.similarities import Cosine
from mmcl.processes import n_processes, total

# Pairs of query and negative at once. Smaller blocks are twice as fast on a CPU, whose caches they fit, but
# its allocator then keeps their memory: two gigabytes instead of a half for 1,024 x 65,536.
WHOLE = 1 << 23

NegativeWeight = Callable[[Pairs], Tensor]  # -> (query, key) log-weights, given those of the parts before
Target = Callable[[Pairs], Tensor]  # -> (query, key) >= 0, rows adding up to 1 at most
AnchorWeight = Callable[[Pairs, Tensor], Tensor]  # pairs, (query,) losses -> (query,) weights
Row = Callable[[Pairs, "Tensor | None", float], Tensor]  # pairs, target, tau -> (query,) losses
Regulariser = Callable[[Pairs], Tensor]  # -> scalar
Transform = Callable[[Pairs], Pairs]  # query, positive and key changed, before any similarity


@dataclass(frozen=True)
class Contrast:
    """row: ``(query,)`` losses, weighted, 0 for a row without negatives. extra: scalars of regularisers by name."""

    row: Tensor
    extra: dict[str, Tensor] = field(default_factory=dict)


class ContrastiveObjective(nn.Module):
    """forward(query, positive, key, mask) -> ``Contrast``: the losses of the rows and what regularisers add.

    query, positive: ``(query, dim)``, row i of both a pair; key: ``(key, dim)`` of all processes, shared by the
    queries; mask: ``(key,)`` or ``(query, key)`` bool, True = a negative (of that query). None needs unit length.
    real: ``(query,)``, rows that count at all. about, about_key: what parts may want to know; each part says
    what it needs and raises InputError where it is missing. Computed in single precision at least, also under
    autocast. Above ``WHOLE`` pairs the rows are worked off in blocks that are computed again for the gradient, where
    all parts look at a row at a time (those that do not have ``whole = True``).

    temperature: > 0. tau: class prior, the probability that a negative is a positive in truth. similarity: its own
    temperature counts. Over several processes rows are local and keys of all; regularisers are of all rows.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        tau: float = 0.0,
        *,
        transforms: Sequence[Transform] = (),
        similarity: nn.Module | None = None,
        negatives: Sequence[NegativeWeight] = (),
        target: Target | None = None,
        anchors: Sequence[AnchorWeight] = (),
        regularisers: Sequence[tuple[str, float, Regulariser]] = (),
        row: Row = info_nce,
    ):
        super().__init__()
        if temperature <= 0 or not 0 <= tau < 1:
            raise InputError(
                f"objective: expected temperature > 0 and 0 <= tau < 1, got {temperature} and {tau}"
            )
        self.temperature, self.tau = temperature, tau
        self.similarity = similarity or Cosine(temperature)
        self.transforms, self.negatives, self.target, self.anchors, self.row = (
            tuple(transforms), tuple(negatives), target, tuple(anchors), row
        )  # fmt: skip
        self.regularisers = tuple(regularisers)
        parts = (*transforms, *negatives, target, *anchors, row, *(r for _, _, r in regularisers))
        self.parts = nn.ModuleList(
            [p for p in parts if isinstance(p, nn.Module)]
        )  # their weights and buffers
        self.is_whole = any(getattr(p, "whole", False) for p in (*negatives, target, row))

    def forward(
        self,
        query: Tensor,
        positive: Tensor,
        key: Tensor,
        mask: Tensor | None = None,
        *,
        real: Tensor | None = None,
        about: About | None = None,
        about_positive: About | None = None,
        about_key: About | None = None,
        progress: float = 0.0,
        log_weight: Tensor | None = None,
        target: Tensor | None = None,
        block_elements: int | None = None,
    ) -> Contrast:
        if mask is None:
            mask = torch.ones(len(key), dtype=torch.bool, device=key.device)
        with torch.autocast(query.device.type, enabled=False):
            a, b, k = (unit(x) for x in (query, positive, key))
            if log_weight is not None:
                mask = mask & (log_weight > -torch.inf)
            pairs = Pairs(
                a, b, k, a.new_zeros(len(a)), a.new_zeros(len(a), 0), mask.expand(len(a), len(k)), self.temperature,
                log_weight, real, about or About(), about_positive or About(), about_key or About(), progress,
            )  # fmt: skip
            for transform in self.transforms:
                pairs = transform(pairs)
            if target is not None:  # transforms may have added keys
                target = nn.functional.pad(target, (0, len(pairs.key) - target.shape[1]))
            size = len(pairs.query) * len(pairs.key)
            if size <= (block_elements or WHOLE) or self.is_whole:
                positive_logit, row, some = self._rows(pairs, target)
            else:
                positive_logit, row, some = self._in_blocks(pairs, target, block_elements or WHOLE)
            counted = some if real is None else some & real
            pairs = replace(pairs, positive_logit=positive_logit, counted=counted)
            for anchor in self.anchors:
                row = row * anchor(pairs, row)
            extra = {name: weight * regulariser(pairs) for name, weight, regulariser in self.regularisers}
            if (penalty := getattr(self.similarity, "penalty", None)) is not None:
                extra["similarity"] = penalty(pairs)
        return Contrast(row, extra)

    def _with_logits(self, pairs: Pairs) -> Pairs:
        return replace(
            pairs,
            positive_logit=self.similarity.paired(  # type: ignore[operator]
                pairs.query, pairs.positive, pairs.about, pairs.about_positive
            ),
            logit=self.similarity(pairs.query, pairs.key, pairs.about, pairs.about_key),
        )

    def _rows(self, pairs: Pairs, target: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of the positives, losses, and which rows have a negative left."""
        pairs = self._with_logits(pairs)
        for weight in self.negatives:
            pairs = pairs.weighted(weight(pairs))
        if pairs.parent is not None:  # a mixture with what a weight removed is none
            pairs = replace(pairs, mask=pairs.mask & pairs.mask[:, pairs.parent])
        if self.target is not None:
            target = self.target(pairs)
        return pairs.positive_logit, self.row(pairs, target, self.tau), pairs.mask.any(-1)

    def _in_blocks(self, pairs: Pairs, target: Tensor | None, most: int) -> tuple[Tensor, Tensor, Tensor]:
        size = max(most // len(pairs.key), 1)
        parts = []
        for start in range(0, len(pairs.query), size):
            part = slice(start, start + size)
            of = lambda x, part=part: None if x is None else x[part]
            block = replace(
                pairs, query=pairs.query[part], positive=pairs.positive[part], mask=pairs.mask[part],
                positive_logit=pairs.positive_logit[part], logit=pairs.logit[part],
                log_weight=of(pairs.log_weight), real=of(pairs.real), about=pairs.about.map(of),
                about_positive=pairs.about_positive.map(of),
            )  # fmt: skip
            parts.append(
                checkpoint(self._rows, block, of(target), use_reentrant=False, preserve_rng_state=False)
            )
        logits, rows, some = (torch.cat(x) for x in zip(*parts, strict=True))
        return logits, rows, some


def mean_of_rows(contrast: Contrast, real: Tensor, name: str) -> dict[str, Tensor]:
    """``{name: mean over the real rows of all processes, "name/regulariser": ...}``, each process's share scaled so
    that the mean over processes is the value of one with all rows. real: ``(query,)`` bool or weights."""
    weight = real.to(contrast.row.dtype)
    n = total(weight.sum()).clamp(min=1)
    terms = {name: (weight * contrast.row).sum() / n * n_processes()}
    return terms | {f"{name}/{k}": v for k, v in contrast.extra.items()}
