"""Evaluation without a modality, and a diagnosis, where recordings lack modalities or labels."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas
import pytest

from mmcl.cli.main import main
from mmcl.experiments.diagnose import diagnose

SMALL = ["--trainer.tracker", "none", "--model.dim", "16", "--optim.epochs", "1"]


@pytest.fixture(scope="module")
def pairs(wrist_run, tmp_path_factory):
    """24 recordings of two sensors, some of which lack one, and a network pre-trained on them."""
    folder = tmp_path_factory.mktemp("pairs")
    shutil.copytree(wrist_run, folder, ignore=shutil.ignore_patterns("run"), dirs_exist_ok=True)
    table = pandas.read_csv(folder / "own.csv")
    for i in range(24):
        frame = pandas.read_csv(folder / f"{i}.csv")
        frame.assign(x=frame.x * 2).to_csv(folder / f"{i}-hip.csv", index=False)
    table["hip"] = [f"{i}-hip.csv" for i in range(24)]
    table["split"] = ["train" if i < 12 else "validation" if i < 16 else "test" for i in range(24)]
    table.loc[[17, 20], "wrist"] = ""
    table.loc[18, "hip"] = ""
    table.to_csv(folder / "own.csv", index=False)
    words = ["pretrain", "recordings", "--data", str(folder / "own.csv"), "--out", str(folder / "pretrained"), *SMALL]
    assert main(words) == 0
    return folder


def test_recordings_that_have_nothing_else_are_left_out(pairs, capsys):
    words = ["train", "recordings", "--data", str(pairs / "own.csv"), "--out", str(pairs / "run"), *SMALL]
    assert main(words) == 0
    capsys.readouterr()
    for m, n_left in (("hip", 2), ("wrist", 1)):
        assert main(["evaluate", str(pairs / "run"), "--without", m]) == 0
        assert f"--without {m}: {n_left} of 8 recordings have nothing else, and are left out" in capsys.readouterr().out


def test_a_diagnosis_of_few_labels_knows_all_of_them(pairs):
    """Which samples are alike is a matter of the truth, not of the labels that a run was given."""
    out = pairs / "few"
    words = ["finetune", str(pairs / "pretrained"), "--out", str(out), "--labels", "1", "--label-seeds", "1"]
    assert main([*words, "--epochs", "1"]) == 0
    run = out / "1-a-class" / "seed-0"
    _, sample = diagnose(run, pairs / "diagnosis", split="train")
    assert np.bincount(sample.label.numpy()).tolist() == [6, 6]


def test_labels_that_are_named_twice_count_once(pairs):
    out = pairs / "probed.json"
    words = ["probe", str(pairs / "pretrained"), "--labels", "1", "1", "--kinds", "linear", "linear"]
    assert main([*words, "--label-seeds", "2", "--out", str(out)]) == 0
    assert [len(values) for values in json.loads(out.read_text()).values()] == [2]


def test_a_store_of_other_labels_is_noticed(pairs, tmp_path, capsys):
    pytest.importorskip("pyarrow")
    words = ["store", "convert", str(pairs / "own.csv"), str(tmp_path / "store"), "--dataset", "recordings"]
    assert main(words) == 0
    assert main(words) == 0  # nothing is left to do
    before = (pairs / "own.csv").read_text()
    table = pandas.read_csv(pairs / "own.csv")
    table["label"] = table.label.map({"calm": "wild", "wild": "calm"})
    table.to_csv(pairs / "own.csv", index=False)
    try:
        assert main(words) == 1
    finally:
        (pairs / "own.csv").write_text(before)
    assert "differently than its files do" in capsys.readouterr().err
