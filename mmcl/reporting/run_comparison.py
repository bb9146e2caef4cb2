"""Tables that compare runs: mean and spread over those that differ in their seeds alone."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmcl.config.files import to_dict
from mmcl.errors import InputError
from mmcl.io import read_metrics
from mmcl.runs.run_dir import CONFIG, METRICS, RunInfo, read_run

WITHOUT_LABELS = "linear probe accuracy"  # of runs that learned without labels


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        title: Above it.
        note: Below the title.
        columns: Names.
        rows: Cells as text.
    """

    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def find_runs(folder: Path, pattern: str = "**/") -> list[Path]:
    """Finished runs in the folder and below, sorted; an unreadable one is named and left out.

    Args:
        folder: Of runs.
        pattern: Where below it.
    """
    runs = []
    for path in sorted(folder.glob(pattern + METRICS)):
        if (path.parent / CONFIG).exists():
            try:
                read_run(path.parent)
                read_metrics(path)
                runs.append(path.parent)
            except InputError as error:
                print(f"left out: {error}")
    return runs


def headline_metric(info: RunInfo, metrics: dict[str, float]) -> str:
    """The test metric that a run's page is about.

    Args:
        info: Of the run.
        metrics: Of the run.
    """
    if f"test {WITHOUT_LABELS}" in metrics:
        return WITHOUT_LABELS
    return info.dataset.headline_metric(metrics)


def same_headline(run: Path, dataset: str, headline: str) -> bool:
    """Is the run of this data set, and its page about this metric?"""
    info = read_run(run)
    return info.config.dataset == dataset and headline_metric(info, read_metrics(run / METRICS)) == headline


def comparison_page(folder: Path, runs: Sequence[Path]) -> dict[str, Any]:
    """What the template shows of several runs: a table for each data set and metric."""
    groups: dict[tuple[str, str], list[Path]] = {}
    for run in runs:
        info = read_run(run)
        key = (info.config.dataset, headline_metric(info, read_metrics(run / METRICS)))
        groups.setdefault(key, []).append(run)
    return {
        "title": f"mmcl runs in {folder.resolve().name}",
        "subtitle": f"{len(runs)} runs",
        "tables": [comparison(members, folder) for members in groups.values()],
    }


def comparison(runs: Sequence[Path], folder: Path) -> Table:
    """Mean and spread of runs that differ in their seeds alone; named by their folder.

    Args:
        runs: Of one data set.
        folder: That holds them.

    Raises:
        InputError: No run has the metric.
    """
    groups: dict[str, list[Path]] = {}
    for run in runs:
        info = read_run(run)
        values = to_dict(info.config)
        values.pop("seed")
        values["labels"].pop("seed")
        values["start_from"], values["data_of_run"] = str(info.start_from), str(info.data)
        groups.setdefault(json.dumps(values, sort_keys=True), []).append(run)
    loaded = [[read_metrics(r / METRICS) for r in members] for members in groups.values()]
    metric = f"test {headline_metric(read_run(runs[0]), loaded[0][0])}"
    is_shown = re.compile(f"{re.escape(metric)}(, .+ (alone|head))?").fullmatch
    names = list(dict.fromkeys(k for m in loaded for one in m for k in one if is_shown(k)))
    if not names:
        raise InputError(f"{folder}: no run has the metric '{metric}'")
    rows = []
    for members, metrics in zip(groups.values(), loaded, strict=True):
        place = members[0] if len(members) == 1 else members[0].parent
        label = str(place.relative_to(folder))
        rows.append(
            [
                label if label != "." else members[0].name,
                str(len({read_run(r).config.seed for r in members})),
                *(mean_spread(metrics, k) for k in names),
            ]
        )
    columns = ["run", "seeds", *(k.removeprefix(metric).lstrip(", ") or "joint" for k in names)]
    note = "Mean ± standard deviation over runs that differ in their seed alone."
    if any(key.startswith("test share of recordings with ") for m in loaded for one in m for key in one):
        note += " A modality alone is evaluated on the recordings that have it, the joint score on all."
    return Table(f"Comparison: {metric}", note, columns, rows)


def mean_spread(metrics: Sequence[Mapping[str, float]], name: str) -> str:
    """Mean and standard deviation of a metric over runs.

    Example:
        >>> mean_spread([{"x": 0.5}, {"x": 0.7}], "x")
        '0.6000 ± 0.1414'
    """
    values = np.array([m[name] for m in metrics if name in m])
    if not len(values):
        return "-"
    return f"{values.mean():.4f}" + (f" ± {values.std(ddof=1):.4f}" if len(values) > 1 else "")
