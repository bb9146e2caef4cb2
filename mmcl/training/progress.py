"""Where a training stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Progress:
    """Where a training stands; saved with the state, so that a resumed run goes on from it.

    Attributes:
        epoch: Finished epochs.
        step: Finished steps.
        best: The highest value of the selection metric.
        best_epoch: Its epoch, -1 = none yet.
        seconds: Spent on training.
        history: Losses and validation metrics of each epoch.
        histograms: Counts of cosines of each epoch.
        at_start: Validation metrics before the first step, where they are asked for.

    Example:
        >>> Progress().best_epoch
        -1
    """

    epoch: int = 0
    step: int = 0
    best: float = -float("inf")
    best_epoch: int = -1
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    histograms: list[dict[str, list[float]]] = field(default_factory=list)
    at_start: dict[str, float] = field(default_factory=dict)
