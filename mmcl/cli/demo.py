"""The demos: recordings that are made here, learned from one label each, scored moment by moment."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from mmcl.api.model import load
from mmcl.config.files import override
from mmcl.config.schema import RunConfig
from mmcl.config.validation import check_ranges
from mmcl.datasets import get_dataset
from mmcl.datasets.sources.recipes import clips_recipe
from mmcl.datasets.sources.synthetic_sensors import make_recordings
from mmcl.datasets.sources.synthetic_videos import make_clips
from mmcl.datasets.sources.xd_violence_scores import ANNOTATIONS
from mmcl.datasets.xd_violence import XdViolenceConfig
from mmcl.errors import FileError, InputError
from mmcl.features.extract_files import extract_files
from mmcl.features.extractor_set import create_extractors
from mmcl.inference.score_each import score_ahead, score_each
from mmcl.media.find import find_media
from mmcl.reporting.run_report import write_report
from mmcl.reporting.score_files import ScoreFiles
from mmcl.runs.model import resolve_device
from mmcl.training import train

Metrics = dict[str, float]

MARK = "made-by-mmcl-demo"
CLIP_S, N_SCORED = 12.0, 3
METRIC = "snippet average precision"
LEARNED_FROM = {
    "videos": "clips never seen, learned from one label a clip",
    "sensors": "streams of people never seen, learned from one label a stream",
}


def run_demo(
    out: Path,
    kind: Literal["videos", "sensors"] = "videos",
    epochs: int | None = None,
    seed: int = 0,
    n_clips: int = 96,
    device: str = "auto",
) -> dict[str, float]:
    """Make recordings, train, evaluate, report; prints the metric and the report's path.

    Args:
        out: For recordings, run and report; made anew.
        kind: What to make and learn.
        epochs: As many as it takes by default.
        seed: Of the recordings and the training.
        n_clips: Training clips to make (videos).
        device: Where to compute.

    Returns:
        Test metrics by name.

    Raises:
        InputError: An option is out of range, or the folder is not an earlier demo's.
    """
    started = time.perf_counter()
    if n_clips < 2:
        raise InputError(f"--clips: expected 2 or more, got {n_clips}")
    config = video_config(seed) if kind == "videos" else sensor_config(seed)
    config = override(config, {"optim.epochs": config.optim.epochs if epochs is None else epochs})
    check_ranges(config)
    resolve_device(device)
    _prepare(out)
    run = out / "run"
    learn = partial(train, config, out=run, device=device)
    if kind == "videos":
        metrics = _learn_videos(learn, out, run, seed, n_clips, device)
    else:
        metrics = _learn_sensors(learn, out, seed)
    report = write_report(run, device=device)
    spent = time.perf_counter() - started
    print(f"\nEvents found in {LEARNED_FROM[kind]} ({spent:.0f} s):")
    share = metrics.get("share of event snippets")
    chance = "" if share is None else f"   (chance {share:.3f})"
    print(f"  {METRIC:45} {metrics[METRIC]:.3f}{chance}")
    for name in (k for k in metrics if k.startswith(f"{METRIC},")):
        print(f"  {name:45} {metrics[name]:.3f}")
    if kind == "videos":
        print(f"open the scored clips: {(out / 'scores' / 'index.html').resolve()}")
    print(f"open the report: {report.resolve()}")
    return metrics


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


def video_config(seed: int) -> RunConfig:
    """Settings of the videos' demo.

    Example:
        >>> video_config(1).seed
        1
    """
    data = XdViolenceConfig(validation_share=0.0)
    return override(clips_recipe(), {"dataset": "xd-violence", "data": data, "seed": seed})


def _learn_videos(learn: Callable[..., Metrics], out: Path, run: Path, seed: int, n_clips: int, device: str) -> Metrics:
    n_test = max(n_clips // 3, 2)
    print(f"making {n_clips + n_test} clips of {CLIP_S:.0f} s with picture and sound", flush=True)
    for number, (split, n) in enumerate((("train", n_clips), ("test", n_test))):
        make_clips(out / "clips" / split, n, CLIP_S, 2 * seed + number, split)
    print("extracting features (descriptors, log-mel: no weights needed)", flush=True)
    features = out / "features"
    for split in ("train", "test"):
        extract_files([out / "clips" / split], features / split, create_extractors())
    shutil.copy(out / "clips" / "test" / ANNOTATIONS, features / ANNOTATIONS)
    print("training; a clip's label: something both flashes and booms, or not", flush=True)
    metrics = learn(data=features)
    files = find_media([out / "clips" / "test"])[:N_SCORED]
    print(f"scoring {len(files)} held-out clips", flush=True)
    score = load(run, device).video_scorer.score
    score_each(files, score_ahead(files, score), ScoreFiles(out / "scores"), "video", lambda file: str(file.path))
    return metrics


def sensor_config(seed: int) -> RunConfig:
    """Settings of the sensors' demo.

    Example:
        >>> sensor_config(1).data.stream_seed
        1
    """
    return override(
        get_dataset("utd-mhad-streams").default_config(),
        {
            "data.n_train_streams": 120,
            "data.n_test_streams": 60,
            "data.stream_seed": seed,
            "data.targets": (13, 18),
            "data.actions_per_stream": (6, 10),
            "optim.epochs": 8,
            "loader.batch_size": 4,
            "seed": seed,
        },
    )


def _learn_sensors(learn: Callable[..., Metrics], out: Path, seed: int) -> Metrics:
    print("making 320 recordings of 8 made-up people: 10 actions, skeleton + inertial", flush=True)
    make_recordings(out / "recordings", seed)
    print(
        "training on streams of people 1, 3, 5 (selected on 7); a stream's label: boxing or pushing, or not",
        flush=True,
    )
    return learn(data=out / "recordings")
