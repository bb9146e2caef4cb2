"""Evaluating: one process, and shared out over two."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.feature_files import untrained, video_names, write_store
from benchmarks.losses import WIDTHS
from benchmarks.measure import Benchmark, Row
from mmcl.datasets import get_dataset
from mmcl.training import evaluate


def evaluation(b: Benchmark) -> None:
    """`mmcl evaluate` of MACIL-SD's network on 800 videos x 5 crops: files to frame metrics."""
    with tempfile.TemporaryDirectory(dir=b.work) as temporary:
        folder = Path(temporary)
        data, names = folder / "data", video_names(800, "t")
        rng = np.random.default_rng(b.seed)
        drawn = np.exp(rng.normal(math.log(128), 0.75, len(names))).clip(5, 2074).astype(int)
        lengths = dict(zip(names, drawn.tolist(), strict=True))
        if b.lists is not None:
            from mmcl.datasets.sources.xd_violence_files import n_snippets, read_frame_counts, read_list

            names = read_list(b.lists / "visual_test.list")
            frames = read_frame_counts(b.lists / "test_frames.csv")
            lengths = {name: n_snippets(frames[name]) for name in names}
        train = video_names(2, "v")
        write_store(data, lengths | dict.fromkeys(train, 20), 5, np.float32, b.seed)
        for split, videos in (("train", train), ("test", names)):
            (data / f"visual_{split}.list").write_text("".join(f"{n}__{c}.npy\n" for n in videos for c in range(5)))
        if b.lists is not None:
            (data / "annotations.txt").write_bytes((b.lists / "annotations.txt").read_bytes())
        else:
            lines = [f"{n} 0 {16 * t // 4}\n" for n, t in lengths.items() if "_label_A" not in n]
            (data / "annotations.txt").write_text("".join(lines))
        run = untrained(folder / "run", get_dataset("xd-violence").default_config(), WIDTHS)
        seconds = []
        for _ in range(min(b.repeats, 3)):
            started = time.perf_counter()
            evaluate(run, data, device=b.device)
            seconds.append(time.perf_counter() - started)
        low, median, high = np.percentile(seconds, [25, 50, 75])
        what = f"{len(names)} videos x 5 crops, {sum(lengths.values())} snippets"
        b.report(Row("evaluation", what, median, low, high, "s"))
        if b.device == "cpu":
            evaluation_of_processes(b, run, data)


def evaluation_of_processes(b: Benchmark, run: Path, data: Path) -> None:
    """The same shared out over two processes of a thread each, against one."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(3):
        for n, times in seconds.items():
            words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(n)]
            done = subprocess.run(
                [*words, "-m", "benchmarks.timed_evaluation", str(run), str(data)],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
                cwd=Path(__file__).parents[1],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            (line,) = (x for x in done.stdout.splitlines() if x.startswith("seconds "))
            times.append(float(line.split()[1]))
    one = float(np.median(seconds[1]))
    for n, times in seconds.items():
        low, median, high = np.percentile(times, [25, 50, 75])
        b.report(Row("evaluation", f"on {n} processes of a thread each", median, low, high, "s", one / median))
