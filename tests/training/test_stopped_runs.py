"""A run that is stopped anywhere goes on, and ends as one that was not."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from forked import Forked, run_pair
from support import SMALL, recipe
from test_runs import command, run, same_weights

import mmcl.io
from mmcl.config import RunConfig, override
from mmcl.datasets import get_dataset
from mmcl.errors import DiskFullError
from mmcl.features.extract_files import extract_files
from mmcl.features.extractor_set import create_extractors
from mmcl.inference.score_each import score_ahead, score_each
from mmcl.training import train

HISTORY = ("history.json", "metrics.json")


def streams(folder: Path, dataset_dir: Path) -> tuple[RunConfig, Path]:
    """Three epochs, of which every update is saved, and best weights are there before the first epoch's state."""
    changes = {"optim.epochs": 3, "trainer.save_every": 2, "optim.gradient_accumulation_steps": 2}
    return recipe("utd-mhad-streams", {**SMALL, **changes}), dataset_dir


def features(folder: Path, dataset_dir: Path) -> tuple[RunConfig, Path]:
    """With a linear path, validation before the first step, and a second training (refit)."""
    rng, rows = np.random.default_rng(0), []
    for i in range(36):
        name, group = ("calm", "wild")[i % 2], i // 6
        np.save(folder / f"{i}.npy", rng.standard_normal((6, 4)) + (i % 2))
        rows.append(
            [name, f"g{group}", ["train", "train", "train", "train", "validation", "test"][group], f"{i}.npy", 1.5]
        )
    data = folder / "own.csv"
    with open(data, "w", newline="") as file:
        csv.writer(file).writerows([["label", "group", "split", "clip:features", "clip_hz"], *rows])
    config = get_dataset("recordings").default_config(data)
    changes = {"optim.epochs": 2, "trainer.tracker": "none", "trainer.min_gain": 0.0, "model.dim": 8}
    return override(config, changes), data


@pytest.mark.parametrize("make", [streams, features])
def test_every_prefix_of_the_writes_can_be_resumed(make, dataset_dir, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    config, data = make(tmp_path / "data", dataset_dir)
    config = override(config, {"trainer.save_every_minutes": 1e-9})
    out, prefixes = tmp_path / "run", []
    replace = os.replace

    def noted(source, place):
        replace(source, place)
        if Path(place).is_relative_to(out):
            prefixes.append((shutil.copytree(out, tmp_path / f"after-{len(prefixes):03}"), Path(place).name))

    monkeypatch.setattr(mmcl.io.os, "replace", noted)
    train(config, data, out)
    monkeypatch.undo()
    assert {name for _, name in prefixes} >= {"config.json", "state.pt", "best.safetensors", "metrics.json"}
    # of many states in the middle of an epoch every third
    kept = [p for i, p in enumerate(prefixes) if p[1] not in ("state.pt", "history.json") or i % 3 == 0]
    assert len(kept) >= 8
    for folder, name in kept:
        train(config, data, folder, resume=True)
        for weights in ("best.safetensors", "last.safetensors"):
            same_weights(folder / weights, out / weights)
        for file in HISTORY:
            ours, theirs = (json.loads((place / file).read_text()) for place in (folder, out))
            for timed in (ours, theirs):
                timed.pop("training seconds", None) if isinstance(timed, dict) else None
            assert ours == theirs, (folder, name, file)
        shutil.rmtree(folder)


LONG = ["--data.n-train-streams", "160", "--optim.epochs", "1", "--trainer.tracker", "none"]


@pytest.fixture(scope="module")
def complete(dataset_dir, tmp_path_factory) -> Path:
    """A run of one epoch of 40 steps."""
    out = tmp_path_factory.mktemp("long") / "run"
    run(dataset_dir, out, *LONG)
    return out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_in_the_middle_of_an_epoch(dataset_dir, complete, tmp_path, number):
    options, out = LONG, tmp_path / "run"
    child = Forked(command(dataset_dir, out, *options))
    deadline = time.monotonic() + 120
    while not (out / "config.json").exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.7)
    child.send_signal(number)
    printed, stderr = child.communicate(timeout=60)
    assert child.returncode == (143 if number == signal.SIGTERM else 130), stderr
    assert "mmcl: stopped; what was done is kept" in stderr
    assert "Traceback" not in stderr
    if (out / "state.pt").exists():  # else it was stopped before its first step
        assert "saved after step" in printed
    run(dataset_dir, out, *options, "--resume")
    same_weights(out / "last.safetensors", complete / "last.safetensors")
    ours, theirs = (json.loads((place / "history.json").read_text()) for place in (out, complete))
    assert ours == theirs


def test_two_processes_save_within_an_epoch(dataset_dir, tmp_path):
    """What the first process saves lets both go on: the state of a killed pair is resumed to the same weights."""
    options = ["--data.n-train-streams", "40", "--optim.epochs", "1", "--trainer.tracker", "none"]
    options += ["--trainer.save-every-minutes", "0.0001"]
    complete, out = tmp_path / "complete", tmp_path / "run"
    assert run_pair(command(dataset_dir, complete, *options)).returncode == 0
    code = (
        "import os, sys; from pathlib import Path; import mmcl.training.trainer as t; save = t.Trainer._save\n"
        "def stop(self):\n    save(self)\n    if self.progress.step >= 7: os._exit(9)\n"
        "t.Trainer._save = stop\nfrom mmcl.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    assert run_pair(command(dataset_dir, out, *options), code).returncode != 0
    assert (out / "state.pt").exists()
    assert not (out / "last.safetensors").exists()
    done = run_pair(command(dataset_dir, out, *options, "--resume"))
    assert done.returncode == 0, done.stderr[-2000:]
    same_weights(out / "last.safetensors", complete / "last.safetensors")


def test_sigterm_ends_many_runs_and_their_processes(dataset_dir, tmp_path):
    words = ["compare", "utd-mhad-streams", "--data", str(dataset_dir), "--out", str(tmp_path / "many")]
    words += ["--objectives", "dcl", "--seeds", "2", "--data.n-train-streams", "400", "--trainer.tracker", "none"]
    child = Forked(words)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "many").rglob("config.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    _, stderr = child.communicate(timeout=60)
    assert child.returncode == 143, stderr
    left = subprocess.run(["pgrep", "-f", str(tmp_path / "many")], capture_output=True, text=True).stdout
    assert left == ""


def test_a_full_disk_stops_a_job_of_many_files_at_once(class_folders, tmp_path, monkeypatch):
    files = sorted(class_folders.rglob("*.mp4"))[:6]
    started = []
    import mmcl.features.extract_files as module

    extract = module.extract_file
    monkeypatch.setattr(module, "extract_file", lambda path, *a, **k: started.append(path) or extract(path, *a, **k))

    def full(path, write, private=False):
        raise DiskFullError(path, "the disk is full", "make room")

    monkeypatch.setattr("mmcl.features.store.atomic_write", full)
    with pytest.raises(DiskFullError, match="the disk is full"):
        extract_files(files, tmp_path / "store", create_extractors("motion", "none"), jobs=1)
    assert len(started) <= 3  # one, and those that were decoded beside it
    monkeypatch.undo()
    extract_files(files, tmp_path / "store", create_extractors("motion", "none"), jobs=1)
    scored = []

    class Writer:
        place = ""

        def prepare(self): ...
        def log(self, text): ...
        def write(self, item):
            scored.append(item)
            raise DiskFullError("x", "the disk is full", "make room")

    with pytest.raises(DiskFullError):
        score_each([1, 2, 3], score_ahead([1, 2, 3], lambda i: i), Writer(), "video", str)
    assert scored == [1]
