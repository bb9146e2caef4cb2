"""Surveillance fights: what features, network, contrast, teacher and sound are worth, sources held out.

    python pipelines/fights.py --data FIGHTS --out runs/fights

clips: does a clip show a fight, 5 folds of sources by 5 seeds, ROC-AUC; streams: when in an untrimmed stream, learned
from one label a stream, 10 draws of sources, snippet average precision. A row takes in each run the features that do
best on its validation sources. Every run fits the linear baseline on the same features and split. A stopped pipeline is
resumed where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from mmcl.config import RunConfig, override
from mmcl.data.snippet_grid import create_grid
from mmcl.datasets import get_dataset, load_splits
from mmcl.experiments.ablation import ablation_steps
from mmcl.experiments.folds import CrossValidation, corrected_p, cross_validate, share_tested
from mmcl.inference.linear_baseline import fit_linear_baseline
from mmcl.io import read_metrics, write_json
from mmcl.runs.run_dir import METRICS
from mmcl.training.run import check_run

LITE0, MOVING = "efficientnet-lite0", ("efficientnet-lite0-motion", "motion")
FEATURES = {
    "descriptors": ("descriptors",),
    LITE0: (LITE0,),
    f"{LITE0} + descriptors": (LITE0, "descriptors"),
    "motion": ("motion",),
    "motion + moving square": MOVING,
    "all of own videos": (LITE0, *MOVING),
}
THOROUGH = ("descriptors", LITE0, "motion + moving square")  # features with which every system is trained
# a network without the linear model in it
PLAIN: dict[str, Any] = {
    "model.linear_path": False, "model.dim": 64, "optim.epochs": 10, "optim.learning_rate": 1e-3,
}  # fmt: skip


@dataclass(frozen=True)
class Pipeline:
    """Folders and extent.

    Attributes:
        data: The data set's folder.
        out: Folder for the runs and tables.
        stages: Which.
        seeds: Of the clips; each draws 5 folds.
        splits: Of the streams.
        features: Which, by name; all by default.
        systems: Which, by the beginnings of their names; all by default.
        jobs: Runs at a time.
    """

    data: Path
    out: Path
    stages: tuple[str, ...] = ("clips", "streams")
    seeds: int = 5
    splits: int = 10
    features: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    jobs: int = 2


def systems(full: RunConfig, thorough: bool) -> dict[str, RunConfig]:
    """What is compared on the same features.

    Args:
        full: The data set's recipe.
        thorough: Every part, not the ends alone.
    """
    plain = override(full, PLAIN)
    parts = ablation_steps(plain)
    chosen = {"linear path + network": full, "network, MIL alone": parts["MIL alone"]}
    if thorough:
        chosen |= {f"network, {name}": parts[name] for name in ("+ contrast", "+ concentration", "+ teacher")}
        chosen |= {
            f"linear path + network, {m} alone": override(full, {"data.modalities": (m,)}) for m in ("visual", "audio")
        }
        chosen["MACIL-SD's network, MIL alone"] = override(
            parts["MIL alone"], {"model.architecture": "macil-sd", "model.dim": 128}
        )
    return chosen


def study(p: Pipeline, dataset: str, n: int) -> list[dict[str, Any]]:
    """A row for each system on each feature set, and one for its linear baseline.

    Args:
        p: Folders and extent.
        dataset: "fights" or "fights-streams".
        n: Seeds, or draws of the split.
    """
    base = get_dataset(dataset).default_config()
    base = override(base, {"data.modalities": ("visual", "audio"), "trainer.tracker": "none"})
    rows: list[dict[str, Any]] = []
    for features, visual in FEATURES.items():
        if p.features and features not in p.features:
            continue
        full = override(base, {"features.visual": visual})
        for system, config in systems(full, features in THOROUGH).items():
            if p.systems and not system.startswith(p.systems):
                continue
            result = cross_validate(config, p.data, p.out / dataset / folder_of(features, system), range(n), p.jobs)
            rows.append(row_of(features, system, result, result.network))
            if system.startswith("linear path"):
                name = system.replace("linear path + network", "linear baseline")
                rows.append(row_of(features, name, result, result.linear))
            print(format_row(rows[-1]), flush=True)
    return rows


def bag_label_rows(p: Pipeline, n: int) -> list[dict[str, Any]]:
    """Of the streams: logistic regression on every snippet of the picture with its bag's label, without refits.

    Args:
        p: Folders and extent.
        n: Draws of the split.
    """
    dataset = get_dataset("fights-streams")
    rows = []
    for features in THOROUGH:
        if p.features and features not in p.features:
            continue
        values, shares = [], []
        for draw in range(n):
            changes = {"data.modalities": ("visual",), "features.visual": FEATURES[features], "data.split_seed": draw}
            config = check_run(override(dataset.default_config(), changes), dataset, p.data)
            splits = load_splits(dataset, p.data, config.data, features=config.features)
            grid = create_grid(config.snippets, {m: spec.kind for m, spec in splits.inputs.items()})
            fitted = fit_linear_baseline(
                [*splits.train, *splits.validation],
                grid,
                splits.classes,
                topk_divisor=config.loss.mil.topk_divisor,
                blocks={m: card.blocks for m, card in splits.extractors.items() if card.blocks},
                n_refits=0,
            )
            metrics = dataset.evaluate(splits.test, list(fitted.predict(splits.test)), grid)
            values.append(metrics["snippet average precision"])
            shares.append(share_tested(dataset.index(p.data, config.data), with_validation=True))
        runs = tuple(f"seed-{draw}/split" for draw in range(n))
        result = CrossValidation("snippet average precision", runs, np.array(values), np.array(values), shares[0])
        rows.append(row_of(features, "linear, every snippet its bag's label, picture", result, result.network))
        print(format_row(rows[-1]), flush=True)
    return rows


def chosen_row(p: Pipeline, dataset: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The features that do best on the validation split of each run, by the default system: no test split is read.

    Args:
        p: Folders and extent.
        dataset: "fights" or "fights-streams".
        rows: Of the study.
    """
    of_default = [row for row in rows if row["system"] == "linear path + network"]
    if len(of_default) < 2:
        return []
    metric, runs = of_default[0]["metric"], of_default[0]["runs"]
    values = []
    for k, run in enumerate(runs):
        folders = [p.out / dataset / folder_of(row["features"], row["system"]) / run for row in of_default]
        validation = [read_metrics(folder / METRICS)[f"validation {metric}"] for folder in folders]
        values.append(of_default[int(np.argmax(validation))]["values"][k])
    chosen = {**of_default[0], "features": f"best on validation of {len(of_default)}", "values": values}
    return [chosen]


def folder_of(features: str, system: str) -> str:
    """Where the runs of a system on some features lie."""
    return f"{features} -- {system}".replace(" ", "-").replace("'", "").replace(",", "")


def row_of(features: str, system: str, result: CrossValidation, values: np.ndarray) -> dict[str, Any]:
    """A system's values, run by run."""
    return {
        "features": features,
        "system": system,
        "metric": result.metric,
        "runs": list(result.runs),
        "values": values.tolist(),
        "test_share": result.test_share,
    }


def format_row(row: dict[str, Any], references: Sequence[dict[str, Any]] = ()) -> str:
    """A line of the table: mean, spread, and ratio, difference and p against each reference on the same runs."""
    x = np.array(row["values"])
    cells = [row["features"], row["system"], f"{x.mean():.3f} ± {x.std(ddof=1):.3f}"]
    for reference in references:
        common = [r for r in row["runs"] if r in reference["runs"]]
        ours = np.array([row["values"][row["runs"].index(r)] for r in common])
        theirs = np.array([reference["values"][reference["runs"].index(r)] for r in common])
        difference = ours - theirs
        if not difference.any():
            cells.append("")
            continue
        p = corrected_p(difference, row["test_share"])
        won = int((difference > 0).sum())
        cells.append(f"{difference.mean():+.3f} ({ours.mean() / theirs.mean():.2f}x), {won}/{len(common)}, p = {p:.2g}")
    return "| " + " | ".join(cells) + " |"


def table(rows: Sequence[dict[str, Any]]) -> str:
    """All rows, each against the linear baseline on its own features and on EfficientNet-Lite0."""

    def linear(features: str) -> dict[str, Any] | None:
        return next((r for r in rows if r["features"] == features and r["system"] == "linear baseline"), None)

    general = linear(f"{LITE0} + descriptors" if rows[0]["metric"].startswith("bag") else LITE0)
    lines = [
        f"| features | system | {rows[0]['metric']} | against the linear baseline on the same features | against "
        f"{general['features'] if general else 'nothing'}, linear |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        references = [r for r in (linear(row["features"]), general) if r is not None]
        lines.append(format_row(row, references))
    return "\n".join(lines)


def main(p: Pipeline) -> None:
    """Run the stages and write their tables."""
    for stage in p.stages:
        dataset, n = {"clips": ("fights", p.seeds), "streams": ("fights-streams", p.splits)}[stage]
        rows = study(p, dataset, n)
        rows += chosen_row(p, dataset, rows)
        if stage == "streams" and not p.systems:
            rows += bag_label_rows(p, n)
        write_json(p.out / f"{stage}.json", rows)
        (p.out / f"{stage}.md").write_text(table(rows) + "\n")
        print(table(rows), flush=True)


if __name__ == "__main__":
    main(tyro.cli(Pipeline, description=__doc__))
