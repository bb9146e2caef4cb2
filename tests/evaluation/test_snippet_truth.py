"""Which snippets are events."""

from __future__ import annotations

from mmcl.evaluation.snippet_truth import snippet_truth
from mmcl.types import Interval, Recording, SnippetGrid

GRID = SnippetGrid(0.5, 1.0, {"skeleton": 8, "inertial": 16})


def test_snippet_truth_is_half_of_the_window():
    r = Recording("r", {}, {}, intervals=(Interval(1.0, 2.0, "x"), Interval(3.0, 4.0, "y", is_event=False)))
    assert snippet_truth(r, GRID, 7).tolist() == [False, True, True, True, False, False, False]
