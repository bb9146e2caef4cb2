"""The demos: recordings made here, learned from one bit each, judged moment by moment."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Literal

from mmcl.config import Config, VideoOptions
from mmcl.data.synthetic import make_recordings
from mmcl.data.synthetic_video import make_clips
from mmcl.errors import FileError, InputError
from mmcl.features.extract import extract
from mmcl.features.frontends import make_front_ends
from mmcl.frame_evaluation import ANNOTATIONS
from mmcl.infer import Output
from mmcl.presets import changed, clips, utd_mhad_streams
from mmcl.report import write_report
from mmcl.score_videos import score_videos
from mmcl.training.check import check
from mmcl.training.run import train

MARK = "made-by-mmcl-demo"
CLIP_S, N_SCORED = 12.0, 3
FIGURE = "snippet average precision"


def run_demo(
    out: Path,
    kind: Literal["videos", "sensors"] = "videos",
    epochs: int | None = None,
    seed: int = 0,
    n_clips: int = 96,
) -> dict[str, float]:
    """Make recordings, train, evaluate, report; prints the figure of merit and the report's path."""
    started = time.perf_counter()
    if n_clips < 2:
        raise InputError(f"--clips: expected 2 or more, got {n_clips}")
    config = _of_videos(seed) if kind == "videos" else _of_sensors(seed)
    config = changed(config, optim={"epochs": epochs or config.optim.epochs})
    check(config)
    _prepare(out)
    run = out / "run"
    figures = (
        _videos(config, out, run, seed, n_clips) if kind == "videos" else _sensors(config, out, run, seed)
    )
    report = write_report(run)
    what = (
        "clips never seen, learned from one bit a clip"
        if kind == "videos"
        else "streams of people never seen, learned from one bit a stream"
    )
    print(f"\nEvents found in {what} ({time.perf_counter() - started:.0f} s):")
    chance = (
        ""
        if "share of event snippets" not in figures
        else f"   (chance {figures['share of event snippets']:.3f})"
    )
    print(f"  {FIGURE:45} {figures[FIGURE]:.3f}{chance}")
    for key in (k for k in figures if k.startswith(f"{FIGURE},")):
        print(f"  {key:45} {figures[key]:.3f}")
    if kind == "videos":
        print(f"open a scored clip: {min((out / 'scores').glob('*.html')).resolve()}")
    print(f"open the report: {report.resolve()}")
    return figures


def _prepare(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).exists():
        raise FileError(out, "is not empty and not of an earlier demo", "choose another --out")
    try:
        if out.exists():
            shutil.rmtree(out)
        out.mkdir(parents=True, exist_ok=True)
        (out / MARK).touch()
    except OSError as error:
        raise FileError(out, f"cannot be written ({error.strerror})", "choose another --out") from error


def _of_videos(seed: int) -> Config:
    return changed(clips(), bags={"validation_share": 0.0}, optim={"seed": seed})


def _videos(config: Config, out: Path, run: Path, seed: int, n_clips: int) -> dict[str, float]:
    n_test = max(n_clips // 3, 2)
    print(f"making {n_clips + n_test} clips of {CLIP_S:.0f} s with picture and sound", flush=True)
    for number, (part, n) in enumerate((("train", n_clips), ("test", n_test))):
        make_clips(out / "clips" / part, n, CLIP_S, 2 * seed + number, part)
    print("extracting features (descriptors, log-mel: no weights needed)", flush=True)
    features = out / "features"
    for part in ("train", "test"):
        extract([out / "clips" / part], features / part, make_front_ends())
    shutil.copy(out / "clips" / "test" / ANNOTATIONS, features / ANNOTATIONS)
    print(
        "training; each clip has one bit as its label: something both flashes and booms, or not", flush=True
    )
    figures = train(config, features, run)
    some = sorted((out / "clips" / "test").glob("*.mp4"))[:N_SCORED]
    print(f"scoring {len(some)} held-out clips", flush=True)
    score_videos(run, some, Output(out / "scores"), VideoOptions())
    return figures


def _of_sensors(seed: int) -> Config:
    return changed(
        utd_mhad_streams(),
        bags={
            "n_train_streams": 120,
            "n_test_streams": 60,
            "stream_seed": seed,
            "targets": (13, 18),
            "actions_per_stream": (6, 10),
        },
        optim={"epochs": 8, "seed": seed, "batch_size": 4},
    )


def _sensors(config: Config, out: Path, run: Path, seed: int) -> dict[str, float]:
    print("making 320 recordings of 8 made-up people: 10 actions, skeleton + inertial", flush=True)
    make_recordings(out / "recordings", seed)
    print(
        "training on streams of people 1, 3, 5 (selected on 7); each has one bit as its label: boxing or pushing, or not",
        flush=True,
    )
    return train(config, out / "recordings", run)
