"""Extraction on a Ray cluster of this machine whose workers are killed, against the same without Ray."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from benchmarks.measure import Benchmark, Row
from mmcl.media.find import find_media

COPIES = 4  # of each clip, under names of their own


def on_ray(b: Benchmark) -> None:
    """The command from its start to its end, two workers, one of them killed at a third and at two thirds."""
    if b.clips is None:
        print("ray: left out; --clips FOLDER gives it short clips")
        return
    clips = [file.path for file in find_media([b.clips])]
    with tempfile.TemporaryDirectory(dir=b.work) as temporary:
        folder = Path(temporary)
        (folder / "in").mkdir()
        for clip in clips:
            for k in range(COPIES):
                (folder / "in" / f"{k}-{clip.name}").symlink_to(clip.resolve())
        n = COPIES * len(clips)
        alone = _extract(folder / "in", folder / "alone", [], 0, n)
        ray = _extract(folder / "in", folder / "ray", ["--engine", "ray", "--ray-workers", "2"], 2, n)
        same = _contents(folder / "alone") == _contents(folder / "ray")
    b.report(Row("ray", f"{n} clips, this process", alone, alone, alone, "s"))
    what = f"{n} clips, 2 workers, 2 kills, {'the same bytes' if same else 'OTHER BYTES'}"
    b.report(Row("ray", what, ray, ray, ray, "s", ray / alone))


def _extract(clips: Path, out: Path, options: list[str], n_kills: int, n: int) -> float:
    """Seconds of ``mmcl extract``; a worker is killed whenever the next share of the files is there."""
    words = [sys.executable, "-m", "mmcl", "extract", str(clips), "--out", str(out), *options]
    started = time.perf_counter()
    killed: set[int] = set()
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            share = len(list(out.glob("*__info.json"))) / n if out.exists() else 0.0
            if len(killed) < n_kills and share > (len(killed) + 1) / (n_kills + 1):
                killed |= _kill_worker(process.pid, killed)
            time.sleep(0.2)
    if process.returncode or len(killed) < n_kills:
        raise RuntimeError(f"{' '.join(words)}: ended with {process.returncode}, {len(killed)} workers killed")
    return time.perf_counter() - started


def _kill_worker(pid: int, killed: set[int]) -> set[int]:
    for p in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if p.pid not in killed and "ray::_Worker" in " ".join(p.cmdline()):
                os.kill(p.pid, signal.SIGKILL)
                return {p.pid}
    return set()


def _contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(".")}
