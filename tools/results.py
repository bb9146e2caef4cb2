"""Tables and figures of a folder of runs, from their settings and metrics.json alone.

    python tools/results.py runs --out results

Runs are grouped by data set and headline metric; those that differ in their seeds alone are one row, mean and standard
deviation. Writes results.md, results.csv (a row a run, every metric), for each group a figure with a dot a run, and of
runs with several numbers of labels a figure of labels against the metric.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import tyro
from matplotlib.figure import Figure

from mmcl.io import atomic_write, read_metrics
from mmcl.reporting.plots import png
from mmcl.reporting.run_comparison import Table, comparison, find_runs, headline_metric
from mmcl.runs.run_dir import METRICS, read_run

EVENTS = ("event F1 at IoU", "false alarms an hour at recall")
CALIBRATION = ("calibration error", "snippet calibration error", "frame calibration error", "bag calibration error")


@dataclass(frozen=True)
class Results:
    """Tables and figures of a folder of runs."""

    runs: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUNS")]
    """Folder of runs, at any depth."""
    out: Path = Path("results")
    """Folder to write results.md, results.csv and the figures to."""


def rows_of(runs: Sequence[Path], folder: Path) -> pd.DataFrame:
    """A row a run: where it lies, its data set, headline metric, seed, labels a class, and its test metrics."""
    rows = []
    for run in runs:
        info, metrics = read_run(run), read_metrics(run / METRICS)
        name = headline_metric(info, metrics)
        rows.append(
            {
                "run": str(run.relative_to(folder)),
                "group": re.sub(r"(/|^)seed-\d+(?=/|$)", "", str(run.relative_to(folder))).lstrip("/") or run.name,
                "data set": info.config.dataset,
                "metric": name,
                "seed": info.config.seed,
                "labels": info.config.labels.labelled,
                "value": metrics.get(f"test {name}", np.nan),
                **{k: v for k, v in metrics.items() if k.startswith("test ")},
            }
        )
    return pd.DataFrame(rows)


def to_markdown(table: Table) -> str:
    """A table with its title and note."""
    lines = [table.columns, ["---"] * len(table.columns), *table.rows]
    body = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"## {table.title}\n\n{table.note}\n\n{body}\n"


def event_table(rows: pd.DataFrame) -> str:
    """Event-level metrics and calibration, mean and standard deviation over a group; empty where there are none."""
    starts = tuple(f"test {e}" for e in (*EVENTS, *CALIBRATION))
    names = [c for c in rows.columns if c.startswith(starts) and rows[c].notna().any()]
    if not names:
        return ""
    head = ["run", *(n.removeprefix("test ") for n in names)]
    body = [[str(group), *(_mean_spread(part[n]) for n in names)] for group, part in rows.groupby("group", sort=False)]
    return to_markdown(Table("Events and calibration", "Events by the rule of `mmcl score`'s defaults.", head, body))


def _mean_spread(values: pd.Series) -> str:
    values = values.dropna()
    if values.empty:
        return "-"
    return f"{values.mean():.3f}" + (f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else "")


def draw_runs(rows: pd.DataFrame, title: str) -> bytes:
    """A dot a run, a bar at the mean of each group."""
    groups = [(name, part["value"].to_numpy()) for name, part in rows.groupby("group", sort=False)]
    figure = Figure(figsize=(8, 0.6 + 0.35 * len(groups)), layout="constrained")
    axes = figure.subplots()
    for i, (_, values) in enumerate(groups):
        axes.plot(values, np.full(len(values), i), "o", color="#5b8db8", alpha=0.7)
        axes.plot([np.nanmean(values)] * 2, [i - 0.3, i + 0.3], color="#c0504d", linewidth=2)
    axes.set_yticks(range(len(groups)), [str(name) for name, _ in groups])
    axes.invert_yaxis()
    axes.set_xlabel(title)
    axes.grid(axis="x", alpha=0.3)
    return png(figure)


def label_curves(rows: pd.DataFrame) -> tuple[dict[float, float], dict[str, pd.DataFrame]]:
    """Where each number of labels lies, all labels (0) at twice the highest; mean and std of each series there."""
    numbers = sorted(rows.loc[rows["labels"] > 0, "labels"].unique())
    place = {n: n for n in numbers} | ({0.0: 2 * numbers[-1]} if numbers and (rows["labels"] == 0).any() else {})
    of_labels = r"(^|/)(\d+-a-class|[\d.]+-percent-of-the-labels|all-labels)(?=/|$)"
    name = rows["group"].str.replace(of_labels, "", regex=True)
    curves = {}
    for series, part in rows.assign(place=rows["labels"].map(place)).groupby(
        name.where(name != "", "runs"), sort=False
    ):
        if part["place"].nunique() > 1:
            curves[str(series)] = part.groupby("place")["value"].agg(["mean", "std"])
    return place, curves


def draw_labels(rows: pd.DataFrame, title: str) -> bytes | None:
    """Labels against the metric, mean and spread; None where no runs differ in them."""
    place, curves = label_curves(rows)
    if not curves:
        return None
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        axes.errorbar(curve.index, curve["mean"], curve["std"].fillna(0), marker="o", capsize=3, label=name)
    axes.set_xscale("log")
    axes.set_xticks(list(place.values()), ["all" if n == 0 else f"{n:g}" for n in place])
    axes.minorticks_off()
    axes.set_xlabel("labelled recordings: a class (1 and more), or their share (below 1)")
    axes.set_ylabel(title)
    axes.grid(alpha=0.3)
    axes.legend()
    return png(figure)


def main() -> None:
    """Read the runs, write tables and figures."""
    options = tyro.cli(Results, description=__doc__)
    runs = find_runs(options.runs)
    if not runs:
        sys.exit(f"{options.runs}: no finished run below it; give a folder that holds runs")
    rows = rows_of(runs, options.runs)
    parts = [f"# Results of {len(runs)} runs\n"]
    for number, ((dataset, metric), part) in enumerate(rows.groupby(["data set", "metric"], sort=False)):
        members = [options.runs / run for run in part["run"]]
        table = comparison(members, options.runs)
        parts.append(to_markdown(Table(f"{dataset}: {metric}", table.note, table.columns, table.rows)))
        parts.append(event_table(part))
        title = f"{dataset}, test {metric}"
        for name, picture in (("runs", draw_runs(part, title)), ("labels", draw_labels(part, title))):
            if picture is not None:
                path = options.out / f"{number}-{dataset}-{name}.png"
                atomic_write(path, lambda to, picture=picture: to.write_bytes(picture))  # type: ignore[misc]
                parts.append(f"![{title}]({path.name})\n")
    atomic_write(options.out / "results.csv", lambda to: to.write_text(rows.drop(columns="group").to_csv(index=False)))
    text = "\n".join(part for part in parts if part)
    atomic_write(options.out / "results.md", lambda to: to.write_text(text))
    print(text)
    print(f"written: {options.out}")


if __name__ == "__main__":
    main()
