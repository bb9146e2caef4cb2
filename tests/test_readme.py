"""Every command of README and documents, in order, in one folder, as a newcomer would; sizes made small."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import write_square
from forked import run_script
from support import write_csv
from ucf_features import make as make_ucf_crime
from xd_features import make_features

from mmcl.cli.main import main, parse
from mmcl.datasets.sources.synthetic_sensors import make_recordings
from mmcl.datasets.sources.synthetic_videos import make_clips
from mmcl.datasets.sources.xd_violence_features import find_features
from mmcl.models.macil_sd import AUTHORS_NAMES, MacilSdNetwork

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PAGES = {p.relative_to(ROOT / "docs").as_posix(): p.read_text() for p in sorted((ROOT / "docs").rglob("*.md"))}
# what makes the runs that others use comes first
FIRST = ("videos.md", "utd-mhad.md", "sensors.md", "xd-violence.md")
ORDER = [*FIRST, *(name for name in PAGES if name not in FIRST)]
TEXT = "\n".join([README, *(PAGES[name] for name in ORDER)])
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
SMALL = {
    "mmcl train utd-mhad-streams": "--optim.epochs 1 --data.n-train-streams 8 --data.n-test-streams 4 --model.dim 16",
    "mmcl train utd-mhad ": "--optim.epochs 1 --model.dim 16",
    "mmcl train xd-violence": "--optim.epochs 1 --model.dim 16",
    "mmcl pretrain utd": "--optim.epochs 1 --model.dim 16 --loss.recording.memory-size 8",
    "mmcl pretrain recordings": "--optim.epochs 1 --model.dim 16 --loader.batch-size 4",
    "mmcl train recordings": "--optim.epochs 1 --model.dim 16",
    "mmcl compare": "--seeds 1 --optim.epochs 1 --data.n-train-streams 8 --data.n-test-streams 4 --model.dim 16",
    "mmcl finetune": "--epochs 1",
    "mmcl distill": "--epochs 1",
    "tools/fuzz.py": "--seconds 2 --targets tables",
    "tools/torture.py": "--kills 1 --disks 0",
    "tools/live_stream.py": "--hours 0.03 --stalls 1",
    "tools/benchmark.py": "--only contrast --repeats 1",
    "mmcl train events": "--optim.epochs 1 --features.visual motion",
    "mmcl crossval events": "--optim.epochs 1 --features.visual motion",
    "mmcl train ucf-crime": "--optim.epochs 1 --model.dim 16",
    "mmcl demo": "--epochs 1 --clips 6",
    "pipelines/xd_violence.py": "--seeds 0 --epochs 1",
    "pipelines/utd_mhad.py": "--seeds 0 --epochs 1 --stages recognition",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("newcomer")
    make_recordings(place / "UTD-MHAD", n_trials=1)
    rng = np.random.default_rng(0)
    own = place / "my-recordings"
    own.mkdir()
    write_csv(own / "walk_inertial.csv", rng.standard_normal((500, 6)), list("abcdef"), np.arange(500) / 50)
    write_csv(own / "walk_skeleton.csv", rng.standard_normal((300, 60)), [f"j{i}" for i in range(60)])
    lines = ["name,labels,group,split,wrist,wrist_hz,pose:skeleton2d,pose_hz"]
    for i in range(24):
        np.save(place / f"r{i}.npy", rng.standard_normal((200, 3)))
        np.save(place / f"r{i}-pose.npy", rng.standard_normal((50, 7, 2)))
        split = ("train", "train", "test")[i % 3]
        lines.append(f"r{i},{('waving', 'resting')[i // 12]},p{i % 3},{split},r{i}.npy,100,r{i}-pose.npy,25")
    (place / "my-sensors.csv").write_text("\n".join(lines))
    make_clips(place / "my-videos", 2, 10.0)
    for i in range(20):
        clip = place / "my-clips" / ("fight", "normal")[i % 2] / f"camera-{i // 4}" / f"{i}.mp4"
        clip.parent.mkdir(parents=True, exist_ok=True)
        write_square(clip, i % 2 == 0, i, has_sound=i > 3)
    make_ucf_crime(place / "UCF-CRIME", "files")
    for kind in ("pipelines", "tools"):
        shutil.copytree(ROOT / kind, place / kind)
    (place / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "reference.py", place / "tests")
    xd = place / "XD-VIOLENCE"
    make_features(xd, n_each=1, widths=(1024, 128), n_crops=5)
    test = find_features(xd)["test"]
    (xd / "visual_test.list").write_text("".join(f"{v.name}__{c}.npy\n" for v in test for c in range(5)))
    lengths = [len(np.load(v.audio)) for v in test]
    lines = [f"{v.name},{16 * n + 1}" for v, n in zip(test, lengths, strict=True)]
    (xd / "test_frames.csv").write_text("\n".join(["name,frames", *lines]))
    np.save(place / "scores.npy", rng.random(sum(lengths)))
    network = MacilSdNetwork({"visual": 1024, "audio": 128})
    released = {
        f"{a}.{k}": v for a, b in AUTHORS_NAMES.items() for k, v in network.get_submodule(b).state_dict().items()
    }
    torch.save(released, place / "macil_sd.pkl")
    return place


def test_commands_of_the_readme(folder, monkeypatch):
    monkeypatch.chdir(folder)
    ran = []
    for line in COMMANDS:
        if line.startswith("make "):
            done = subprocess.run([*line.split(), "--dry-run"], cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            continue
        if line.startswith(("python3 -m venv", ".venv/bin/pip", ".venv/bin/uv")):
            continue  # test_install_lines
        if line.startswith((".venv/bin/python -m pytest", "python -m pip", "mkdocs")):
            continue  # this is it, or a test of its own
        command = line.removeprefix(".venv/bin/")
        small = " ".join(options for part, options in SMALL.items() if part in command + " ")
        if "tensorboard" in command:
            small = "--inspect"
        words = shlex.split(f"{command} {small}")
        ran.append(words[0])
        if words[0] == "mmcl" and "ray" not in words:  # in this process, which has everything imported
            with warnings.catch_warnings():
                warnings.simplefilter("default")
                assert main(words[1:]) == 0, line
            continue
        if words[0] == "python":
            done = run_script(folder / words[1], *words[2:])
        else:
            words[0] = str(Path(sys.executable).parent / words[0])
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{line}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    assert ran.count("mmcl") >= 24
    for path in (
        "demo/run/report.html",
        "demo-sensors/run/report.html",
        "scores/clip_0000_label_G-0-0.html",
        "scores-mine/clip_0000_label_G-0-0.html",
        "runs/folds/crossval.md",
        "my-clips.csv",
        "runs/ucf/metrics.json",
        "features/clip_0001_label_A__log-mel.npy",
        "runs/xd-table/report.html",
        "runs/report.html",
        "runs/few/table.json",
        "runs/one-sensor/all-labels/seed-0/metrics.json",
        "benchmark.json",
        "runs/table/report.html",
        "scores/walk.csv",
        "scores-sensors/r7.png",
        "results/results.md",
        "runs/xd-code/metrics.json",
        "scores/r7.png",
        "runs/student/table.json",
        "runs/pairs/diagnosis.png",
        "runs/compared/comparison.png",
        "my-model/README.md",
        "runs/streams/model.onnx",
        "runs/streams/scores/a13_s2_t1.png",
    ):
        assert (folder / path).stat().st_size > 0, path
    load, _ = python_blocks(README)  # reads the demo's run
    scope: dict = {}
    exec(load, scope)
    assert scope["model"].classes == ("violence",)
    assert len(scope["scores"]) == 17
    (in_python,) = python_blocks(PAGES["python.md"])
    exec(in_python, scope)
    assert len(scope["scores"]) == 4


def test_commands_that_are_too_long_to_run_are_understood():
    """Those of the results, indented: options exist, values are allowed; so do the scripts and their options."""
    n = 0
    help_of: dict[str, str] = {}
    for line in re.findall(r"^    ((?:mmcl|python) .*)$", TEXT, re.MULTILINE):
        words = shlex.split(line)
        n += 1
        if words[0] == "mmcl":
            parse(words[1:])
            continue
        if words[1] not in help_of:
            shown = run_script(ROOT / words[1], "--help")
            assert shown.returncode == 0, line
            help_of[words[1]] = shown.stdout
        assert not [w for w in words if w.startswith("--") and w not in help_of[words[1]]], line
    assert n >= 8


def test_install_lines():
    """The README's install lines are those that `make` runs."""
    makefile = (ROOT / "Makefile").read_text().replace("--quiet ", "").replace("$(VENV)", ".venv")
    first, second = (line for line in COMMANDS if "pip install" in line)
    assert f"$(BIN)/{first.removeprefix('.venv/bin/')}\n" in makefile
    assert f"$(BIN)/{second.removeprefix('.venv/bin/')}\n" in makefile
    assert (ROOT / "constraints.txt").exists()


def python_blocks(text: str) -> list[str]:
    """Snippets; what is included from a file is tested where it lies."""
    return [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "--8<--" not in code]


def test_the_loss_of_the_readme():
    _, semibags = python_blocks(README)
    scope: dict = {}
    exec(semibags, scope)
    assert scope["loss"].isfinite()
    assert len(scope["terms"]) == 4


def test_code_of_the_documents(capsys):
    """Every snippet of every page but those that need data, which have tests of their own."""
    n_run = 0
    for name, text in PAGES.items():
        for code in python_blocks(text) if name not in ("python.md", "sensors.md") else []:
            exec(code, {"__name__": name})
            n_run += 1
    assert n_run >= 3
    assert "torch.Size([16])" in capsys.readouterr().out


def test_the_store_of_the_documents(tmp_path, monkeypatch, capsys):
    (block,) = python_blocks(PAGES["sensors.md"])
    monkeypatch.chdir(tmp_path)
    exec(block, {})
    assert capsys.readouterr().out == "1 (100, 6)\n"


def test_settings_file_of_the_documents(tmp_path):
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    path = tmp_path / "my-settings.yaml"
    path.write_text(block)
    command = parse(["train", "--config", str(path), "--data", "x", "--out", "y", "--optim.epochs", "7"])
    assert command.config.dataset == "utd-mhad-streams"
    assert command.config.optim.epochs == 7
    assert command.config.loss.snippet.negatives == ("cluster-count", "concentration")


def test_numbers_are_filled_in():
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")):
        assert not re.search(r"DEMO_TIME|TEST_TIME|^RESULTS$|@[A-Z_]+@", path.read_text(), re.M), path
