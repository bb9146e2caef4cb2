"""What is known of a batch of bags, turned into what is known of the rows that a contrast compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from mmcl.losses.pairs import About


@dataclass(frozen=True)
class Known:
    """label: ``(bag,)`` int or ``(bag, class)``; index: ``(bag,)``, the recording's number; group: ``(bag,)``, who or
    where it was recorded; auxiliary[m], teacher[m]:
    ``(bag, snippet, dim)``; value[m]: ``(bag, snippet)``, a score. progress: from 0 to 1, where the run stands."""

    label: Tensor | None = None
    index: Tensor | None = None
    group: Tensor | None = None
    auxiliary: Mapping[str, Tensor] = field(default_factory=dict)
    teacher: Mapping[str, Tensor] = field(default_factory=dict)
    value: Mapping[str, Tensor] = field(default_factory=dict)
    progress: float = 0.0

    def about(
        self,
        modality: str,
        of_snippets: Callable[[Tensor], Tensor],
        of_bags: Callable[[Tensor], Tensor],
        domain: Tensor | None = None,
        label: Callable[[Tensor], Tensor] = lambda x: x,
    ) -> About:
        """of_snippets: ``(bag, snippet, dim)`` -> ``(row, dim)``; of_bags: ``(bag, ...)`` -> ``(row, ...)``; label: what
        becomes of the bags' label in these rows (background has none)."""
        row = lambda x: None if x is None else of_snippets(x)
        value = self.value.get(modality)
        return About(
            label=None if self.label is None else label(of_bags(self.label)),
            index=None if self.index is None else of_bags(self.index),
            group=None if self.group is None else of_bags(self.group),
            domain=domain,
            auxiliary=row(self.auxiliary.get(modality)),
            teacher=row(self.teacher.get(modality)),
            value=None if value is None else of_snippets(value[..., None])[:, 0],
        )
