"""Metrics of detection."""

from __future__ import annotations

import numpy as np

from mmcl.evaluation.detection import detection_metrics


def test_events_that_nobody_annotated_are_not_evaluated():
    from mmcl.types import Interval, Recording, SnippetGrid, SnippetScores

    grid = SnippetGrid(0.5, 0.5, {"a": 1})

    def recording(label, *intervals):
        return Recording("r", {}, {}, np.array([label]), "", tuple(intervals))

    def line(*score):
        start = np.arange(4) / 2
        return SnippetScores("r", start, start + 0.5, np.array(score)[:, None], {}, np.array([max(score)]), {}, ("x",))

    known = [recording(1.0, Interval(0, 0.5, "x")), recording(0.0)]
    scores = [line(0.9, 0.1, 0.1, 0.1), line(0.2, 0.1, 0.1, 0.1)]
    assert detection_metrics(known, scores, grid)["snippet average precision"] == 1.0
    more = detection_metrics([*known, recording(1.0)], [*scores, line(0.99, 0.99, 0.9, 0.9)], grid)
    assert more["snippet average precision"] == 1.0
    assert more["bag average precision"] == 1.0
