"""The demo: recordings made here, learned from one bit a stream, judged every half second."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from mmcl.data.synthetic import make_recordings
from mmcl.errors import FileError
from mmcl.presets import changed, utd_mhad_streams
from mmcl.report import write_report
from mmcl.training.check import check
from mmcl.training.run import train

MARK = "made-by-mmcl-demo"


def run_demo(out: Path, epochs: int = 8, seed: int = 0) -> dict[str, float]:
    """Make recordings, train, evaluate, report; prints the figure of merit and the report's path."""
    started = time.perf_counter()
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).exists():
        raise FileError(out, "is not empty and not of an earlier demo", "choose another --out")
    config = changed(
        utd_mhad_streams(),
        bags={
            "n_train_streams": 120,
            "n_test_streams": 60,
            "stream_seed": seed,
            "targets": (13, 18),
            "actions_per_stream": (6, 10),
        },
        optim={"epochs": epochs, "seed": seed, "batch_size": 4},
    )
    check(config)
    try:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True, exist_ok=True)
        (out / MARK).touch()
    except OSError as error:
        raise FileError(out, f"cannot be written ({error.strerror})", "choose another --out") from error
    print("making 320 recordings of 8 made-up people: 10 actions, skeleton + inertial", flush=True)
    make_recordings(out / "recordings", seed)
    print(
        "training on streams of people 1, 3, 5 (selected on 7); each has one bit as its label: boxing or pushing, or not",
        flush=True,
    )
    run = out / "run"
    figures = train(config, out / "recordings", run)
    report = write_report(run)
    name = "snippet average precision"
    print(
        f"\nEvents found in streams of people never seen, learned from one bit a stream ({time.perf_counter() - started:.0f} s):"
    )
    print(f"  {name:45} {figures[name]:.3f}   (chance {figures['share of event snippets']:.3f})")
    for key in (k for k in figures if k.startswith(f"{name},")):
        print(f"  {key:45} {figures[key]:.3f}")
    print(f"open the report: {report.resolve()}")
    return figures
