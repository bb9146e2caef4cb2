"""Training on features in XD-Violence's layout, through the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import SHARED
from forked import run_script
from xd_features import SMALL, make_features

from mmcl.cli.main import main


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("features of ünïcode")
    make_features(folder)
    return folder


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "xd"
    assert main(["train", "xd-violence", "--data", str(data), "--out", str(out), *SMALL]) == 0
    return out


def test_a_run_has_metrics_of_videos_and_frames(data, trained, capsys):
    metrics = json.loads((trained / "metrics.json").read_text())
    for name in (
        "test frame average precision",
        "test frame trapezoid PR-AUC",
        "test frame average precision, visual alone",
        "test frame average precision inside fighting videos",
        "test video average precision",
        "validation video average precision",
    ):
        assert 0 <= metrics[name] <= 1, name
    saved = json.loads((trained / "config.json").read_text())
    assert {m: spec["shape"] for m, spec in saved["inputs"].items()} == {"visual": [12], "audio": [6]}
    assert saved["recordings"] == {"train": 2 * 12, "validation": 2 * 4, "test": 2 * 16}
    assert main(["evaluate", str(trained)]) == 0
    assert f"{metrics['test frame average precision']:.4f}" in capsys.readouterr().out
    assert main(["report", str(trained)]) == 0
    assert "frame average precision" in (trained / "report.html").read_text()


def test_it_learns_what_both_modalities_show(tmp_path):
    make_features(tmp_path / "data", n_each=3)
    words = ["train", "xd-violence", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run"), *SMALL]
    words += ["--optim.epochs", "20", "--optim.learning-rate", "0.003", "--optim.decay-epochs", "0"]
    words += ["--data.validation-share", "0", "--loss.semibag.weight", "0.2", "--trainer.tracker", "none"]
    assert main(words) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["test frame average precision"] > 0.8 > 5 * metrics["test share of positive frames"]


def test_six_classes_and_one_modality(data, tmp_path):
    common = [
        "train",
        "xd-violence",
        "--data",
        str(data),
        *SMALL,
        "--optim.epochs",
        "1",
        "--trainer.tracker",
        "none",
    ]
    assert main([*common, "--out", str(tmp_path / "six"), "--data.labels", "classes"]) == 0
    assert len(json.loads((tmp_path / "six" / "config.json").read_text())["classes"]) == 6
    alone = ["--data.modalities", "audio", "--teacher.unimodal", ""]
    assert main([*common, "--out", str(tmp_path / "audio"), *alone]) == 0
    mine = ["--model.architecture", "mmcl", "--model.attention-window", "2", "--trainer.precision", "bf16"]
    assert main([*common, "--out", str(tmp_path / "mmcl"), *mine]) == 0


@pytest.mark.skipif(not (SHARED / "xd_violence").exists(), reason="the real lists are not here")
def test_a_twentieth_of_the_real_names(tmp_path):
    """Generated features under real names and lengths: checked, trained on for an epoch, evaluated by frames."""
    tool = Path(__file__).parents[2] / "tools" / "generate_xd_violence.py"
    words = ["--lists", str(SHARED / "xd_violence"), "--out", str(tmp_path / "data"), "--step", "20"]
    small = ["--visual", "16", "--audio", "16", "--links"]
    assert run_script(tool, *words, *small).returncode == 0
    assert main(["check", "xd-violence", "--data", str(tmp_path / "data")]) == 0
    words = ["train", "xd-violence", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run")]
    assert main([*words, "--optim.epochs", "1", "--model.dim", "16", "--trainer.tracker", "none"]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert 0 < metrics["test frame average precision"] <= 1


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling on a CPU needs a C++ compiler")
def test_compiled_training_gives_the_same_losses(tmp_path):
    make_features(tmp_path / "data", n_each=3)
    common = ["train", "xd-violence", "--data", str(tmp_path / "data"), "--optim.epochs", "2"]
    common += ["--model.dim", "16", "--model.dropout", "0", "--trainer.tracker", "none"]
    common += ["--data.crops", "1", "--data.validation-share", "0"]
    histories = []
    for name, option in (("eager", "--trainer.no-compile"), ("compiled", "--trainer.compile")):
        assert main([*common, "--out", str(tmp_path / name), option]) == 0
        histories.append(json.loads((tmp_path / name / "history.json").read_text()))
    for a, b in zip(*histories, strict=True):
        assert a == pytest.approx(b, abs=1e-4)
