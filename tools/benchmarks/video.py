"""Video: long files by the commands, and many short ones."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.feature_files import untrained
from benchmarks.measure import Benchmark, Row, in_turns
from mmcl.config import RunConfig, override
from mmcl.datasets import get_dataset
from mmcl.datasets.sources.recipes import clips_recipe
from mmcl.features.extract_files import ExtractionJob
from mmcl.features.extractor_set import ExtractorSet, create_extractors
from mmcl.features.store import FolderStore
from mmcl.media.find import MediaFile, find_media
from mmcl.media.snippets import probe_file, read_snippets
from mmcl.media.writer import write_video


def video_settings() -> RunConfig:
    """Our network on features of videos."""
    data = get_dataset("xd-violence").default_config().data
    return override(clips_recipe(), {"dataset": "xd-violence", "data": data})


def moving_pictures(seconds: int, seed: int) -> Iterator[np.ndarray]:
    """640 x 360, 24 a second: a textured ground that drifts, with grain."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(0, 256, (45, 80, 3)).repeat(8, 0).repeat(8, 1).astype(np.int16)
    grain = rng.integers(-12, 13, (8, 360, 640, 1), dtype=np.int16)
    for k in range(24 * seconds):
        yield (np.roll(ground, 2 * k, 1) + grain[k % 8]).clip(0, 255).astype(np.uint8)


def video(b: Benchmark) -> None:
    """Extraction and scoring of 640 x 360 H.264 + AAC as commands, start of Python included."""
    with tempfile.TemporaryDirectory(dir=b.work) as temporary:
        folder = Path(temporary)
        extractors = create_extractors("descriptors", "log-mel")
        cards = {m: asdict(card) for m, card in extractors.cards.items()}
        widths = {m: card.dim for m, card in extractors.cards.items()}
        run = untrained(folder / "run", video_settings(), widths, cards)
        for length in (120, 600):
            path = folder / f"{length}.mp4"
            tone = (np.sin(np.arange(16_000) * 0.1 * (1 + k % 7)).astype(np.float32) / 2 for k in range(length))
            write_video(path, moving_pictures(length, b.seed), 24, tone)
            for command, rest in (
                (["extract", str(path), "--out", str(folder / f"store{length}")], "extract"),
                (["score", str(run), str(path), "--out", str(folder / "scores"), "--no-page"], "score"),
            ):
                started = time.perf_counter()
                with subprocess.Popen([sys.executable, "-m", "mmcl", *command], stdout=subprocess.DEVNULL) as job:
                    peak = watch(job)
                spent = time.perf_counter() - started
                if job.returncode:
                    sys.exit(f"mmcl {' '.join(command)} failed")
                speed = length / spent
                what = f"{rest}, {length} s of video, descriptors + log-mel"
                b.report(Row("video", what, speed, speed, speed, "x real time", None, peak))


def short_clips(b: Benchmark) -> None:
    """Extraction of many short clips against decoding them alone, in turns; two at a time."""
    with tempfile.TemporaryDirectory(dir=b.work) as temporary:
        folder, length = Path(temporary), 2
        if b.clips is None:
            for k in range(60):
                tone = iter([np.zeros(16_000 * length, np.float32)])
                write_video(folder / f"{k}.mp4", moving_pictures(length, b.seed + k), 24, tone)
        files = find_media([folder if b.clips is None else b.clips])
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # of each of the two

        def in_two(do: Callable[[Any], object], items: Sequence[Any]) -> None:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(do, items))

        def decode(files: Sequence[MediaFile], side: int) -> None:
            in_two(lambda file: sum(1 for _ in read_snippets(file.path, side)[1]), files)

        def extract(files: Sequence[MediaFile], extractors: ExtractorSet) -> None:
            with tempfile.TemporaryDirectory(dir=b.work) as store:
                job = ExtractionJob(files, FolderStore(Path(store), extractors), jobs=2)
                job.run(tells_missing=False)
                assert not job.failures, job.failures

        light, deep = create_extractors("descriptors", "log-mel"), create_extractors("efficientnet-lite0", "none")
        network = deep.parts["visual"][0]
        side = int(network.short_side)  # type: ignore[arg-type]
        sample = files[:: max(len(files) // 20, 1)]  # the network takes a minute for all
        frames = [np.stack([s.frames for s in read_snippets(f.path, side)[1] if s.frames is not None]) for f in sample]

        @torch.inference_mode()  # holds in its own thread only
        def compute_one(x: np.ndarray) -> None:
            network(torch.from_numpy(x))

        def compute() -> None:
            """The network alone."""
            in_two(compute_one, frames)

        variants = {
            "decoding alone": (files, lambda: decode(files, 64)),
            "descriptors + log-mel": (files, lambda: extract(files, light)),
            f"decoding alone, {side} pixels": (sample, lambda: decode(sample, side)),
            "efficientnet-lite0": (sample, lambda: extract(sample, deep)),
            "efficientnet-lite0, the network alone": (sample, compute),
        }
        try:
            seconds = in_turns({name: run for name, (_, run) in variants.items()}, min(b.repeats, 3), b.device)
        finally:
            torch.set_num_threads(threads)
        first = 0.0
        for name, (of, _) in variants.items():
            total_s = sum(probe_file(file.path).duration_s or 0.0 for file in of)
            low, median, high = total_s / np.percentile(seconds[name], (75, 50, 25))
            first = first or median
            what = f"{len(of)} clips of {total_s / len(of):.1f} s, {name}"
            b.report(Row("clips", what, median, low, high, "x real time", median / first))


def watch(job: subprocess.Popen) -> float:
    """The largest sum of resident memory of a process and its children until it ends [MB]."""
    peak = 0.0
    while job.poll() is None:
        total, family = 0.0, [job.pid]
        while family:
            pid = family.pop()
            try:
                status = Path(f"/proc/{pid}/status").read_text().splitlines()
                total += next(float(x.split()[1]) for x in status if x.startswith("VmRSS")) / 1e3
                family += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            except (OSError, StopIteration):  # it has ended
                continue
        peak = max(peak, total)
        time.sleep(0.1)
    return peak
