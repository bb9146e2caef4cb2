"""Objectives against each other on one data set: the same seeds, runs in parallel that can be resumed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from mmcl.config.files import from_dict, override, to_dict
from mmcl.config.schema import RunConfig
from mmcl.datasets import get_dataset
from mmcl.errors import InputError
from mmcl.experiments.ablation import choose_objectives, with_components
from mmcl.experiments.comparison import Comparison
from mmcl.io import atomic_write, read_json, read_metrics, write_json
from mmcl.runs.model import resolve_device
from mmcl.runs.run_dir import CONFIG, METRICS, read_run, world_size_asked
from mmcl.training.run import check_run, train

REQUESTED = "requested.json"


def runs_of(config: RunConfig, objectives: Sequence[str], seeds: Sequence[int]) -> dict[str, RunConfig]:
    """``{"OBJECTIVE/seed-N": settings}``.

    Args:
        config: Complete settings.
        objectives: As ``with_components`` takes them.
        seeds: Of each.

    Example:
        >>> list(runs_of(RunConfig(), ["default"], [0, 1]))
        ['default/seed-0', 'default/seed-1']
    """
    return {
        f"{name}/seed-{seed}": override(with_components(config, name), {"seed": seed})
        for name in objectives
        for seed in seeds
    }


def compare(
    config: RunConfig,
    data: Path,
    out: Path,
    objectives: Sequence[str],
    seeds: Sequence[int],
    jobs: int = 2,
    metric: str = "",
    split: str = "",
    device: str = "auto",
) -> Comparison:
    """Train what is missing, each run in a process of its own; write comparison.json and comparison.md.

    Args:
        config: Every setting.
        data: The data set.
        out: For the runs, ``OUT/OBJECTIVE/seed-N``.
        objectives: As ``with_components`` takes them; the first is what the others are compared with.
        seeds: Of each.
        jobs: Runs at a time.
        metric: Of the runs; the data set's primary metric by default.
        split: "validation" or "test"; by default validation where the runs hold one out, else test.
        device: "auto", "cpu" or a GPU.

    Raises:
        InputError: An option is wrong, or runs failed, which it names; the others are kept.
    """
    if world_size_asked() > 1:
        raise InputError("mmcl compare: starts its own processes; run it without torchrun, with --jobs")
    for option, value in (("jobs", jobs), ("seeds", len(seeds))):
        if value < 1:
            raise InputError(f"--{option}: expected 1 or more, got {value}")
    resolve_device(device)  # an error before any run
    dataset = get_dataset(config.dataset)
    config = check_run(config, dataset, data)
    metric = metric or dataset.primary_metric
    names = choose_objectives(config, objectives)
    runs = runs_of(config, names, seeds)
    for name, settings in runs.items():
        if (out / name / CONFIG).exists():
            before = read_run(out / name)
            if before.config != settings or before.data != data.resolve():
                raise InputError(f"{out / name}: was made with other settings or data; choose another --out")
    _train_missing(runs, data, out, jobs, metric, split, device)
    by_name = {name: [read_metric(out / f"{name}/seed-{seed}", metric, split) for seed in seeds] for name in names}
    values = {name: [value for value, _ in of_seeds] for name, of_seeds in by_name.items()}
    comparison = Comparison(metric, values, names[0], by_name[names[0]][0][1])
    write_json(
        out / "comparison.json",
        {"metric": metric, "split": comparison.split, "baseline": names[0], "values": values},
    )
    text = comparison.to_markdown()
    atomic_write(out / "comparison.md", lambda file: file.write_text(text + "\n"))
    return comparison


def _train_missing(
    runs: dict[str, RunConfig], data: Path, out: Path, jobs: int, metric: str, split: str, device: str
) -> None:
    missing = [name for name in runs if not (out / name / METRICS).exists()]
    threads = max((os.cpu_count() or 1) // jobs, 1)
    stop = threading.Event()

    def start(name: str) -> int:
        if stop.is_set():
            return 1
        code = _train_in_process(out / name, runs[name], data, threads, device)
        if code == 0:
            try:
                read_metric(out / name, metric, split)
            except InputError:  # a wrong --metric is reported after one run, not after all
                stop.set()
                raise
        return code

    with ThreadPoolExecutor(jobs) as pool:
        codes = list(tqdm(pool.map(start, missing), total=len(missing), unit="run", disable=None))
    failed = [name for name, code in zip(missing, codes, strict=True) if code]
    if failed:
        raise InputError(
            f"{len(failed)} of {len(runs)} runs failed: {', '.join(failed)}; {out / failed[0] / 'log.txt'}"
        )


def _train_in_process(run: Path, config: RunConfig, data: Path, threads: int, device: str) -> int:
    """Train in a process of its own, which logs into the run's folder; its exit status."""
    run.mkdir(parents=True, exist_ok=True)
    requested = run / REQUESTED
    write_json(requested, {"data": str(data.resolve()), "config": to_dict(config), "device": device})
    code = "import sys; from mmcl.experiments.compare import train_requested; train_requested(sys.argv[1])"
    command = [sys.executable, "-c", code, str(requested)]
    with open(run / "log.txt", "w") as log:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        return subprocess.run(command, env=environment, stdout=log, stderr=log).returncode


def train_requested(requested: str) -> None:
    """Train one of the runs, into the folder of the file that holds its settings.

    Args:
        requested: The file.
    """
    path = Path(requested)
    saved = read_json(path)
    base = RunConfig(data=get_dataset(saved["config"]["dataset"]).Config())
    config: RunConfig = from_dict(RunConfig, saved["config"], path, base)
    train(config, Path(saved["data"]), path.parent, resume=True, device=saved["device"])


def read_metric(run: Path, metric: str, split: str = "") -> tuple[float, str]:
    """A run's metric and the split that it is of.

    Args:
        run: Folder of a finished run.
        metric: Its name.
        split: "validation" or "test"; by default validation where there is one, else test.

    Raises:
        InputError: The run has no such metric.
    """
    metrics = read_metrics(run / METRICS)
    for name in (split,) if split else ("validation", "test"):
        if f"{name} {metric}" in metrics:
            return metrics[f"{name} {metric}"], name
    raise InputError(f"--metric {metric}, --split {split or 'left out'}: the runs have {', '.join(metrics)}")
