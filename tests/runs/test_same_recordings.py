"""Runs whose data, or the runs that they began with, have changed."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pandas
import pytest

from mmcl.cli.main import main
from mmcl.config.schema import LabelsConfig
from mmcl.datasets import get_dataset, load_splits
from mmcl.errors import FileError
from mmcl.experiments.many_runs import train_missing
from mmcl.inference.embeddings import embed
from mmcl.inference.representation import probe_scores
from mmcl.runs.model import load_model
from mmcl.runs.run_dir import read_run
from mmcl.training.warm_start import pseudo_label

OTHER = "made on other recordings, splits, labels or groups (train "


def lacks(n: int):
    return lambda table: table.drop(index=n)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.replace({"label": {"calm": "zzz"}}), "made on the classes calm, wild, not wild, zzz"),
        (lacks(1), OTHER),
        (lambda table: table.assign(group=table.group.replace("g0", "g9")), OTHER),
        (lambda table: table.iloc[::-1], OTHER),
        (lambda table: table, None),
    ],
)
def test_resumed_on_other_data(wrist_run, tmp_path, capsys, change, message):
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(wrist_run, data, ignore=shutil.ignore_patterns("run"))
    words = ["train", "recordings", "--data", str(data / "own.csv"), "--out", str(run), "--trainer.tracker", "none"]
    words += ["--model.dim", "16", "--optim.epochs", "1"]
    assert main(words) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").unlink()  # as if it had been stopped before its end
    settings = (run / "config.json").read_bytes()
    change(pandas.read_csv(data / "own.csv")).to_csv(data / "own.csv", index=False)
    capsys.readouterr()
    rc = main([*words, "--resume"])
    if message is None:
        assert rc == 0
        assert json.loads((run / "metrics.json").read_text())["test accuracy"] == metrics["test accuracy"]
        return
    error = capsys.readouterr().err
    assert rc == 1
    assert message in error
    assert "own.csv has changed; undo the change, or train into another --out" in error
    assert not (run / "metrics.json").exists()
    assert (run / "config.json").read_bytes() == settings


@pytest.fixture
def own(wrist_run, tmp_path, capsys):
    """A copy of the tables, and a run on them."""
    data = tmp_path / "data"
    shutil.copytree(wrist_run, data, ignore=shutil.ignore_patterns("run"))
    words = ["train", "recordings", "--data", str(data / "own.csv"), "--trainer.tracker", "none"]
    words += ["--model.dim", "16", "--optim.epochs", "1"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    return data / "own.csv", tmp_path / "run", words


def double(path):
    """Twelve more recordings of new groups: folds are drawn anew."""
    table = pandas.read_csv(path)
    more = table.iloc[:12].assign(group=lambda t: "new-" + t.group, wrist=[f"{i}-more.csv" for i in range(12)])
    for i in range(12):
        frame = pandas.read_csv(path.parent / f"{i}.csv")
        frame.assign(x=frame.x + 0.01).to_csv(path.parent / f"{i}-more.csv", index=False)
    pandas.concat([table, more]).to_csv(path, index=False)


def test_a_run_is_evaluated_on_changed_data(own, capsys):
    """It is told, and the metrics do not become the run's."""
    data, run, _ = own
    before = (run / "metrics.json").read_bytes()
    assert main(["evaluate", str(run)]) == 0
    assert "warning" not in capsys.readouterr().out
    double(data)
    assert main(["evaluate", str(run)]) == 0
    assert f"{data} holds other recordings, splits, labels or groups than when {run}" in capsys.readouterr().out
    after = (run / "metrics.json").read_bytes()
    assert json.loads(after) == json.loads(before)


def test_finished_runs_of_other_data_are_not_taken(own, tmp_path, capsys):
    data, run, words = own

    def compare():  # as mmcl compare and mmcl crossval do, with nothing left to train
        train_missing({"run": read_run(run, as_saved=True).config}, data, tmp_path, 1, "", "", "cpu")

    compare()
    table = pandas.read_csv(data)
    table["label"] = table.label.map({"calm": "wild", "wild": "calm"})
    table.to_csv(data, index=False)
    assert main([*words, "--out", str(run), "--resume"]) == 1
    assert OTHER in capsys.readouterr().err
    with pytest.raises(FileError, match=re.escape(OTHER)):
        compare()


def test_a_run_that_another_began_with_is_trained_anew(own, tmp_path, capsys):
    _, run, words = own
    second = [*words, "--out", str(tmp_path / "second"), "--start-from", str(run)]
    assert main(second) == 0
    assert main([*second, "--resume"]) == 0
    assert "finished already" in capsys.readouterr().out
    shutil.rmtree(run)
    assert main([*words, "--seed", "1", "--out", str(run)]) == 0
    assert main([*second, "--resume"]) == 1
    assert "began with other weights of --start-from, which was trained anew" in capsys.readouterr().err


def test_test_recordings_that_a_run_began_with_was_trained_on(own, tmp_path, capsys):
    _, run, words = own
    for fold, expected in (("0", False), ("2", True)):
        out = tmp_path / f"fold-{fold}"
        assert main([*words, "--out", str(out), "--data.fold", fold, "--start-from", str(run)]) == 0
        out = capsys.readouterr().out
        assert (f"warning: {run} was trained on " in out) == expected
        assert ("test recordings (" in out) == expected


def test_pseudo_labels_are_those_of_the_recording(own, tmp_path):
    """Where another run saw other modalities, splits or an order of its own, names decide."""
    data, _, _ = own
    table = pandas.read_csv(data)
    for i in range(24):
        frame = pandas.read_csv(data.parent / f"{i}.csv")
        frame.assign(x=frame.x * 2).to_csv(data.parent / f"{i}-hip.csv", index=False)
    table["hip"] = [f"{i}-hip.csv" for i in range(24)]
    table.loc[[3, 9], "wrist"] = ""  # these have the hip alone
    table["name"] = [f"r{i}" for i in range(24)]
    table.to_csv(data, index=False)
    small = ["--trainer.tracker", "none", "--model.dim", "16", "--optim.epochs", "1"]
    run = tmp_path / "pairs"
    assert main(["pretrain", "recordings", "--data", str(data), "--out", str(run), *small]) == 0
    dataset, config = get_dataset("recordings"), read_run(run).config
    labels = LabelsConfig(labelled=1.0, unlabelled="probe")
    options = replace(config.data, modalities=("wrist",))
    splits = load_splits(dataset, data, options, labels, 0)
    labelled = pseudo_label(splits, options, labels, 0, data, run)
    assert [r.name for r in labelled] == [r.name for r in splits.train]
    assert not {"r3", "r9"} & {r.name for r in labelled}
    network, info = load_model(run, needs_scores=False)
    wide = load_splits(dataset, data, replace(options, modalities=("wrist", "hip")), labels, 0)
    of_name = {r.name: r for r in wide.train}
    alone = embed(network, [of_name[r.name] for r in splits.train], info.grid)
    expected = probe_scores(alone, splits.train)
    for r, x, p in zip(splits.train, labelled, expected, strict=True):
        np.testing.assert_allclose(x.label, r.label if r.label.any() else p, atol=1e-5)
