"""What mmcl costs, as ratios in one run: `python tools/benchmark.py --out benchmark.json`.

Variants of one thing are timed in turns, so that whatever else the machine does hits all of them; each
figure is the median of the repeats, with the quartiles beside it. MACIL-SD's setting throughout: 128 bags
of up to 200 snippets, 1024 + 128 channels, lengths drawn from 20 to 200, two-stream network and
teacher, all losses. The loop version that ours is held against is tests/reference.py's, written as the
papers describe their code; it computes the same losses (checked here first, and by a test).

About 15 minutes on 2 cores, of which the compiler takes some; `--only step contrast` is a part of it.
"""

from __future__ import annotations

import copy
import ctypes
import gc
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import nn

from mmcl.config import Config, to_dict
from mmcl.data.bags import BagDataset, Batches, loader
from mmcl.data.media_writer import write_video
from mmcl.features.frontends import make_front_ends
from mmcl.losses import contrast
from mmcl.losses.semibag_contrast import semi_bag_contrast
from mmcl.losses.semibags import semi_bags
from mmcl.models.build import clock_of, network
from mmcl.models.pooling import topk_pool
from mmcl.packing import packing_of
from mmcl.presets import changed, clips, xd_violence
from mmcl.storage import write_json
from mmcl.tasks import TASKS
from mmcl.training import checkpoint
from mmcl.training.evaluation import evaluate
from mmcl.training.step import Learner
from mmcl.types import Bags

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
import reference  # type: ignore[import-not-found]  # noqa: E402

WIDTHS = {"visual": 1024, "audio": 128}
N_BAGS, LONGEST, SHORTEST = 128, 200, 20


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    section: str
    what: str
    median: float
    low: float
    high: float
    unit: str
    ratio: float | None = None  # how many times as fast as the section's first line
    peak_mb: float | None = None  # memory over what was there before


@dataclass(frozen=True)
class Benchmark:
    """Measure, print a table, write JSON."""

    out: Path = Path("benchmark.json")
    """JSON file to write."""
    only: tuple[str, ...] = ()
    """Sections to measure, all if left out: step, forward, contrast, growth, store, evaluation, video,
    processes."""
    repeats: int = 7
    """Timed repeats of each variant."""
    device: str = "cuda" if torch.cuda.is_available() else "cpu"
    """Where to compute."""
    compiled: bool = True
    """Time the compiled step as well (on a CPU it needs a C++ compiler)."""
    lists: Path | None = None
    """XD-Violence's lists, frame counts and annotations: evaluate at its true lengths and not at drawn ones."""
    work: Path | None = None
    """Folder for what is made to be measured on (some 3 GB); a temporary one if left out."""
    seed: int = 0
    """Seed of all that is made."""

    rows: tyro.conf.Suppress[list[Row]] = field(default_factory=list)

    def tell(self, row: Row) -> None:
        self.rows.append(row)
        ratio = "" if row.ratio is None else f"{row.ratio:7.2f}x"
        memory = "" if row.peak_mb is None else f"{row.peak_mb:8.0f} MB"
        figure = f"{row.median:10.4g} ({row.low:.4g} to {row.high:.4g}) {row.unit}"
        print(f"{row.section:10} {row.what:44} {figure:40} {ratio:9} {memory}", flush=True)


# --- how things are measured


def in_turns(variants: dict[str, Callable[[], object]], repeats: int, device: str) -> dict[str, list[float]]:
    """Seconds of each variant, round after round."""
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    for run in variants.values():
        run()
        run()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(repeats):
        for name, run in variants.items():
            wait()
            started = time.perf_counter()
            run()
            wait()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def peak_memory(run: Callable[[], object], device: str) -> float:
    """MB that a run needs over what is there before it."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        there = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - there) / 1e6
    if sys.platform != "linux":
        return math.nan
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _status("VmRSS")
    run()
    return (_status("VmHWM") - before) / 1e3


def _status(name: str) -> float:
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(name))
    return float(line.split()[1])


def compare(
    b: Benchmark, section: str, variants: dict[str, Callable[[], object]], memory: bool = True
) -> None:
    """One row a variant; ratios to the first one are medians of the rounds' ratios."""
    seconds = in_turns(variants, b.repeats, b.device)
    first = next(iter(seconds.values()))
    for name, values in seconds.items():
        low, median, high = np.percentile(values, [25, 50, 75]) * 1e3
        ratio = float(np.median([a / x for a, x in zip(first, values, strict=True)]))
        peak = peak_memory(variants[name], b.device) if memory else None
        b.tell(Row(section, name, median, low, high, "ms", ratio, peak))


def slope(sizes: list[int], seconds: list[float]) -> float:
    """Exponent of the growth: 1 = in proportion, 2 = with the square."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


# --- what is measured


def settings(dropout: float = 0.1, per_group: int = 8) -> Config:
    return changed(
        xd_violence(),
        bags={"per_group": per_group},
        model={"dropout": dropout},
        objective={"bag_weight": "picks"},  # as the authors' code
    )


def make_bags(seed: int, n_bags: int = N_BAGS, longest: int = LONGEST, per_group: int = 8) -> Bags:
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(min(SHORTEST, longest // 10), longest + 1, (n_bags,), generator=g)
    mask = torch.arange(longest) < lengths[:, None]
    x = {m: torch.randn(n_bags, longest, n, generator=g) * mask[..., None] for m, n in WIDTHS.items()}
    label = (torch.arange(n_bags) % 2).float()[:, None]
    packing = packing_of(lengths.tolist(), per_group, longest)
    return Bags(x, mask, label, torch.arange(n_bags), {}, packing)


def make_learner(config: Config, bags: Bags) -> Learner:
    """Student and teacher; half of the bags are predicted violent, so that every term has its rows."""
    torch.manual_seed(0)
    student = network(config, clock_of(config), 1, n_channels=WIDTHS)
    teacher = network(config, clock_of(config), 1, ("visual",), WIDTHS)
    bias = student.get_parameter("classifier.bias")
    with torch.no_grad():
        bias.sub_(topk_pool(student(bags).joint_logit, bags.mask).median() / 2)
    return Learner(student, teacher, config.objective)


def make_loop(learner: Learner, dropout: float, device: str) -> tuple[nn.Module, nn.Module]:
    student = reference.LoopMacilSd(WIDTHS, dropout=dropout).take_weights(learner.student)
    teacher = reference.LoopMacilSd({"visual": WIDTHS["visual"]}, dropout=dropout)
    return student.to(device), teacher.take_weights(learner.teacher).to(device)


def our_step(
    learner: Learner, bags: Bags, device: str, half: bool = False, compiled: bool = False
) -> Callable[[], object]:
    learner, bags = copy.deepcopy(learner).to(device), bags.to(device)
    if compiled:
        for part in learner.children():
            part.compile(dynamic=True)
    optimizer = torch.optim.AdamW(learner.parameters(), 1e-4, fused=True)

    def step() -> None:
        with torch.autocast(device.split(":")[0], torch.bfloat16) if half else nullcontext():
            losses = learner(replace(bags), 1.0, 0.0)  # as new: nothing is packed yet
        losses["total"].backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def loop_step(learner: Learner, bags: Bags, device: str) -> Callable[[], object]:
    student, teacher = make_loop(learner, 0.1, device)
    bags = bags.to(device)
    optimizers = [torch.optim.Adam(student.parameters(), 1e-4), torch.optim.Adam(teacher.parameters(), 2e-5)]

    def step() -> None:
        losses = reference.loop_losses(student, teacher, bags.x, bags.mask, bags.label[:, 0], 1.0)
        sum(losses.values()).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()

    return step


def step(b: Benchmark) -> None:
    """A training step: losses of student and teacher, gradients, optimiser."""
    packed, padded = make_bags(b.seed), make_bags(b.seed, per_group=0)
    exact = make_learner(settings(dropout=0.0), packed)
    ours = exact(packed, 1.0, 0.0)["total"].item()
    theirs = reference.loop_losses(
        *make_loop(exact, 0.0, "cpu"), packed.x, packed.mask, packed.label[:, 0], 1.0
    )
    gap = abs(ours - sum(v.item() for v in theirs.values()))
    print(f"without dropout the loop version's loss differs from ours by {gap:.1e}", flush=True)
    if gap > 1e-4:
        sys.exit("the two do not compute the same; nothing to compare")
    learner = make_learner(settings(), packed)
    variants = {
        "loop version, fp32": loop_step(learner, padded, b.device),
        "padded, fp32": our_step(learner, padded, b.device),
        "packed, fp32": our_step(learner, packed, b.device),
        "padded, bf16": our_step(learner, padded, b.device, half=True),
        "packed, bf16": our_step(learner, packed, b.device, half=True),
    }
    if b.compiled:
        variants |= {
            "padded, fp32, compiled": our_step(learner, padded, b.device, compiled=True),
            "padded, bf16, compiled": our_step(learner, padded, b.device, half=True, compiled=True),
        }
    compare(b, "step", variants)


def forward(b: Benchmark) -> None:
    """The student alone, dropout on, no gradient."""
    packed, padded = make_bags(b.seed), make_bags(b.seed, per_group=0)
    learner = make_learner(settings(), packed)
    loop, _ = make_loop(learner, 0.1, b.device)
    student = learner.student.to(b.device)
    there = {"packed, fp32": packed.to(b.device), "padded, fp32": padded.to(b.device)}
    x, mask = there["padded, fp32"].x, there["padded, fp32"].mask
    with torch.no_grad():
        ours = {name: lambda bags=bags: student(replace(bags)) for name, bags in there.items()}
        compare(b, "forward", {"loop version, fp32": lambda: loop(x, mask), **ours})


def contrastive(b: Benchmark) -> None:
    """Semi-bags and all four terms from given embeddings and scores, with gradient."""
    bags = make_bags(b.seed).to(b.device)
    g = torch.Generator().manual_seed(1)
    draw = lambda *shape: torch.randn(N_BAGS, LONGEST, *shape, generator=g).to(b.device)
    embedding = {m: draw(128).requires_grad_() for m in WIDTHS}
    logit = {m: draw() for m in WIDTHS}
    is_event = torch.arange(N_BAGS, device=b.device) % 2 == 0
    lengths = bags.mask.sum(1)

    def ours() -> None:
        parts = semi_bags({m: v.sigmoid() for m, v in logit.items()}, bags.mask, is_event, split="topk")
        terms = semi_bag_contrast(embedding, parts, against=("background", "normal"), bag_weight="picks")
        torch.stack(list(terms.values())).sum().backward()

    def loop() -> None:
        sum(reference.loop_contrast(embedding, logit, is_event.float(), lengths, 0.1).values()).backward()

    compare(b, "contrast", {"loop version, fp32": loop, "vectorised, fp32": ours})


def growth(b: Benchmark) -> None:
    """What grows with snippets, bags and negatives, and how fast."""
    few = min(b.repeats, 3)

    def sweep(what: str, sizes: list[int], make: Callable[[int], Callable[[], object]]) -> None:
        seconds = [np.median(in_turns({"": make(n)}, few, b.device)[""]) for n in sizes]
        for n, s in zip(sizes, seconds, strict=True):
            b.tell(Row("growth", f"{what} {n}", s * 1e3, s * 1e3, s * 1e3, "ms"))
        exponent = slope(sizes[-3:], [float(s) for s in seconds[-3:]])
        b.tell(Row("growth", f"{what}: exponent of the last three", exponent, exponent, exponent, ""))

    def training(bags: Bags) -> Callable[[], object]:
        return our_step(make_learner(settings(), bags), bags, b.device)

    sweep("step, snippets up to", [50, 100, 200, 400], lambda n: training(make_bags(b.seed, longest=n)))
    sweep("step, bags", [32, 64, 128, 256], lambda n: training(make_bags(b.seed, n_bags=n)))

    def against(n_queries: int, n_negatives: int) -> Callable[[], object]:
        torch.manual_seed(0)
        q, p = (torch.randn(n_queries, 128, device=b.device, requires_grad=True) for _ in range(2))
        n = torch.randn(n_negatives, 128, device=b.device, requires_grad=True)
        return lambda: contrast(q, p, n, temperature=0.1, beta=1.0, tau=0.01).sum().backward()

    sizes = [4096, 16384, 65536]
    sweep("contrast of 1,024 queries, negatives", sizes, lambda n: against(1024, n))
    big = against(4096, 65536)
    peak = peak_memory(big, b.device)
    (spent,) = in_turns({"": big}, 1, b.device)[""]
    b.tell(Row("growth", "contrast, 4,096 x 65,536", spent * 1e3, spent * 1e3, spent * 1e3, "ms", None, peak))


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


def video_names(n: int, part: str) -> list[str]:
    return [f"{part}{i:05d}_label_{'B1-0-0' if i % 2 == 0 else 'A'}" for i in range(n)]


def small_store(folder: Path, n: int, dtype: type, seed: int) -> Path:
    """n training videos of one crop, and two to test on."""
    rng = np.random.default_rng(seed)
    train, test = video_names(n, "v"), video_names(2, "t")
    write_store(
        folder, {name: int(rng.integers(SHORTEST, LONGEST + 1)) for name in train + test}, 1, dtype, seed
    )
    for part, names in (("train", train), ("test", test)):
        (folder / f"visual_{part}.list").write_text("".join(f"{name}__0.npy\n" for name in names))
    return folder


def store(b: Benchmark) -> None:
    """Bags a second from the disk's cache to padded batches, by how the loader is set up."""
    n = 1024
    first = None
    for dtype in (np.float32, np.float16):
        with tempfile.TemporaryDirectory(dir=b.work) as folder:
            data = small_store(Path(folder) / "store", n, dtype, b.seed)
            config = changed(xd_violence(), bags={"validation_share": 0.0, "crops": 1})
            task = TASKS["xd-violence"](data, config)
            bags = BagDataset(task.train, clock_of(config), strength=0.0, max_snippets=LONGEST)
            for workers in (0, 1, 2):
                batches = Batches(n, N_BAGS, shuffled=True)
                loading = loader(bags, batches, workers, config.bags.per_group)
                rates = []
                for epoch in range(4):
                    batches.epoch = epoch
                    started = time.perf_counter()
                    seen = sum(len(batch.mask) for batch in loading)
                    rates.append(seen / (time.perf_counter() - started))
                low, median, high = np.percentile(rates[1:], [25, 50, 75])  # the first one starts workers
                first = first or median
                what = f"{np.dtype(dtype).name}, {workers} workers"
                b.tell(Row("store", what, median, low, high, "bags/s", float(median / first)))


def evaluation(b: Benchmark) -> None:
    """`mmcl evaluate` of MACIL-SD's network on 800 videos x 5 crops: files to frame figures."""
    with tempfile.TemporaryDirectory(dir=b.work) as temporary:
        folder = Path(temporary)
        data, names = folder / "data", video_names(800, "t")
        rng = np.random.default_rng(b.seed)
        drawn = np.exp(rng.normal(math.log(128), 0.75, len(names))).clip(5, 2074).astype(int)
        lengths = dict(zip(names, drawn.tolist(), strict=True))
        if b.lists is not None:
            from mmcl.data.xd_violence import n_snippets, read_frame_counts, read_list

            names = read_list(b.lists / "visual_test.list")
            frames = read_frame_counts(b.lists / "test_frames.csv")
            lengths = {name: n_snippets(frames[name]) for name in names}
        train = video_names(2, "v")
        write_store(data, lengths | dict.fromkeys(train, 20), 5, np.float32, b.seed)
        for part, of in (("train", train), ("test", names)):
            (data / f"visual_{part}.list").write_text(
                "".join(f"{n}__{c}.npy\n" for n in of for c in range(5))
            )
        if b.lists is not None:
            (data / "annotations.txt").write_bytes((b.lists / "annotations.txt").read_bytes())
        else:
            lines = [f"{n} 0 {16 * t // 4}\n" for n, t in lengths.items() if "_label_A" not in n]
            (data / "annotations.txt").write_text("".join(lines))
        run = untrained(folder / "run", xd_violence(), WIDTHS)
        seconds = []
        for _ in range(min(b.repeats, 3)):
            started = time.perf_counter()
            evaluate(run, data, device=b.device)
            seconds.append(time.perf_counter() - started)
        low, median, high = np.percentile(seconds, [25, 50, 75])
        what = f"{len(names)} videos x 5 crops, {sum(lengths.values())} snippets"
        b.tell(Row("evaluation", what, median, low, high, "s"))


def untrained(run: Path, config: Config, widths: dict[str, int], front_ends: dict | None = None) -> Path:
    """A model folder as a training would leave it, its weights random."""
    torch.manual_seed(0)
    checkpoint.save_weights(run / "best.safetensors", network(config, clock_of(config), 1, n_channels=widths))
    about = {"data": "", "classes": ["violence"], "channels": widths, "front-ends": front_ends or {}}
    write_json(run / "config.json", {**about, "config": to_dict(config)})
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
        front_ends = make_front_ends("descriptors", "log-mel")
        cards = {m: asdict(card) for m, card in front_ends.cards.items()}
        widths = {m: card.dim for m, card in front_ends.cards.items()}
        run = untrained(folder / "run", clips(), widths, cards)
        for length in (120, 600):
            path = folder / f"{length}.mp4"
            tone = (
                np.sin(np.arange(16_000) * 0.1 * (1 + k % 7)).astype(np.float32) / 2 for k in range(length)
            )
            write_video(path, moving_pictures(length, b.seed), 24, tone)
            for command, rest in (
                (["extract", str(path), "--out", str(folder / f"store{length}")], "extract"),
                (["score", str(run), str(path), "--out", str(folder / "scores"), "--no-page"], "score"),
            ):
                started = time.perf_counter()
                with subprocess.Popen(
                    [sys.executable, "-m", "mmcl", *command], stdout=subprocess.DEVNULL
                ) as job:
                    peak = watch(job)
                spent = time.perf_counter() - started
                if job.returncode:
                    sys.exit(f"mmcl {' '.join(command)} failed")
                speed = length / spent
                what = f"{rest}, {length} s of video, descriptors + log-mel"
                b.tell(Row("video", what, speed, speed, speed, "x real time", None, peak))


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
            command += ["train", "xd-violence", "--data", str(data), "--out", str(out), "--bags.crops", "1"]
            command += ["--bags.validation-share", "0", "--model.dropout", "0", "--optim.epochs", "4"]
            threads = {"OMP_NUM_THREADS": str(max(n_cores // n, 1))} if b.device == "cpu" else {}
            subprocess.run(command, check=True, env={**os.environ, **threads}, stdout=subprocess.DEVNULL)
            histories[n] = json.loads((out / "history.json").read_text())
            seconds = json.loads((out / "metrics.json").read_text())["training seconds"]
            rate = 4 * 512 / seconds
            ratio = None if n == 1 else rate / b.rows[-1].median
            b.tell(Row("processes", f"{n} of them, 128 bags a step", rate, rate, rate, "bags/s", ratio))
        gap = max(
            abs(one[k] - two[k])
            for one, two in zip(*histories.values(), strict=True)
            for k in one
            if k.startswith("loss")
        )
        b.tell(Row("processes", "largest difference of any loss", gap, gap, gap, ""))


SECTIONS: dict[str, Callable[[Benchmark], None]] = {
    "step": step,
    "forward": forward,
    "contrast": contrastive,
    "growth": growth,
    "store": store,
    "evaluation": evaluation,
    "video": video,
    "processes": processes,
}


def machine(device: str) -> dict[str, str | int]:
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name")]
        cpu = names[0].split(":")[1].strip() if names else cpu
    return {
        "date": date.today().isoformat(),
        "cpu": cpu,
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else "cpu",
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def main() -> None:
    b = tyro.cli(Benchmark, description=__doc__)
    unknown = [name for name in b.only if name not in SECTIONS]
    if unknown:
        sys.exit(f"--only: unknown section '{unknown[0]}'; expected some of {', '.join(SECTIONS)}")
    if b.work is not None:
        b.work.mkdir(parents=True, exist_ok=True)
    about = machine(b.device)
    print(", ".join(f"{k} {v}" for k, v in about.items()), flush=True)
    for name, measure in SECTIONS.items():
        if not b.only or name in b.only:
            measure(b)
            write_json(b.out, {"machine": about, "rows": [asdict(row) for row in b.rows]})
    print(f"written: {b.out}")


if __name__ == "__main__":
    main()
