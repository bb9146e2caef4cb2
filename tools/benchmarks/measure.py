"""How things are timed: variants in turns, medians and quartiles, peak memory."""

from __future__ import annotations

import ctypes
import gc
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import tyro


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
    """Sections to measure, all if left out: step, forward, contrast, growth, store, formats, million, evaluation,
    video, clips, start-up, pages, processes, ray."""
    against: Path | None = None
    """JSON of an earlier measurement; each row is followed by its change since."""
    clips: Path | None = None
    """Folder of short videos of your own for the sections clips (made-up ones by default) and ray."""
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

    def report(self, row: Row) -> None:
        self.rows.append(row)
        ratio = "" if row.ratio is None else f"{row.ratio:7.2f}x"
        memory = "" if row.peak_mb is None else f"{row.peak_mb:8.0f} MB"
        before = self._before(row)
        since = "" if before is None else f"  {row.median / before - 1:+.0%} since {before:.4g}"
        value = f"{row.median:10.4g} ({row.low:.4g} to {row.high:.4g}) {row.unit}"
        print(f"{row.section:10} {row.what:44} {value:40} {ratio:9} {memory}{since}", flush=True)

    def _before(self, row: Row) -> float | None:
        """The median of the same row, in the same unit, of the earlier measurement."""
        if self.against is None:
            return None
        for other in json.loads(self.against.read_text())["rows"]:
            if all(other[name] == getattr(row, name) for name in ("section", "what", "unit")):
                return float(other["median"]) or None
        return None


def in_turns(variants: dict[str, Callable[[], object]], repeats: int, device: str) -> dict[str, list[float]]:
    """Seconds of each variant, round after round."""
    wait = torch.cuda.synchronize if device.startswith("cuda") else int
    n_before = 5 if device.startswith("cuda") else 2  # graphs are recorded at the fourth step
    for run in variants.values():
        for _ in range(n_before):
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
        allocated = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - allocated) / 1e6
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


def compare(b: Benchmark, section: str, variants: dict[str, Callable[[], object]], memory: bool = True) -> None:
    """One row a variant; ratios to the first one are medians of the rounds' ratios."""
    seconds = in_turns(variants, b.repeats, b.device)
    first = next(iter(seconds.values()))
    for name, values in seconds.items():
        low, median, high = np.percentile(values, [25, 50, 75]) * 1e3
        ratio = float(np.median([a / x for a, x in zip(first, values, strict=True)]))
        peak = peak_memory(variants[name], b.device) if memory else None
        b.report(Row(section, name, median, low, high, "ms", ratio, peak))


def slope(sizes: list[int], seconds: list[float]) -> float:
    """Exponent of the growth: 1 = in proportion, 2 = with the square."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
