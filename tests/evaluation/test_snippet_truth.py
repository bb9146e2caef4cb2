"""Which snippets are events."""

from __future__ import annotations

import numpy as np
import pytest

from mmcl.evaluation.snippet_truth import snippet_truth
from mmcl.types import Interval, Recording, SnippetGrid

GRID = SnippetGrid(0.5, 1.0, {"skeleton": 8, "inertial": 16})


def test_snippet_truth_is_half_of_the_window():
    r = Recording("r", {}, {}, intervals=(Interval(1.0, 2.0, "x"), Interval(3.0, 4.0, "y", is_event=False)))
    assert snippet_truth(r, GRID, 7).tolist() == [False, True, True, True, False, False, False]


@pytest.mark.parametrize("seed", range(20))
def test_events_that_overlap_count_once(seed):
    """Against milliseconds that are marked one by one."""
    rng = np.random.default_rng(seed)
    edges = np.sort(rng.integers(0, 10_000, (rng.integers(1, 6), 2)), 1)
    intervals = tuple(Interval(a / 1000, b / 1000, "xy"[k % 2]) for k, (a, b) in enumerate(edges.tolist()))
    is_event = np.zeros(10_000, bool)
    for first, last in edges:
        is_event[first:last] = True
    expected = [is_event[500 * i : 500 * i + 1000].sum() >= 500 for i in range(19)]
    truth = snippet_truth(Recording("r", {}, {}, intervals=intervals), GRID, 19)
    unsure = [abs(int(is_event[500 * i : 500 * i + 1000].sum()) - 500) < 1 for i in range(19)]
    assert [a for a, u in zip(truth.tolist(), unsure, strict=True) if not u] == [
        b for b, u in zip(expected, unsure, strict=True) if not u
    ]
