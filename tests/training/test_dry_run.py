"""What a training would do, said beforehand; nothing is written."""

from __future__ import annotations

import re

from mmcl.cli.main import main
from mmcl.features.weights import cache_folder


def everything(folder):
    return sorted((p, p.stat().st_mtime_ns) for p in folder.rglob("*"))


def test_of_own_videos(class_folders, tmp_path, capsys):
    words = ["train", "events", "--data", str(class_folders), "--out", str(tmp_path / "run"), "--data.normal", "calm"]
    words += ["--features.visual", "descriptors", "--features.cache", str(tmp_path / "cache"), "--model.dim", "8"]
    before = everything(class_folders), everything(cache_folder())
    assert main([*words, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert (everything(class_folders), everything(cache_folder())) == before
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "cache").exists()
    counts = [int(n) for n in re.findall(r"(?:train|validation|test): (\d+) recordings", out)]
    assert sum(counts) == 24
    assert "0 of 24 files are in" in out
    assert re.search(r"extract 24 files, .* of video: about .* at \d+\.\dx real time", out)
    assert re.search(r"network: [\d,]+ parameters .* a batch of \d+ bags", out)
    assert re.search(r"train: \d+ epochs, \d+ steps, about ", out)
    small = ["--optim.epochs", "1", "--trainer.tracker", "none", "--loader.batch-size", "4"]
    assert main([*words, *small]) == 0
    capsys.readouterr()
    assert main([*words, "--dry-run"]) == 0
    assert "24 of 24 files are in" in capsys.readouterr().out


def test_of_sensors_and_what_is_refused(dataset_dir, tmp_path, capsys):
    words = ["train", "utd-mhad-streams", "--data", str(dataset_dir), "--out", str(tmp_path / "run"), "--dry-run"]
    assert main([*words, "--data.targets", "13", "--data.actions-per-stream", "4", "6"]) == 0
    out = capsys.readouterr().out
    assert "inertial" in out
    assert "is made): settings, weights" in out
    assert main([*words, "--model.dim", "0"]) == 1
    assert "--model.dim" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
