"""A comparison of objectives, through the command line."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from scipy import stats

from mmcl.cli.main import main
from mmcl.datasets.sources.synthetic_sensors import make_recordings
from mmcl.experiments.comparison import Comparison
from mmcl.reporting.experiment_plots import plot_comparison

SMALL = ["--model.dim", "16", "--trainer.tracker", "none", "--optim.epochs", "1"]
STREAMS = [*SMALL, "--data.n-train-streams", "8", "--data.n-test-streams", "4"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    make_recordings(folder, n_trials=2, actions=(1, 3, 13, 18))
    return folder


def test_compare_refuses_what_it_cannot_do(data, tmp_path, monkeypatch, capsys):
    command = ["compare", "utd-mhad-streams", "--data", str(data), "--out", str(tmp_path), *STREAMS]
    for options, message in (
        (["--jobs", "0"], "--jobs: expected 1 or more, got 0"),
        (["--seeds", "0"], "--seeds: expected 1 or more, got 0"),
        (["--objectives", "default,nonsense"], "--objectives nonsense: expected names from"),
    ):
        assert main([*command, *options]) == 1
        assert message in capsys.readouterr().err
    one = [*command, "--objectives", "default,default", "--jobs", "1", "--seeds", "2"]
    assert main([*one, "--metric", "accuracy"]) == 1
    assert "--metric accuracy, --split left out: the runs have test snippet average" in capsys.readouterr().err
    assert not (tmp_path / "default" / "seed-1" / "metrics.json").exists()  # reported after the first run
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(one) == 1
    assert "run it without torchrun" in capsys.readouterr().err


def test_paired_test_is_scipys():
    values = {"a": [0.5, 0.6, 0.7], "b": [0.6, 0.65, 0.8], "c": [0.5, 0.6, 0.7]}
    rows = {row.name: row for row in Comparison("accuracy", values, "a").rows()}
    assert rows["b"].difference == pytest.approx(np.mean([0.1, 0.05, 0.1]))
    assert rows["b"].p == pytest.approx(stats.ttest_rel(values["b"], values["a"]).pvalue)
    assert np.isnan(rows["a"].p)
    assert np.isnan(rows["c"].p)
    rounded = Comparison("accuracy", {"a": [0.8, 0.7, 0.75], "b": [0.9, 0.8, 0.85]}, "a").rows()[1]
    assert np.isnan(rounded.p)
    text = Comparison("accuracy", values, "a").to_markdown()
    assert "| b | 0.683 ± 0.104 | +0.083 |" in text
    assert plot_comparison(Comparison("accuracy", values, "a"))[:4] == b"\x89PNG"


def test_compare_goes_on_where_it_was(data, tmp_path, capsys):
    command = ["compare", "utd-mhad-streams", "--data", str(data), "--out", str(tmp_path)]
    command += ["--objectives", "default,ranker", "--seeds", "1", *STREAMS]
    assert main(command) == 0
    assert "| ranker |" in capsys.readouterr().out
    kept = (tmp_path / "default" / "seed-0" / "metrics.json").read_text()
    shutil.rmtree(tmp_path / "ranker" / "seed-0")
    assert main(command) == 0
    assert (tmp_path / "default" / "seed-0" / "metrics.json").read_text() == kept
    assert main([*command, "--optim.epochs", "2"]) == 1
    assert "was made with other settings or data" in capsys.readouterr().err
    printed = json.loads((tmp_path / "comparison.json").read_text())
    assert list(printed["values"]) == ["default", "ranker"]
    assert (tmp_path / "comparison.png").read_bytes()[:4] == b"\x89PNG"
    saved = json.loads((tmp_path / "ranker" / "seed-0" / "config.json").read_text())
    assert saved["config"]["loss"]["snippet"]["pair_loss"] == "ranker"
