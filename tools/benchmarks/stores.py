"""Reading features: files, formats of stores against each other, and a store of a million recordings."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil  # type: ignore[import-untyped]

from benchmarks.feature_files import small_store
from benchmarks.first_batch import anonymous_mb
from benchmarks.losses import LONGEST, N_BAGS, SHORTEST, grid_of
from benchmarks.measure import Benchmark, Row, in_turns
from mmcl.config import override
from mmcl.data.bags import BagDataset
from mmcl.data.batch_sampler import BatchSampler
from mmcl.data.loader import bag_loader
from mmcl.datasets import get_dataset, load_splits
from mmcl.readers.shards import ShardStore, ShardWriter, StoredModality
from mmcl.readers.shards.layout import BATCH_ROWS, INDEX

WIDTH, N_VIDEOS, N_MILLION, N_PARTS = 1024, 600, 1_000_000, 100
SPECS = {
    "visual": StoredModality("features", (1024,), "float16"),
    "audio": StoredModality("features", (128,), "float16"),
}
SENSORS = {"skeleton": StoredModality("skeleton", (20, 3)), "inertial": StoredModality("inertial", (6,))}


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


def formats(b: Benchmark) -> None:
    """Random batches of 128 bags, float16 to padded float32; Zarr and Lance where they are installed."""
    rng = np.random.default_rng(b.seed)
    lengths = rng.integers(SHORTEST, LONGEST + 1, N_VIDEOS)
    start = np.concatenate([[0], lengths.cumsum()])
    rows = rng.standard_normal((start[-1], WIDTH)).astype(np.float16)
    with tempfile.TemporaryDirectory(dir=b.work) as folder:
        readers = {name: make(Path(folder), rows, start) for name, make in FORMATS.items() if _is_installed(name)}
        for name, read in readers.items():
            for i in (0, 1, N_VIDEOS - 1):
                assert np.array_equal(read(i), rows[start[i] : start[i + 1]]), name
        padded = np.zeros((N_BAGS, LONGEST, WIDTH), np.float32)

        def batch(read: Callable[[int], np.ndarray]) -> Callable[[], None]:
            def run() -> None:
                for row, i in zip(padded, rng.permutation(N_VIDEOS)[:N_BAGS], strict=True):
                    x = read(int(i))
                    row[: len(x)] = x

            return run

        seconds = in_turns({name: batch(read) for name, read in readers.items()}, b.repeats, b.device)
    first = float(np.median(seconds["npy"]))
    for name, values in seconds.items():
        low, median, high = (N_BAGS / v for v in np.percentile(values, [75, 50, 25]))
        b.report(Row("formats", name, median, low, high, "bags/s", first * median / N_BAGS))


def _is_installed(name: str) -> bool:
    try:
        __import__({"zarr": "zarr", "lance": "lance"}.get(name, "pyarrow"))
    except ImportError:
        print(f"{name}: not installed, left out", flush=True)
        return False
    return True


def _npy(folder: Path, rows: np.ndarray, start: np.ndarray) -> Callable[[int], np.ndarray]:
    for i in range(len(start) - 1):
        np.save(folder / f"{i}.npy", rows[start[i] : start[i + 1]])
    return lambda i: np.array(np.load(folder / f"{i}.npy", mmap_mode="r"))


def _shards(folder: Path, rows: np.ndarray, start: np.ndarray) -> Callable[[int], np.ndarray]:
    with ShardWriter(folder / "shards", {"x": StoredModality("features", (WIDTH,), "float16")}, part_mb=64) as writer:
        for i in range(len(start) - 1):
            writer.add(f"{i}", {"x": rows[start[i] : start[i + 1]]}, {"x": 1.5})
    store = ShardStore(folder / "shards")
    return lambda i: np.asarray(store.array(i, "x"))


def _parquet(folder: Path, rows: np.ndarray, start: np.ndarray) -> Callable[[int], np.ndarray]:
    import pyarrow.parquet as pq

    options = {"row_group_size": BATCH_ROWS, "compression": "none", "use_dictionary": False}
    pq.write_table(_table(rows), folder / "a.parquet", **options)
    file = pq.ParquetFile(folder / "a.parquet")

    def read(i: int) -> np.ndarray:
        groups = list(range(start[i] // BATCH_ROWS, (start[i + 1] - 1) // BATCH_ROWS + 1))
        values = file.read_row_groups(groups).column(0).combine_chunks().flatten().to_numpy(zero_copy_only=False)
        first = groups[0] * BATCH_ROWS
        return values.reshape(-1, WIDTH)[start[i] - first : start[i + 1] - first]

    return read


def _zarr(folder: Path, rows: np.ndarray, start: np.ndarray) -> Callable[[int], np.ndarray]:
    import zarr  # type: ignore[import-not-found]

    shape = {"shape": rows.shape, "chunks": (BATCH_ROWS, WIDTH), "shards": (64 * BATCH_ROWS, WIDTH)}
    array = zarr.create_array(store=str(folder / "a.zarr"), dtype="float16", compressors=None, fill_value=0, **shape)
    array[:] = rows
    return lambda i: array[start[i] : start[i + 1]]


def _lance(folder: Path, rows: np.ndarray, start: np.ndarray) -> Callable[[int], np.ndarray]:
    import lance  # type: ignore[import-not-found]

    dataset = lance.write_dataset(_table(rows), str(folder / "a.lance"))

    def read(i: int) -> np.ndarray:
        column = dataset.take(list(range(start[i], start[i + 1]))).column(0).combine_chunks()
        return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, WIDTH)

    return read


def _table(rows: np.ndarray):
    import pyarrow as pa

    return pa.table({"x": pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), WIDTH)})


FORMATS = {"npy": _npy, "shards (Arrow, mapped)": _shards, "parquet": _parquet, "zarr": _zarr, "lance": _lance}


def million(b: Benchmark) -> None:
    """A store of a million videos, and one of a million sensor recordings: opened, first batch, memory."""
    with tempfile.TemporaryDirectory(dir=b.work) as folder:
        for kind, specs in (("videos", SPECS), ("sensors", SENSORS)):
            place = Path(folder) / kind
            write_million(place, specs, b.seed)
            for workers in (0, 2):
                tools = Path(__file__).parents[1]
                words = [sys.executable, "-m", "benchmarks.first_batch", str(place), kind, str(workers)]
                times = []
                for _ in range(3):
                    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, cwd=tools)
                    times.append(json.loads(done.stdout.splitlines()[-1]))
                what = f"a million {kind}, {workers} workers"
                for key, title, unit in (
                    ("seconds", "opened, first batch", "s"),
                    ("megabytes", "memory of all processes", "MB"),
                    ("bags_per_s", "bags", "bags/s"),
                ):
                    low, median, high = np.percentile([t[key] for t in times], [25, 50, 75])
                    b.report(Row("million", f"{what}: {title}", median, low, high, unit))
        b.report(Row("million", "a million sensors, 2 training processes: memory of each", *train_on_two(place), "MB"))


def train_on_two(place: Path) -> tuple[float, float, float]:
    """Highest memory of each of two processes that train on a store until they are in the middle of an epoch [MB].

    Returns:
        The mean of both, the lower and the higher one.
    """
    out = place.parent / "run"
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "mmcl"]
    words += ["train", "recordings", "--data", str(place), "--out", str(out), "--optim.epochs", "1"]
    words += ["--trainer.tracker", "none", "--trainer.save-every-minutes", "0.5", "--loader.batch-size", "128"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        peak: dict[int, float] = {}
        while not (out / "state.pt").exists():
            if process.poll() is not None:
                raise RuntimeError(f"{' '.join(words)}: ended before an epoch was under way")
            for child in psutil.Process(process.pid).children():
                with contextlib.suppress(OSError, psutil.Error):
                    workers = child.children(recursive=True)
                    peak[child.pid] = max(peak.get(child.pid, 0.0), sum(anonymous_mb(p.pid) for p in [child, *workers]))
            time.sleep(0.5)
        process.terminate()
    values = sorted(peak.values())[-2:]
    return float(np.mean(values)), values[0], values[-1]


def write_million(place: Path, specs: dict[str, StoredModality], seed: int) -> None:
    """Every index row is there; the data are those of one recording in a thousand, which the others point at."""
    import pyarrow as pa

    rng = np.random.default_rng(seed)
    n_each = N_MILLION // N_PARTS
    rates = {"visual": 1.5, "audio": 1.5, "skeleton": 30.0, "inertial": 50.0}
    for p in range(N_PARTS):
        with ShardWriter(place, specs, part_mb=1e6, commit_s=1e6) as writer:
            for i in range(n_each // 1000):
                seconds = rng.integers(SHORTEST, LONGEST + 1) / 1.5 if "visual" in specs else rng.uniform(2, 6)
                signal = {
                    m: rng.standard_normal((round(seconds * rates[m]), *s.shape)).astype(s.dtype)
                    for m, s in specs.items()
                }
                writer.add(f"{p}-{i}", signal, rates, "train", ("a",), f"g{p}")
        (index,) = (f for f in place.glob(f"*{INDEX}") if not (place / f"{f.name}.done").exists())
        with pa.memory_map(str(index)) as source:
            table = pa.ipc.open_file(source).read_all()
        many = pa.concat_tables([table] * 1000).combine_chunks()
        numbers = np.arange(p * n_each, (p + 1) * n_each)
        split = np.where(numbers % 100 < 98, "train", np.where(numbers % 100 == 98, "validation", "test"))
        texts = {
            "name": [f"source-{n // 20:06d}/clip-{n:07d}" for n in numbers],
            "split": split.tolist(),
            "labels": ["a" if n // 3 % 2 else "b" for n in numbers],
            "group": [f"{s}-{n // 2000}" for n, s in zip(numbers, split, strict=True)],
        }
        for name, values in texts.items():
            at = many.schema.get_field_index(name)
            many = many.set_column(at, name, pa.array(values, pa.string()))
        many = many.replace_schema_metadata(table.schema.metadata)
        with pa.OSFile(str(index), "wb") as sink, pa.ipc.new_file(sink, many.schema) as out:
            out.write_table(many)
        (place / f"{index.name}.done").touch()
    for marker in place.glob("*.done"):
        marker.unlink()
