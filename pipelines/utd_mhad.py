"""UTD-MHAD, all stages: train, evaluate, compare, report; every part of the method beside the rest.

    python pipelines/utd_mhad.py --data UTD-MHAD --out runs/utd-mhad

Streams: MIL alone, + contrast, + concentration, + teacher (the full system); recognition: all labels.
Five seeds each, trained on subjects 1, 3, 5, 7 and judged on 2, 4, 6, 8 (settings were chosen on
1, 3, 5 -> 7). About 90 minutes on 2 cores. Stopped, it goes on where it was; `--seeds 0` is a sixth of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import tyro

from mmcl.config import Config
from mmcl.presets import ablation, changed, utd_mhad, utd_mhad_streams
from mmcl.report import write_report
from mmcl.training.run import read_config, train


@dataclass(frozen=True)
class Pipeline:
    """Train every variant with every seed, then compare."""

    data: Path
    """UTD-MHAD's folder, with Inertial/ and Skeleton/ in it."""
    out: Path = Path("runs/utd-mhad")
    """Folder of the runs: OUT/TASK/VARIANT/seed-N."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds of network, order and augmentation; the streams stay the same."""
    tasks: tuple[str, ...] = ("utd-mhad-streams", "utd-mhad")
    """Which of the two tasks."""
    jobs: int = 2
    """Runs at a time, each on its share of the cores."""
    epochs: int | None = None
    """Epochs of each run; the recipe's own, if left out."""
    only: str | None = None
    """Internal: one run, VARIANT/seed-N of the one task given."""

    def runs(self) -> dict[str, Config]:
        """``{"TASK/VARIANT/seed-N": settings}`` of everything there is to train."""
        variants = {f"utd-mhad-streams/{name}": c for name, c in ablation(utd_mhad_streams()).items()}
        variants["utd-mhad/all labels"] = utd_mhad()
        final = {"bags": {"validation_subjects": ()}}
        runs = {}
        for seed in self.seeds:
            for name, config in variants.items():
                optim = {"seed": seed} | ({} if self.epochs is None else {"epochs": self.epochs})
                if config.task in self.tasks:
                    runs[f"{name}/seed-{seed}"] = changed(config, **final, optim=optim)
        return runs


def is_done(run: Path, config: Config) -> bool:
    """Finished with these settings; with others it is an error that the run's own start tells."""
    return (run / "metrics.json").exists() and read_config(run)[0] == config


def main() -> None:
    pipeline = tyro.cli(Pipeline, description=__doc__)
    runs = pipeline.runs()
    if pipeline.only:
        train(runs[pipeline.only], pipeline.data, pipeline.out / pipeline.only, resume=True)
        return
    missing = [name for name, config in runs.items() if not is_done(pipeline.out / name, config)]
    threads = max((os.cpu_count() or 1) // pipeline.jobs, 1)

    def start(name: str) -> int:
        print(f"training {name}", flush=True)
        command = [sys.executable, *sys.argv, "--only", name]
        return subprocess.run(
            command, env={**os.environ, "OMP_NUM_THREADS": str(threads)}, stdout=subprocess.DEVNULL
        ).returncode

    with ThreadPoolExecutor(pipeline.jobs) as pool:
        failed = [name for name, code in zip(missing, pool.map(start, missing), strict=True) if code]
    print(f"report: {write_report(pipeline.out)}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
