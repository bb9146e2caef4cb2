"""Another package adds a data set, a component, an extractor, an encoder and a kind of sensor, one file each.

Nothing of mmcl is edited; everything is used from the command line. MMAct's file is removed from a copy of mmcl and put
back as such a package.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from clips import write_clip
from datasets.test_mmact import make_mmact
from forked import run as run_forked

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "extension"
SMALL = ["--model.dim", "16", "--trainer.tracker", "none", "--optim.epochs", "1", "--loader.batch-size", "8"]


def install(folder: Path, name: str, groups: dict[str, dict[str, str]]) -> None:
    """What pip writes beside a package, so that its entry points are found."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in groups.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder with the example package as if it was installed there."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(EXAMPLE / "mmcl_toy", folder / "mmcl_toy")
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    install(folder, project["name"], project["entry-points"])
    return folder


def mmcl(*paths: Path, words: list[str], fresh: bool = False) -> subprocess.CompletedProcess:
    """In a fresh interpreter, or one that has imported mmcl and PyTorch, but nothing from the paths."""
    path = {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    if not fresh:
        return run_forked(words, env=path, cwd=paths[0])
    command = [sys.executable, "-m", "mmcl", *words]
    env = {**os.environ, **path}
    return subprocess.run(command, env=env, cwd=paths[0], capture_output=True, text=True, timeout=300)


def succeeds(*paths: Path, words: list[str], fresh: bool = False) -> str:
    done = mmcl(*paths, words=words, fresh=fresh)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_a_data_set(site, tmp_path):
    assert "mmcl train toy-tones" in succeeds(site, words=["train"], fresh=True)
    assert "--data.n-recordings" in succeeds(site, words=["train", "toy-tones", "--help"])
    out = tmp_path / "run"
    words = ["train", "toy-tones", "--data", ".", "--out", str(out), *SMALL, "--data.n-recordings", "12"]
    assert "accuracy" in succeeds(site, words=words)
    assert json.loads((out / "config.json").read_text())["config"]["data"]["n_recordings"] == 12
    assert "accuracy" in succeeds(site, words=["evaluate", str(out)])
    by_path = ["train", "mmcl_toy.tones:Tones", "--data", ".", "--out", str(tmp_path / "b"), *SMALL]
    assert "accuracy" in succeeds(site, words=by_path)


def test_a_component_that_needs_the_teacher(site, tmp_path):
    words = ["pretrain", "toy-tones", "--data", ".", *SMALL, "--loss.recording.negatives", "toy-agreement(power=2)"]
    succeeds(site, words=[*words, "--out", str(tmp_path / "run")])
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert saved["config"]["loss"]["recording"]["negatives"] == ["toy-agreement(power=2)"]
    refused = mmcl(site, words=[*words, "--out", str(tmp_path / "none"), "--teacher.ema-decay", "0"])
    assert refused.returncode == 1
    assert "toy-agreement: needs the EMA model; use --teacher.ema-decay above 0" in refused.stderr
    unknown = mmcl(ROOT, words=[*words, "--out", str(tmp_path / "none")])  # without the package
    assert unknown.returncode == 1


def test_an_extractor(site, tmp_path):
    write_clip(tmp_path / "a_label_A.mp4", 72)
    words = ["extract", str(tmp_path / "a_label_A.mp4"), "--out", str(tmp_path / "store"), "--visual", "none"]
    succeeds(site, words=[*words, "--audio", "toy-loudness"])
    assert np.load(tmp_path / "store" / "a_label_A__toy-loudness.npy").shape == (4, 16)
    card = json.loads((tmp_path / "store" / "store.json").read_text())["extractors"]["audio"]
    assert (card["name"], card["dim"]) == ("toy-loudness", 16)


def test_an_encoder_and_a_kind_of_sensor(site, tmp_path):
    rng = np.random.default_rng(0)
    lines = ["labels,split,shoe:toy-pressure,shoe_hz,wrist,wrist_hz"]
    for i in range(18):
        np.save(tmp_path / f"{i}.npy", 50 + 10 * rng.random((40, 8)))
        np.save(tmp_path / f"{i}-wrist.npy", rng.standard_normal((200, 3)))
        lines.append(f"{'ab'[i % 2]},{('train', 'train', 'test')[i // 2 % 3]},{i}.npy,10,{i}-wrist.npy,50")
    (tmp_path / "m.csv").write_text("\n".join(lines))
    out = tmp_path / "run"
    words = ["train", "recordings", "--data", str(tmp_path / "m.csv"), "--out", str(out), *SMALL]
    succeeds(site, words=[*words, "--model.encoders", "inertial=toy-mean"])
    saved = json.loads((out / "config.json").read_text())
    assert saved["inputs"]["shoe"] == {"kind": "toy-pressure", "shape": [8], "channels": []}
    assert "of 18 scored" in succeeds(site, words=["score", str(out), str(tmp_path / "m.csv")])
    refused = mmcl(site, words=[*words[:-8], "--out", str(tmp_path / "x"), "--model.encoders", "shoe=skeleton"])
    assert refused.returncode == 1
    assert "encoder skeleton: takes skeleton" in refused.stderr


def test_mmact_as_a_package_of_its_own(tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "mmcl", copy / "mmcl", ignore=shutil.ignore_patterns("__pycache__"))
    package = tmp_path / "site" / "mmcl_mmact"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (copy / "mmcl" / "datasets" / "mmact.py").rename(package / "mmact.py")
    data = make_mmact(tmp_path / "data", sessions=1)
    words = ["train", "mmact", "--data", str(data), "--out", str(tmp_path / "run"), *SMALL]
    assert "mmact" not in succeeds(copy, words=["train"], fresh=True)
    assert "expected one of events, fights" in mmcl(copy, words=words, fresh=True).stderr
    install(tmp_path / "site", "mmcl-mmact", {"mmcl.datasets": {"mmact": "mmcl_mmact.mmact:Mmact"}})
    assert "macro F1" in succeeds(copy, tmp_path / "site", words=words, fresh=True)
