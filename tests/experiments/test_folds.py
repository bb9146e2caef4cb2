"""Cross-validation of a data set with folds; its corrected test by its formula."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from mmcl.cli.main import main
from mmcl.data.recording_index import RecordingIndex, RecordingRow
from mmcl.experiments.folds import corrected_p, share_tested


def test_the_corrected_test_is_that_of_nadeau_and_bengio():
    d = np.random.default_rng(0).normal(0.02, 0.03, 25)
    t = d.mean() / np.sqrt((1 / 25 + 0.25) * d.var(ddof=1))
    assert corrected_p(d, 0.25) == pytest.approx(2 * stats.t(24).sf(abs(t)))
    assert corrected_p(d, 0.0) == pytest.approx(stats.ttest_1samp(d, 0).pvalue)
    assert np.isnan(corrected_p(np.zeros(3), 0.25))
    assert np.isnan(
        corrected_p(np.array([0.9, 0.8, 0.85]) - np.array([0.8, 0.7, 0.75]), 0.25)
    )  # equal but for rounding
    assert np.isnan(corrected_p(np.ones(1), 0.25))


def test_independent_units_are_groups_else_files_else_recordings():
    def index(groups, files):
        rows = [
            RecordingRow(f"r{i}", split, (), groups[i], where="here", media={"visual": files[i]} if files[i] else {})
            for i, split in enumerate(("train", "train", "train", "validation", "test", "test"))
        ]
        return RecordingIndex(tuple(rows), ("a",), Path("here"))

    a, b, c, d = (Path(name) for name in "abcd")
    none = [()] * 6
    assert share_tested(index([""] * 6, none), True) == 2 / 4
    assert share_tested(index([""] * 6, none), False) == 2 / 3
    assert share_tested(index(["x", "x", "y", "z", "w", "w"], none), True) == 1 / 3
    composed = [(a, b), (b,), (b, a), (c,), (d,), (d,)]  # many recordings of few files are not many
    assert share_tested(index([""] * 6, composed), True) == 1 / 3


def test_every_fold_is_tested_on_and_stopped_runs_go_on(class_folders, tmp_path, capsys):
    words = ["crossval", "events", "--data", str(class_folders), "--out", str(tmp_path), "--data.folds", "3"]
    words += [
        "--data.normal",
        "calm",
        "--features.visual",
        "motion",
        "--data.modalities",  # folds depend on the version of scikit-learn, and cameras are silent
        "visual",
        "--optim.epochs",
        "1",
        "--trainer.tracker",
        "none",
    ]
    assert main([*words, "--jobs", "2"]) == 0
    assert "linear baseline" in capsys.readouterr().out
    result = json.loads((tmp_path / "crossval.json").read_text())
    assert result["runs"] == ["seed-0/fold-0", "seed-0/fold-1", "seed-0/fold-2"]
    tested = 0
    for run in result["runs"]:
        tested += json.loads((tmp_path / run / "config.json").read_text())["recordings"]["test"]
    assert tested == 24
    (tmp_path / "seed-0" / "fold-1" / "metrics.json").unlink()
    before = (tmp_path / "seed-0" / "fold-0" / "metrics.json").stat().st_mtime_ns
    assert main(words) == 0
    assert json.loads((tmp_path / "crossval.json").read_text()) == result
    assert (tmp_path / "seed-0" / "fold-0" / "metrics.json").stat().st_mtime_ns == before
