"""Objectives against each other on one data set: the same seeds, runs in parallel that can be resumed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmcl.config.files import override
from mmcl.config.schema import RunConfig
from mmcl.datasets import get_dataset
from mmcl.experiments.ablation import choose_objectives, with_components
from mmcl.experiments.comparison import Comparison
from mmcl.experiments.many_runs import check_many_runs, read_metric, train_missing
from mmcl.io import atomic_write, write_json
from mmcl.runs.model import resolve_device
from mmcl.training.run import check_run


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
    check_many_runs("compare", jobs, len(seeds))
    resolve_device(device)  # an error before any run
    dataset = get_dataset(config.dataset)
    config = check_run(config, dataset, data)
    metric = metric or dataset.primary_metric
    names = choose_objectives(config, objectives)
    runs = runs_of(config, names, seeds)
    train_missing(runs, data, out, jobs, metric, split, device)
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
