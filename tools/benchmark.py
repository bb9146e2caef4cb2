"""What mmcl costs, as ratios in one run: `python tools/benchmark.py --out benchmark.json`.

Variants of one thing are timed in turns, so that whatever else the machine does hits all of them; each
value is the median of the repeats, with the quartiles beside it. MACIL-SD's setting throughout: 128 bags
of up to 200 snippets, 1024 + 128 channels, lengths drawn from 20 to 200, network of two modalities and
teacher, all losses. The loop version that ours is held against is tests/reference.py's, written as the
papers describe their code; it computes the same losses (checked here first, and by a test).

About 15 minutes on 2 cores, of which the compiler takes some; `--only step contrast` is a part of it.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from pathlib import Path

import torch
import tyro
from benchmarks.evaluation import evaluation
from benchmarks.losses import contrastive, forward, growth, step
from benchmarks.measure import Benchmark
from benchmarks.on_ray import on_ray
from benchmarks.pages import pages
from benchmarks.start_up import start_up
from benchmarks.stores import formats, million, store
from benchmarks.training_processes import processes
from benchmarks.video import short_clips, video

from mmcl.io import write_json

SECTIONS: dict[str, Callable[[Benchmark], None]] = {
    "step": step,
    "forward": forward,
    "contrast": contrastive,
    "growth": growth,
    "store": store,
    "formats": formats,
    "million": million,
    "evaluation": evaluation,
    "video": video,
    "clips": short_clips,
    "start-up": start_up,
    "pages": pages,
    "processes": processes,
    "ray": on_ray,
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
    machine_info = machine(b.device)
    print(", ".join(f"{k} {v}" for k, v in machine_info.items()), flush=True)
    for name, measure in SECTIONS.items():
        if not b.only or name in b.only:
            measure(b)
            write_json(b.out, {"machine": machine_info, "rows": [asdict(row) for row in b.rows]})
    print(f"written: {b.out}")


if __name__ == "__main__":
    main()
