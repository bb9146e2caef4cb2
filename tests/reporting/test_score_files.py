"""Score files and pictures of small scores."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from mmcl.errors import InputError
from mmcl.evaluation.events import EventRule
from mmcl.inference.score_each import ScoredRecording, score_ahead, score_each
from mmcl.reporting.plots import draw_scores, png, score_strip
from mmcl.reporting.score_files import ScoreFiles, summarize, to_csv
from mmcl.types import SnippetScores


def scores(classes=("event",)) -> SnippetScores:
    start = np.arange(4) / 2
    score = np.linspace(0.1, 0.9, 4)[:, None].repeat(len(classes), 1)
    return SnippetScores("r", start, start + 0.5, score, {"audio": 1 - score}, score.max(0), {}, classes)


def test_csv_has_a_column_a_head_and_class():
    rows = list(csv.DictReader(to_csv(scores()).splitlines()))
    assert list(rows[0]) == ["start_s", "end_s", "joint", "audio"]
    assert float(rows[3]["joint"]) + float(rows[3]["audio"]) == 1.0
    two = list(csv.DictReader(to_csv(scores(("a", "b"))).splitlines()))
    assert list(two[0]) == ["start_s", "end_s", "joint a", "joint b", "audio a", "audio b"]


def test_summaries():
    assert summarize(scores(), EventRule(), False) == "r: 1 event, highest score 0.90 at 1.8 s"
    assert summarize(scores(("a", "b")), EventRule(), True) == "r: a (0.50)"  # both have 0.9, which is no distribution


def test_one_failure_stops_nothing(tmp_path, capsys):
    writer = ScoreFiles(tmp_path)

    def score(name: str) -> ScoredRecording:
        if name == "bad":
            raise MemoryError
        return ScoredRecording(scores(), {"file": name})

    with pytest.raises(InputError, match=r"^1 of 2 recordings failed: bad: not enough memory$"):
        score_each(["bad", "good"], score_ahead(["bad", "good"], score), writer, "recording", str)
    assert json.loads((tmp_path / "r.json").read_text())["file"] == "good"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["index.html", "r.csv", "r.json", "r.png"]
    assert "1 of 2 scored into" in capsys.readouterr().out


def test_pictures():
    assert png(draw_scores(scores()))[:4] == b"\x89PNG"
    assert score_strip(scores(), 0.5, 64, 16).shape == (16, 64, 3)
