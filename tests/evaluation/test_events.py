"""Events by hysteresis, against a walk from snippet to snippet."""

from __future__ import annotations

import numpy as np
import pytest

from mmcl.errors import InputError
from mmcl.evaluation.events import EventRule, find_events, runs
from mmcl.types import SnippetScores


def snippet_scores(score: np.ndarray, classes=("violence",)) -> SnippetScores:
    start = np.arange(len(score)) * 2 / 3
    return SnippetScores("x", start, start + 2 / 3, score, {}, score.max(0), {}, classes)


def walk(score, rule: EventRule) -> list[tuple[int, int]]:
    events, begun, high = [], None, False
    for i, s in enumerate([*score, -1.0]):
        if s >= rule.low:
            begun = i if begun is None else begun
            high = high or s >= rule.high
        elif begun is not None:
            if high and (i - begun) * 2 / 3 >= rule.min_s - 1e-9:
                events.append((begun, i))
            begun, high = None, False
    return events


@pytest.mark.parametrize("seed", range(20))
def test_against_a_walk(seed):
    rng = np.random.default_rng(seed)
    score = rng.random(int(rng.integers(1, 60)))
    rule = EventRule(*sorted(rng.random(2), reverse=True), float(rng.integers(0, 4)) * 2 / 3)
    ours = [(round(e.start_s * 1.5), round(e.end_s * 1.5)) for e in find_events(snippet_scores(score[:, None]), rule)]
    assert ours == walk(score, rule)


def test_classes_peaks_and_edges():
    score = np.array([[0.9, 0.1], [0.4, 0.1], [0.1, 0.6], [0.1, 0.8]])
    first, second = find_events(snippet_scores(score, ("a", "b")), EventRule(0.5, 0.3))
    assert (first.name, first.start_s, first.end_s, first.peak) == ("a", 0.0, pytest.approx(4 / 3), 0.9)
    assert (second.name, second.peak_s) == ("b", pytest.approx(3.5 * 2 / 3))
    assert runs(np.zeros(0, bool)).shape == (0, 2)


def test_refusals():
    for values in ((0.3, 0.5), (1.5, 0.1), (float("nan"), 0.1)):
        with pytest.raises(InputError, match="0 <= low <= threshold <= 1"):
            EventRule(*values)
    with pytest.raises(InputError, match="--min-s"):
        EventRule(min_s=-1)
