"""Untrimmed streams strung together from trimmed recordings: weak labels with a known truth.

Recordings of one subject follow each other in seeded random order. A stream's bag label says only
whether it holds one of the target actions; the intervals (the truth) serve evaluation alone. The
streams are a function of the recordings, the seed and the settings, and of nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmcl.data.clock import resample
from mmcl.data.utd_mhad import ACTIONS, action_of
from mmcl.errors import InputError
from mmcl.types import Clock, Interval, Recording


def compose_streams(
    recordings: Sequence[Recording],
    n_streams: int,
    *,
    targets: Sequence[int] = (13, 5, 18, 19),
    n_actions: tuple[int, int] = (12, 20),
    n_targets: tuple[int, int] = (1, 3),
    seed: int = 0,
) -> list[Recording]:
    """``n_streams`` streams, the even ones without and the odd ones with target actions.

    n_actions: fewest and most recordings in a stream. n_targets: fewest and most of them that show
    a target action, in the streams that have any. Each stream is of one subject (its ``group``);
    within a stream no recording occurs twice unless the subject has too few.

    Raises InputError when a subject lacks target or other recordings.
    """
    by_subject: dict[str, tuple[list[Recording], list[Recording]]] = {}
    for recording in recordings:
        pools = by_subject.setdefault(recording.group, ([], []))
        pools[action_of(recording) in targets].append(recording)
    for subject, (others, hits) in by_subject.items():
        if not others or not hits:
            raise InputError(
                f"streams: subject {subject} has {len(hits)} target and {len(others)} other recordings; both are needed"
            )
    rng = np.random.default_rng([seed, 0x57EA])
    subjects = sorted(by_subject)
    streams = []
    for i in range(n_streams):
        subject = subjects[int(rng.integers(len(subjects)))]
        others, hits = by_subject[subject]
        total = int(rng.integers(n_actions[0], n_actions[1] + 1))
        n_hits = int(rng.integers(n_targets[0], n_targets[1] + 1)) if i % 2 else 0
        parts = _draw(rng, hits, n_hits) + _draw(rng, others, total - n_hits)
        order = rng.permutation(len(parts))
        streams.append(_string([parts[k] for k in order], f"stream-{i:04d}-s{subject}", subject, targets))
    return streams


def _draw(rng: np.random.Generator, pool: Sequence[Recording], n: int) -> list[Recording]:
    return [pool[k] for k in rng.choice(len(pool), n, replace=n > len(pool))]


def _string(parts: Sequence[Recording], name: str, group: str, targets: Sequence[int]) -> Recording:
    """One after the other, at the rates of the first part, with the intervals of each."""
    rate = {"inertial": 50.0, "skeleton": 25.0}
    signal: dict[str, list[np.ndarray]] = {m: [] for m in rate}
    intervals, start = [], 0.0
    for part in parts:
        end = start + part.duration_s
        for m, hz in rate.items():
            n_frames = round(end * hz) - round(start * hz)  # rounded on the stream's clock: no drift
            signal[m].append(resample(part.signal[m], part.rate_hz[m], hz, n_frames))
        action = action_of(part)
        intervals.append(Interval(start, end, ACTIONS[action - 1], action in targets))
        start = end
    label = np.array([any(i.is_event for i in intervals)], np.float32)
    return Recording(
        name, {m: np.concatenate(x) for m, x in signal.items()}, rate, label, group, tuple(intervals)
    )


def snippet_truth(recording: Recording, clock: Clock, n_snippets: int) -> np.ndarray:
    """``(snippet,)`` bool: events cover at least half of the snippet's window."""
    start = np.arange(n_snippets) * clock.hop_s
    covered = np.zeros(n_snippets)
    for interval in recording.intervals:
        if interval.is_event:
            overlap = np.minimum(start + clock.window_s, interval.end_s) - np.maximum(start, interval.start_s)
            covered += np.clip(overlap, 0, None)
    return covered >= clock.window_s / 2
