"""Reading stores, evaluating, scoring videos, several processes: commands and files."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from benchmarks.losses import LONGEST, N_BAGS, SHORTEST, WIDTHS, grid_of, network_of
from benchmarks.measure import Benchmark, Row, in_turns
from mmcl.config import SCHEMA_VERSION, RunConfig, override, to_dict
from mmcl.data.bags import BagDataset
from mmcl.data.batch_sampler import BatchSampler
from mmcl.data.loader import bag_loader
from mmcl.datasets import get_dataset, load_splits
from mmcl.datasets.sources.recipes import clips_recipe
from mmcl.features.extract_files import ExtractionJob
from mmcl.features.extractor_set import create_extractors
from mmcl.features.store import FolderStore
from mmcl.io import write_json
from mmcl.media.find import find_media
from mmcl.media.snippets import read_snippets
from mmcl.media.writer import write_video
from mmcl.runs.weights import save_weights
from mmcl.training import evaluate


def video_settings() -> RunConfig:
    """Our network on features of videos."""
    data = get_dataset("xd-violence").default_config().data
    return override(clips_recipe(), {"dataset": "xd-violence", "data": data})


def write_store(folder: Path, lengths: dict[str, int], n_crops: int, dtype: type, seed: int) -> None:
    """Features of noise under names that XD-Violence's reader takes."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    noise: dict[str, np.ndarray]
    noise = {m: rng.standard_normal((max(lengths.values()), n)).astype(dtype) for m, n in WIDTHS.items()}
    for name, n in lengths.items():
        for crop in range(n_crops):
            np.save(folder / f"{name}__{crop}.npy", np.roll(noise["visual"][:n], crop, axis=1))
        np.save(folder / f"{name}__vggish.npy", noise["audio"][:n])


def video_names(n: int, split: str) -> list[str]:
    return [f"{split}{i:05d}_label_{'B1-0-0' if i % 2 == 0 else 'A'}" for i in range(n)]


def small_store(folder: Path, n: int, dtype: type, seed: int) -> Path:
    """n training videos of one crop, and two to test on."""
    rng = np.random.default_rng(seed)
    train, test = video_names(n, "v"), video_names(2, "t")
    write_store(folder, {name: int(rng.integers(SHORTEST, LONGEST + 1)) for name in train + test}, 1, dtype, seed)
    for split, names in (("train", train), ("test", test)):
        (folder / f"visual_{split}.list").write_text("".join(f"{name}__0.npy\n" for name in names))
    return folder


def store(b: Benchmark) -> None:
    """Bags a second from the disk's cache to padded batches, by how the loader is set up."""
    n = 1024
    first = None
    for dtype in (np.float32, np.float16):
        with tempfile.TemporaryDirectory(dir=b.work) as folder:
            data = small_store(Path(folder) / "store", n, dtype, b.seed)
            dataset = get_dataset("xd-violence")
            config = override(dataset.default_config(), {"data.validation_share": 0.0, "data.crops": 1})
            train = load_splits(dataset, data, config.data, splits=("train",)).train
            bags = BagDataset(train, grid_of(config), strength=0.0, max_snippets=LONGEST)
            for workers in (0, 1, 2):
                batches = BatchSampler(n, N_BAGS, shuffled=True)
                loading = bag_loader(bags, batches, workers, config.loader.bucket_size)
                rates = []
                for epoch in range(4):
                    batches.epoch = epoch
                    started = time.perf_counter()
                    n_bags = sum(len(batch.mask) for batch in loading)
                    rates.append(n_bags / (time.perf_counter() - started))
                low, median, high = np.percentile(rates[1:], [25, 50, 75])  # the first one starts workers
                first = first or median
                what = f"{np.dtype(dtype).name}, {workers} workers"
                b.report(Row("store", what, median, low, high, "bags/s", float(median / first)))


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


def untrained(run: Path, config: RunConfig, widths: dict[str, int], extractors: dict | None = None) -> Path:
    """A model folder as a training would leave it, its weights random."""
    torch.manual_seed(0)
    save_weights(run / "best.safetensors", network_of(config, widths))
    content = {
        "schema_version": SCHEMA_VERSION,
        "data": "",
        "classes": ["violence"],
        "inputs": {m: {"kind": "features", "shape": [n]} for m, n in widths.items()},
        "extractors": extractors or {},
        "config": to_dict(config),
    }
    write_json(run / "config.json", content)
    return run


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
    """Extraction of many short clips, 640 x 360 H.264 + AAC, against decoding them alone, in turns; two at a time."""
    with tempfile.TemporaryDirectory(dir=b.work) as temporary:
        folder = Path(temporary)
        n, length = 60, 2
        for k in range(n):
            tone = iter([np.zeros(16_000 * length, np.float32)])
            write_video(folder / f"{k}.mp4", moving_pictures(length, b.seed + k), 24, tone)
        files = find_media([folder])
        extractors = create_extractors("descriptors", "log-mel")
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # of each of the two

        def decode() -> None:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda file: sum(1 for _ in read_snippets(file.path, 64)[1]), files))

        def extract() -> None:
            with tempfile.TemporaryDirectory(dir=b.work) as store:
                ExtractionJob(files, FolderStore(Path(store), extractors), jobs=2).run()

        try:
            seconds = in_turns({"decoding alone": decode, "descriptors + log-mel": extract}, b.repeats, b.device)
        finally:
            torch.set_num_threads(threads)
        first = float(np.median(seconds["decoding alone"]))
        for name, spent in seconds.items():
            low, median, high = (n * length / float(q) for q in np.percentile(spent, (75, 50, 25)))
            what = f"{n} clips of {length} s, {name}"
            b.report(Row("clips", what, median, low, high, "x real time", first / float(np.median(spent))))


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


def processes(b: Benchmark) -> None:
    """One process against two that share the batch: the same losses, and how fast."""
    with tempfile.TemporaryDirectory(dir=b.work) as temporary:
        folder = Path(temporary)
        data = small_store(folder / "store", 512, np.float32, b.seed)
        histories = {}
        n_cores = os.cpu_count() or 1
        for n in (1, 2):
            out = folder / f"run{n}"
            command = [
                sys.executable,
                "-m",
                "torch.distributed.run",
                "--nproc_per_node",
                str(n),
                "-m",
                "mmcl",
            ]
            command += ["train", "xd-violence", "--data", str(data), "--out", str(out), "--data.crops", "1"]
            command += ["--data.validation-share", "0", "--model.dropout", "0", "--optim.epochs", "4"]
            threads = {"OMP_NUM_THREADS": str(max(n_cores // n, 1))} if b.device == "cpu" else {}
            subprocess.run(command, check=True, env={**os.environ, **threads}, stdout=subprocess.DEVNULL)
            histories[n] = json.loads((out / "history.json").read_text())
            seconds = json.loads((out / "metrics.json").read_text())["training seconds"]
            rate = 4 * 512 / seconds
            ratio = None if n == 1 else rate / b.rows[-1].median
            b.report(Row("processes", f"{n} of them, 128 bags a step", rate, rate, rate, "bags/s", ratio))
        gap = max(
            abs(one[k] - two[k])
            for one, two in zip(*histories.values(), strict=True)
            for k in one
            if k.startswith("loss")
        )
        b.report(Row("processes", "largest difference of any loss", gap, gap, gap, ""))
