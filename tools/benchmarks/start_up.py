"""How long a user waits for the first answer."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.feature_files import untrained
from benchmarks.measure import Benchmark, Row
from benchmarks.video import moving_pictures, video_settings
from mmcl.config import override
from mmcl.datasets import get_dataset
from mmcl.datasets.sources.synthetic_sensors import make_recordings
from mmcl.experiments import run_processes
from mmcl.experiments.many_runs import train_missing
from mmcl.features.extractor_set import create_extractors
from mmcl.media.writer import write_video

N_RUNS = 8


def start_up(b: Benchmark) -> None:
    """Commands from the begin of Python to their end."""
    with tempfile.TemporaryDirectory(dir=b.work) as temporary:
        folder = Path(temporary)
        write_video(folder / "clip.mp4", moving_pictures(2, b.seed), 24, iter([np.zeros(32_000, np.float32)]))
        extractors = create_extractors("descriptors", "log-mel")
        cards = {m: asdict(card) for m, card in extractors.cards.items()}
        run = untrained(folder / "run", video_settings(), {m: c.dim for m, c in extractors.cards.items()}, cards)
        score = ["score", str(run), str(folder / "clip.mp4"), "--out", str(folder / "scores")]
        for what, words in (
            ("python -c pass", ["-c", "pass"]),
            ("import mmcl", ["-c", "import mmcl"]),
            ("mmcl --help", ["-m", "mmcl", "--help"]),
            ("mmcl score of a clip of 2 s", ["-m", "mmcl", *score]),
        ):
            seconds = []
            for _ in range(b.repeats + 1):
                started = time.perf_counter()
                subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
                seconds.append(time.perf_counter() - started)
            low, median, high = np.percentile(seconds[1:], [25, 50, 75])
            b.report(Row("start-up", what, median, low, high, "s"))
        many_runs(b, folder)


def many_runs(b: Benchmark, folder: Path) -> None:
    """Runs of a few steps, two at a time, as compare and crossval train them: forked, and each in a new interpreter."""
    make_recordings(folder / "data", n_trials=1, actions=(1, 3, 13, 18))
    small = {"data.n_train_streams": 8, "data.n_test_streams": 4, "model.dim": 16, "optim.epochs": 1}
    config = override(get_dataset("utd-mhad-streams").default_config(), {**small, "data.targets": (13, 18)})
    can_fork = run_processes.CAN_FORK
    for what, forks in (("forked", can_fork), ("new interpreters", False)):
        run_processes.CAN_FORK = forks
        runs = {f"{what}/{seed}": override(config, {"seed": seed}) for seed in range(N_RUNS)}
        started = time.perf_counter()
        train_missing(runs, folder / "data", folder, 2, "", "", "cpu")
        seconds = time.perf_counter() - started
        b.report(Row("start-up", f"{N_RUNS} runs of a few steps, {what}", seconds, seconds, seconds, "s"))
    run_processes.CAN_FORK = can_fork
