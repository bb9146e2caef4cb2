"""From snippet scores to a list of events: hysteresis, then a minimum length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmcl.errors import InputError
from mmcl.types import SnippetScores


@dataclass(frozen=True)
class Event:
    """A stretch of one class; ``peak`` is its highest score, at ``peak_s`` (middle of that snippet)."""

    start_s: float
    end_s: float
    name: str
    peak: float
    peak_s: float


@dataclass(frozen=True)
class EventRule:
    """An event begins and ends with snippets of at least ``low``, holds one of at least ``high``, and
    lasts ``min_s`` seconds at least."""

    high: float = 0.5
    low: float = 0.3
    min_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1:
            raise InputError(f"--threshold {self.high:g}, --low {self.low:g}: expected 0 <= low <= threshold <= 1")
        if not self.min_s >= 0:
            raise InputError(f"--min-s {self.min_s:g}: expected 0 or more seconds")


def runs(is_in: np.ndarray) -> np.ndarray:
    """``(run, 2)``: first index and the one past the last of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_in.astype(np.int8), [0]])))
    return edges.reshape(-1, 2)


def find_events(scores: SnippetScores, rule: EventRule, multiclass: bool = False) -> list[Event]:
    """Events by the joint score, in order of their start; of several classes, each by itself. There are none where
    classes exclude each other (``multiclass``): such a recording shows one class."""
    if multiclass:
        return []
    events = []
    for k, name in enumerate(scores.classes):
        score = scores.score[:, k]
        for first, last in runs(score >= rule.low):
            peak = first + int(score[first:last].argmax())
            start, end = float(scores.start_s[first]), float(scores.end_s[last - 1])
            if score[peak] >= rule.high and end - start >= rule.min_s - 1e-9:
                middle = float(scores.start_s[peak] + scores.end_s[peak]) / 2
                events.append(Event(start, end, name, float(score[peak]), middle))
    return sorted(events, key=lambda e: (e.start_s, e.name))
