"""Is anything lost when a training is killed, or when the disk is full? 100 kills, and a sweep of full disks.

    python tools/torture.py --kills 100 --out runs/torture

kills: a small training is killed (-9, or SIGTERM) at random moments, resumed and killed again until it has ended; then
its weights and history must be those of one that was never disturbed, bit for bit. disks: the same training, an
extraction and a scoring on disks of every size from nothing to enough (tmpfs, which needs root); each must end by one
line that says that the disk is full, and go on to the same result when there is room. Exits with 1 where one is not so.
"""

from __future__ import annotations

import filecmp
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from mmcl.datasets.sources.synthetic_sensors import make_recordings
from mmcl.media.writer import write_video

ROOT = Path(__file__).resolve().parents[1]
SMALL = [
    "--data.n-train-streams", "32", "--data.n-test-streams", "8", "--data.targets", "13", "18",
    "--data.actions-per-stream", "4", "6", "--data.targets-per-stream", "1", "2", "--model.dim", "16",
    "--loader.batch-size", "4", "--optim.epochs", "4", "--trainer.save-every", "2", "--trainer.tracker", "none",
    "--trainer.save-every-minutes", "0.005",
]  # fmt: skip
SAME = ("best.safetensors", "last.safetensors", "history.json")


@dataclass(frozen=True)
class Options:
    """What is tried.

    Attributes:
        kills: How many.
        disks: Sizes of full disks, 0 = none.
        seed: Of the moments.
        out: Folder.
    """

    kills: int = 100
    disks: int = 12
    seed: int = 0
    out: Path = Path("runs/torture")


def command(*words: str | Path) -> list[str]:
    """A command of mmcl."""
    return [sys.executable, "-m", "mmcl", *map(str, words)]


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(command(*words), capture_output=True, text=True, cwd=ROOT, env=environment())


def environment() -> dict[str, str]:
    """One thread, so that sums are those of every run."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def train_words(data: Path, out: Path) -> list[str | Path]:
    """The training."""
    return ["train", "utd-mhad-streams", "--data", data, "--out", out, *SMALL]


def differs(a: Path, b: Path) -> list[str]:
    """Files of two runs that are not the same."""
    return [n for n in SAME if not (a / n).exists() or not filecmp.cmp(a / n, b / n, shallow=False)]


def torture_by_kills(o: Options, data: Path, undisturbed: Path, took_s: float) -> list[str]:
    """Kill until so many kills are done; each run that ends is compared."""
    rng = random.Random(o.seed)
    wrong, kills, runs = [], 0, 0
    while kills < o.kills:
        out = o.out / f"killed-{runs}"
        shutil.rmtree(out, ignore_errors=True)
        runs += 1
        while True:
            words = train_words(data, out) + (["--resume"] if out.exists() else [])
            child = subprocess.Popen(
                command(*words),
                cwd=ROOT,
                env=environment(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            try:
                code = child.wait(rng.uniform(0, 0.6 * took_s) if kills < o.kills else None)
            except subprocess.TimeoutExpired:
                child.send_signal(rng.choice([signal.SIGKILL, signal.SIGTERM]))
                child.communicate()
                kills += 1
                continue
            assert child.stderr is not None
            if code:
                wrong.append(f"run {runs} cannot go on: {child.stderr.read().strip().splitlines()[-1]}")
            break
        if different := differs(out, undisturbed):
            wrong.append(f"run {runs}: {', '.join(different)} differ")
        print(f"{kills} kills, {runs} runs, {len(wrong)} wrong", flush=True)
    return wrong


def torture_by_disks(o: Options, data: Path, undisturbed: Path) -> list[str]:
    """Full disks of every size."""
    place, clips = o.out / "disk", o.out / "clips"
    place.mkdir(exist_ok=True)
    clips.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(6):
        frames = iter(rng.integers(0, 255, (72, 64, 80, 3), np.uint8))
        write_video(clips / f"{i}.mp4", frames, 24, iter([rng.standard_normal(48_000).astype(np.float32) * 0.1]))
    store = o.out / "store"
    assert run("extract", clips, "--out", store).returncode == 0
    jobs: dict[str, tuple[list[str | Path], Path, tuple[str, ...]]] = {
        "train": (train_words(data, place / "x"), undisturbed, SAME),
        "extract": (["extract", clips, "--out", place / "x"], store, tuple(p.name for p in store.glob("*.npy"))),
        "score": (["score", undisturbed, data, "--out", place / "x"], undisturbed, ()),
    }
    wrong = []
    for name, (words, expected, files) in jobs.items():
        n_full = 0
        full = sum(p.stat().st_size for p in expected.rglob("*")) * 2 + (1 << 20)
        for k in range(o.disks):
            size = max(full * k // o.disks // 4096 * 4096, 4096)
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
            try:
                done = run(*words)
                lines = done.stderr.strip().splitlines()
                if done.returncode:
                    n_full += 1
                    if "disk is full" not in lines[-1] or "Traceback" in done.stderr:
                        wrong.append(f"{name}, disk of {size} bytes: {lines[-1]}")
                subprocess.run(["mount", "-o", f"remount,size={64 << 20}", str(place)], check=True)
                again = run(*words, *(["--resume"] if name == "train" and (place / "x").exists() else []))
                if again.returncode:
                    wrong.append(
                        f"{name}, disk of {size} bytes, with room again: {again.stderr.strip().splitlines()[-1]}"
                    )
                for file in files if expected is not None else ():
                    if not filecmp.cmp(place / "x" / file, expected / file, shallow=False):
                        wrong.append(f"{name}, disk of {size} bytes: {file} differs")
            finally:
                subprocess.run(["umount", str(place)], check=True)
        print(f"{name}: {o.disks} disks, {n_full} of them full, {len(wrong)} wrong", flush=True)
    return wrong


def main() -> None:
    """Run both, print what was wrong."""
    o = tyro.cli(Options, description=__doc__)
    o.out.mkdir(parents=True, exist_ok=True)
    data, undisturbed = o.out / "data", o.out / "undisturbed"
    if not data.exists():
        make_recordings(data, n_trials=2, actions=(1, 3, 13, 18))
    shutil.rmtree(undisturbed, ignore_errors=True)
    started = time.monotonic()
    done = run(*train_words(data, undisturbed))
    if done.returncode:
        sys.exit(done.stderr)
    wrong = torture_by_kills(o, data, undisturbed, time.monotonic() - started)
    if o.disks:
        if os.geteuid() == 0 and shutil.which("mount"):
            wrong += torture_by_disks(o, data, undisturbed)
        else:
            print("full disks: not tried, a tmpfs needs root")
    (o.out / "torture.json").write_text(json.dumps({"kills": o.kills, "disks": o.disks, "wrong": wrong}, indent=2))
    print("\n".join([*wrong, f"{len(wrong)} wrong"]))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
