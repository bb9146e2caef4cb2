"""Where the training stands at a step, and what that makes of the losses' weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from mmcl.config.loss_schema import LossConfig
from mmcl.training.schedules import contrast_weight, snippet_contrast_weight


@dataclass(frozen=True)
class StepState:
    """Where the training stands at a step.

    Attributes:
        semibag_weight: Weight of the semi-bag contrast.
        snippet_weight: Weight of the snippet contrast.
        distill_weight: Weight of the distillation.
        find_false_negatives: Whether recordings of the same class are looked for among the negatives.
        progress: Share of the training that is done.
        tensors: Weights ``()`` by name, which are read in place of the numbers: a recorded graph reads them anew at
            every step.

    Example:
        >>> StepState(semibag_weight=0.1).progress
        0.0
    """

    semibag_weight: float = 0.0
    snippet_weight: float = 0.0
    distill_weight: float = 0.0
    find_false_negatives: bool = False
    progress: float = 0.0
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def factor(self, name: str) -> float | Tensor:
        """What a loss is multiplied by.

        Args:
            name: Of the weight, such as "semibag_weight".
        """
        return self.tensors.get(name, getattr(self, name))


def state_of_step(loss: LossConfig, epoch: int, done: float, has_finished_teacher: bool = False) -> StepState:
    """The state at a step.

    Args:
        loss: Settings of the losses.
        epoch: From 0.
        done: Share of the training that is done.
        has_finished_teacher: The teacher is a finished run, which distils from the first step on.

    Example:
        >>> state_of_step(LossConfig(), 0, 0.9).semibag_weight
        0.0
    """
    distills = has_finished_teacher or done >= loss.distill.start
    snippet, recording = loss.snippet, loss.recording
    return StepState(
        semibag_weight=contrast_weight(epoch, loss.semibag.weight, loss.semibag.rise),
        snippet_weight=snippet_contrast_weight(done, snippet.weight, snippet.weight_end) if snippet.weight > 0 else 0.0,
        distill_weight=loss.distill.weight if distills else 0.0,
        find_false_negatives=recording.false_negatives != "none"
        and recording.weight > 0
        and done >= recording.false_negatives_start,
        progress=done,
    )
