"""Every example of one file runs, is short, and does what it says."""

from __future__ import annotations

import runpy
import shutil
import subprocess
from pathlib import Path

import pytest
from forked import run_script

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(name: str, *args: str) -> subprocess.CompletedProcess:
    done = run_script(ROOT / "examples" / name, *args, env={"RAY_AUTH_MODE": "disabled"})
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return done


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_it_is_short(path):
    assert len(path.read_text().splitlines()) < 80


def test_every_example_is_run_here():
    ours = Path(__file__).read_text()
    assert len(EXAMPLES) == 7
    assert all(f'"{path.name}"' in ours for path in EXAMPLES)


def test_score_a_video(video_model, class_folders, tmp_path):
    clip = next(class_folders.rglob("*.mp4"))
    out = run("score_a_video.py", video_model.folder, clip, tmp_path / "scored").stdout
    assert "the recording as a whole: {" in out
    assert (tmp_path / "scored" / f"{clip.stem}.html").stat().st_size > 10_000


def test_train_on_own_videos(class_folders, tmp_path):
    shutil.copytree(class_folders / "calm", tmp_path / "clips" / "normal")
    shutil.copytree(class_folders / "wild", tmp_path / "clips" / "wild")
    out = run("train_on_own_videos.py", tmp_path / "clips", tmp_path / "run", "2").stdout
    assert "test bag average precision: " in out
    assert (tmp_path / "run" / "metrics.json").exists()


def test_sensors_from_a_dataframe(tmp_path):
    out = run("sensors_from_a_dataframe.py", tmp_path).stdout
    assert "accuracy on a person who was not trained on: 1.00" in out


def test_own_loss():
    lines = run("own_loss.py").stdout.splitlines()
    first, _, last = (float(line.split()[-1]) for line in lines)
    assert last < 0.5 * first


def test_foreign_network():
    main = runpy.run_path(str(ROOT / "examples" / "foreign_network.py"))["main"]
    assert main(60) > 0.2


def test_serve_and_query(video_model, class_folders):
    pytest.importorskip("fastapi")
    clip = next(class_folders.rglob("*.mp4"))
    assert '"events": [' in run("serve_and_query.py", video_model.folder, clip).stdout


def test_on_ray(class_folders, tmp_path):
    pytest.importorskip("ray")
    (tmp_path / "in").mkdir()
    for clip in list(class_folders.rglob("*.mp4"))[:3]:
        (tmp_path / "in" / clip.name).symlink_to(clip)
    run("on_ray.py", tmp_path / "in", tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*__0.npy"))) == 3
