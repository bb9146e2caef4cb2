"""What the parts of an objective may read of the pairs that it contrasts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from mmcl.processes import gather


@dataclass(frozen=True)
class About:
    """What is known of rows besides the embeddings that are contrasted; any of it may be unknown.

    label: ``(row,)`` int, or ``(row, class)`` 0 or 1 where several may hold. index: ``(row,)``, number of the
    recording in the data set, -1 = none. group: ``(row,)`` int, who or where it was recorded. domain: ``(row,)`` int, what kind of row it is: of which stream, or, in
    the semi-bag contrast, an event, background or a normal bag's. auxiliary: ``(row,
    dim')``, the same rows in another space, which no gradient reaches. teacher: ``(row, dim)``, a teacher's encoding.
    value: ``(row,)``, an ordinal quantity, a score for instance.
    """

    label: Tensor | None = None
    index: Tensor | None = None
    group: Tensor | None = None
    domain: Tensor | None = None
    auxiliary: Tensor | None = None
    teacher: Tensor | None = None
    value: Tensor | None = None

    def map(self, change) -> About:
        return About(**{k: None if v is None else change(v) for k, v in vars(self).items()})

    def gathered(self) -> About:
        """Of the rows of all processes, as ``processes.gather`` of the embeddings."""
        return self.map(gather)


@dataclass(frozen=True)
class Pairs:
    """Queries, each with its own positive, and keys that are negatives of those whose ``mask`` says so.

    query, positive: ``(query, dim)``; key: ``(key, dim)``; all of unit length, in single precision at least.
    positive_logit: ``(query,)``, logit: ``(query, key)``, cosine / temperature or what another similarity makes of
    it. mask: ``(query, key)`` bool. log_weight: ``(query, key)``, the sum of the weights so far. real: ``(query,)``
    bool, rows that count. about, about_positive, about_key: what else is known of each. progress: from 0 to 1, where the run stands.
    parent: ``(key,)``, of mixtures of two keys which the second one is, of plain keys they themselves.
    counted: ``(query,)`` bool, rows that count and have a negative, known once the losses are.
    """

    query: Tensor
    positive: Tensor
    key: Tensor
    positive_logit: Tensor
    logit: Tensor
    mask: Tensor
    temperature: float
    log_weight: Tensor | None = None
    real: Tensor | None = None
    about: About = field(default_factory=About)
    about_positive: About = field(default_factory=About)
    about_key: About = field(default_factory=About)
    progress: float = 0.0
    parent: Tensor | None = None
    counted: Tensor | None = None

    @property
    def counts(self) -> Tensor:
        """``(query,)`` bool: rows that count and have a negative, as far as is known yet."""
        if self.counted is not None:
            return self.counted
        some = self.mask.any(-1)
        return some if self.real is None else some & self.real

    def weighted(self, more: Tensor) -> Pairs:
        """With the log-weights ``more`` added; keys of weight -inf are no negatives any more."""
        weight = more if self.log_weight is None else self.log_weight + more
        return replace(self, log_weight=weight, mask=self.mask & (weight > -torch.inf))


def same_label(a: Tensor, b: Tensor) -> Tensor:
    """``(row, key)`` in [0, 1]: 1 where the labels are the same, of several labels their overlap (Jaccard)."""
    if a.ndim == 1:
        return (a[:, None] == b[None, :]).float()
    a, b = a.float(), b.float()
    both = a @ b.T
    either = a.sum(1)[:, None] + b.sum(1)[None, :] - both
    return torch.where(either > 0, both / either.clamp(min=1), 1.0)  # no label at all is a label too
