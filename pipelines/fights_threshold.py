"""Is a threshold that is chosen by the validation split's weak labels better than 0.5, on fights of other sources?

    python pipelines/fights_threshold.py --data FIGHTS --out runs/fights-threshold

Of each draw of sources: the linear baseline, which the default run is wherever no epoch of the network is better, is
fitted to the training split; the threshold with the highest F1 of the validation bags is taken; the baseline is fitted
anew to both splits and evaluated on the test split, with 0.5, with the chosen threshold and with the test split's best.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from sklearn.metrics import f1_score

from mmcl.config import override
from mmcl.data.snippet_grid import create_grid
from mmcl.data.stored_index import join_recordings
from mmcl.datasets import get_dataset, load_splits
from mmcl.evaluation.event_level import event_metrics
from mmcl.evaluation.events import EventRule
from mmcl.evaluation.snippet_truth import snippet_truth
from mmcl.experiments.folds import corrected_p, share_tested
from mmcl.io import write_json
from mmcl.training.baseline import choose_smoothing, evaluate_baseline, fit_baseline
from mmcl.training.run import check_run
from mmcl.types import Recording, SnippetScores

FIXED = EventRule()
EVENT_F1 = "event F1 at IoU 0.3"
THRESHOLDS = np.arange(0.05, 1.0, 0.05)  # of which the best for the test split's events is looked for

Row = dict[str, float]


@dataclass(frozen=True)
class Pipeline:
    """Folders and extent.

    Attributes:
        data: The data set's folder.
        out: Folder for the tables.
        stages: Which of clips and streams.
        seeds: Of the clips; each draws 5 folds.
        splits: How often the streams' sources are drawn.
    """

    data: Path
    out: Path
    stages: tuple[str, ...] = ("clips", "streams")
    seeds: int = 5
    splits: int = 10


def bag_scores(recordings: list[Recording], predicted: list[SnippetScores]) -> tuple[np.ndarray, np.ndarray]:
    """Labels and highest scores, ``(bag,)`` each."""
    label = np.array([bool(r.label is not None and r.label.any()) for r in recordings])
    return label, np.array([p.score.max() for p in predicted])


def f1(label: np.ndarray, score: np.ndarray, threshold: float) -> float:
    """Of bags whose score reaches the threshold."""
    return float(f1_score(label, score >= threshold))


def best_threshold(label: np.ndarray, score: np.ndarray) -> float:
    """With the highest F1, in the middle between two bags' scores."""
    candidates = np.unique(score)
    k = int(np.argmax([f1(label, score, t) for t in candidates]))
    return float(candidates[k] if k == 0 else (candidates[k - 1] + candidates[k]) / 2)


def evaluate_draw(dataset_name: str, data: Path, changes: dict[str, Any]) -> tuple[Row, float]:
    """F1 by each threshold, and the share of test among all sources.

    Args:
        dataset_name: "fights" or "fights-streams".
        data: The data set's folder.
        changes: Settings of the draw.
    """
    dataset = get_dataset(dataset_name)
    config = override(dataset.default_config(), {"data.modalities": ("visual", "audio")} | changes)
    config = check_run(config, dataset, data)
    splits = load_splits(dataset, data, config.data, features=config.features)
    grid = create_grid(config.snippets, {m: spec.kind for m, spec in splits.inputs.items()})
    fitted = fit_baseline(splits, grid, config.loss.mil)
    assert fitted is not None
    plain, metric = evaluate_baseline(fitted, splits, "validation"), dataset.selection_metric(splits.validation)
    smooths, line = choose_smoothing(fitted, splits, config.model, plain, metric, config.trainer.min_gain)
    smoothing = config.model.score_smoothing if smooths and line else 1
    of_validation = list(fitted.predict(splits.validation, smoothing))
    chosen = best_threshold(*bag_scores(list(splits.validation), of_validation))

    everything = replace(splits, train=join_recordings(splits.train, splits.validation), validation=[])
    refitted = fit_baseline(everything, grid, config.loss.mil, fitted.joint_of)
    assert refitted is not None
    predicted, test = list(refitted.predict(splits.test, smoothing)), list(splits.test)
    label, score = bag_scores(test, predicted)
    best = best_threshold(label, score)
    row = {"chosen threshold": chosen}
    row |= {f"bag F1, {how}": f1(label, score, t) for how, t in (("0.5", 0.5), ("chosen", chosen), ("best", best))}
    if dataset_name == "fights-streams":
        n = [len(p.score) for p in predicted]
        truth = np.concatenate([snippet_truth(r, grid, k) for r, k in zip(test, n, strict=True)])
        of_snippets = np.concatenate([p.score[:, 0] for p in predicted])

        def of_rule(high: float) -> float:
            rule = EventRule(high, FIXED.low / FIXED.high * high)
            return event_metrics(of_snippets, truth, n, grid.hop_s, rule)[EVENT_F1]

        row |= {f"{EVENT_F1}, 0.5": of_rule(FIXED.high), f"{EVENT_F1}, chosen": of_rule(chosen)}
        row[f"{EVENT_F1}, best"] = max(of_rule(float(t)) for t in THRESHOLDS)
    return row, share_tested(dataset.index(data, config.data), with_validation=True)


def table(rows: list[Row], share: float) -> str:
    """Mean and spread of each column, and the chosen threshold against 0.5."""
    lines = [
        f"{name}: {np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
        for name in rows[0]
        if len(values := [row[name] for row in rows]) > 1
    ]
    for name in ("bag F1", EVENT_F1):
        if f"{name}, 0.5" in rows[0] and len(rows) > 1:
            difference = np.array([row[f"{name}, chosen"] - row[f"{name}, 0.5"] for row in rows])
            won, lost = int((difference > 0).sum()), int((difference < 0).sum())
            p = corrected_p(difference, share)
            lines.append(f"{name}, chosen - 0.5: {difference.mean():+.3f}, {won} better, {lost} worse, p = {p:.2g}")
    return "\n".join(lines)


def main(p: Pipeline) -> None:
    """Evaluate every draw and write the tables."""
    for stage in p.stages:
        if stage == "clips":
            name = "fights"
            splits = [{"data.fold_seed": seed, "data.fold": fold} for seed in range(p.seeds) for fold in range(5)]
        else:
            name, splits = "fights-streams", [{"data.split_seed": seed} for seed in range(p.splits)]
        rows = []
        for changes in splits:
            row, share = evaluate_draw(name, p.data, changes)
            rows.append(row)
            print(changes, {k: round(v, 3) for k, v in row.items()}, flush=True)
        write_json(p.out / f"{stage}.json", rows)
        print(table(rows, share), flush=True)


if __name__ == "__main__":
    main(tyro.cli(Pipeline, description=__doc__))
