"""Many runs on one data set, in parallel processes; those that are finished stay."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mmcl.config.files import from_dict, to_dict
from mmcl.config.schema import RunConfig
from mmcl.data.recording_index import RecordingIndex
from mmcl.datasets import get_dataset
from mmcl.errors import InputError
from mmcl.experiments.run_processes import RunProcesses
from mmcl.io import read_json, read_metrics, write_json
from mmcl.runs.run_dir import CONFIG, METRICS, read_run, world_size_asked
from mmcl.runs.same_recordings import check_finished, index_now
from mmcl.stop import stops_on_sigterm
from mmcl.training.run import train

REQUESTED = "requested.json"
LATE_IMPORTS = ("sklearn.linear_model", "torch._dynamo", "torch.utils.tensorboard")  # of a training, once it has begun


def check_many_runs(command: str, jobs: int, n_seeds: int) -> None:
    """Options that all such commands have.

    Raises:
        InputError: One is wrong.
    """
    if world_size_asked() > 1:
        raise InputError(f"mmcl {command}: starts its own processes; run it without torchrun, with --jobs")
    for option, value in (("jobs", jobs), ("seeds", n_seeds)):
        if value < 1:
            raise InputError(f"--{option}: expected 1 or more, got {value}")


def train_missing(
    runs: Mapping[str, RunConfig], data: Path, out: Path, jobs: int, metric: str, split: str, device: str
) -> None:
    """Train the runs that are not finished, each in a process of its own.

    Args:
        runs: Settings by the run's place below ``out``.
        data: The data set.
        out: Folder of the runs.
        jobs: Runs at a time, each on its share of the cores.
        metric: That each run must have; "" = any.
        split: Of the metric, "" = validation where there is one, else test.
        device: "auto", "cpu" or a GPU.

    Raises:
        InputError: A run was made with other settings, has no such metric, or failed; the others are kept.
    """
    indices: dict[Any, RecordingIndex | None] = {}
    for name, settings in runs.items():
        if (out / name / CONFIG).exists():
            before = read_run(out / name, as_saved=True)
            if before.config != settings or before.data != data.resolve():
                raise InputError(f"{out / name}: was made with other settings or data; choose another --out")
            if (out / name / METRICS).exists():
                key = (settings.data, settings.seed)  # many runs share their data
                if key not in indices:
                    indices[key] = index_now(get_dataset(settings.dataset), settings.data, settings.seed, data)
                check_finished(out / name, indices[key], data)
    missing = [name for name in runs if not (out / name / METRICS).exists()]
    if not missing:
        return
    threads = max((os.cpu_count() or 1) // jobs, 1)

    def start(name: str) -> int:
        if processes.is_stopped:
            return 1
        requested = {"data": str(data.resolve()), "config": to_dict(runs[name]), "device": device}
        (out / name).mkdir(parents=True, exist_ok=True)
        write_json(out / name / REQUESTED, requested)
        code = processes.run(out / name / REQUESTED, out / name / "log.txt")
        if code == 0 and metric:
            try:
                read_metric(out / name, metric, split)
            except InputError:  # a wrong --metric is reported after one run, not after all
                processes.stop()
                raise
        return code

    function = f"{__name__}:{train_requested.__name__}"
    # where a signal reaches this process alone, those of the runs save and end before the pool waits for them
    with ThreadPoolExecutor(jobs) as pool, RunProcesses(function, threads, LATE_IMPORTS) as processes:
        codes = list(tqdm(pool.map(start, missing), total=len(missing), unit="run", disable=None))
    failed = [name for name, code in zip(missing, codes, strict=True) if code]
    if failed:
        raise InputError(
            f"{len(failed)} of {len(runs)} runs failed: {', '.join(failed)}; {out / failed[0] / 'log.txt'}"
        )


def train_requested(path: Path) -> None:
    """Train one of the runs, into the folder of the file that holds its settings.

    Args:
        path: The file.
    """
    saved = read_json(path)
    base = RunConfig(data=get_dataset(saved["config"]["dataset"]).Config())
    config: RunConfig = from_dict(RunConfig, saved["config"], path, base)
    with stops_on_sigterm():
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
