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
from mmcl.features.extractor_set import create_extractors
from mmcl.media.writer import write_video


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
