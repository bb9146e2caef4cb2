"""Opens a store as a training does, and draws batches: `python -m benchmarks.first_batch STORE videos|sensors WORKERS`.

Prints seconds to the first batch (imports left out), memory of all processes and bags a second.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from mmcl.config import override
from mmcl.data.bags import BagDataset
from mmcl.data.batch_sampler import BatchSampler
from mmcl.data.loader import bag_loader
from mmcl.data.snippet_grid import create_grid
from mmcl.datasets import get_dataset, load_splits


def anonymous_mb(pid: int) -> float:
    """Memory of a process that is no mapped file, what it shares with others by its share (Linux)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(x.split()[1]) for x in lines if x.startswith(("Pss_Anon:", "Pss_Shmem:"))) / 1e3


def main() -> None:
    """Measure once."""
    place, kind, workers = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    dataset = get_dataset("recordings")
    started = time.perf_counter()
    config = dataset.default_config(place)
    if kind == "videos":
        config = override(config, {"snippets.hop_s": 2 / 3, "snippets.window_s": 2 / 3, "snippets.stretch_s": 0.0})
    splits = load_splits(dataset, place, config.data, splits=("train",))
    grid = create_grid(config.snippets, {m: spec.kind for m, spec in splits.inputs.items()})
    bags = BagDataset(splits.train, grid, strength=0.0, max_snippets=200)
    batches = iter(bag_loader(bags, BatchSampler(len(bags), 128, shuffled=True), workers))
    next(batches)
    seconds = time.perf_counter() - started
    n, since = 0, time.perf_counter()
    while time.perf_counter() - since < 3:
        n += len(next(batches).mask)
    rate = n / (time.perf_counter() - since)
    me = psutil.Process()
    total = sum(anonymous_mb(p.pid) for p in [me, *me.children()])
    print(json.dumps({"seconds": seconds, "megabytes": total, "bags_per_s": rate, "n": len(bags)}))


if __name__ == "__main__":
    main()
