"""The linear baseline of a run: fitted before the network, evaluated like it, and what a linear path begins with."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import numpy as np
import torch
from torch import nn

from mmcl.config.loss_schema import MilConfig
from mmcl.config.schema import ModelConfig
from mmcl.datasets import DataSplits
from mmcl.errors import InputError
from mmcl.evaluation.metrics import average_precision, roc_auc
from mmcl.inference.choose_modalities import choose_modalities
from mmcl.inference.linear_baseline import LinearBaseline, LinearModel, fit_linear_baseline
from mmcl.inference.pooled_baseline import fit_pooled_baseline
from mmcl.models.linear_path import LinearPath, LinearScore
from mmcl.types import SnippetGrid

Metrics = dict[str, float]
PREFIX = "linear baseline "  # of its metrics
POOLED = "pooled linear baseline "  # of those of the pooled one
SAME = 5e-4  # metrics that differ by less are the same, computed in another precision


def fit_baseline(splits: DataSplits, grid: SnippetGrid, mil: MilConfig, joint_of: str = "") -> LinearBaseline | None:
    """The linear baseline of the training split; None where nothing is learned from labels.

    Its joint score is of one modality alone, unless all together do better (``choose_modalities``).

    Args:
        splits: The data set's recordings.
        grid: How they are cut into snippets.
        mil: How scores are pooled.
        joint_of: The modality that an earlier baseline's joint score was of, "" = all, where there is no validation.
    """
    if mil.weight == 0:
        return None
    fit = partial(
        fit_linear_baseline,
        grid=grid,
        classes=splits.classes,
        topk_divisor=mil.topk_divisor,
        multiclass=mil.multiclass,
        blocks=_blocks(splits),
    )
    fitted = fit(splits.train)
    if not splits.validation:
        return fitted.only_joint_of(joint_of)
    if len(fitted.alone) == 1:
        return fitted
    trials = [(fitted, splits.validation)]
    with suppress(InputError):  # none of the validation split has a label
        trials.append((fit(splits.validation), splits.train))
    return choose_modalities(fitted, trials)


def evaluate_baseline(baseline: LinearBaseline | None, splits: DataSplits, split: str) -> Metrics:
    """The baseline's metrics on a split, their names prefixed.

    Args:
        baseline: Fitted, or None.
        splits: The data set's recordings.
        split: "validation" or "test".
    """
    recordings = splits.of(split)
    if baseline is None or not recordings:
        return {}
    metrics = splits.dataset.evaluate(recordings, list(baseline.predict(recordings)), baseline.grid)
    return {f"{split} {PREFIX}{k}": v for k, v in metrics.items() if not k.startswith("share of")}


def choose_smoothing(
    baseline: LinearBaseline | None,
    splits: DataSplits,
    model: ModelConfig,
    plain: Metrics,
    metric: str,
    min_gain: float,
) -> tuple[bool, str]:
    """Whether a network that begins with the baseline smooths its probabilities: for a gain on the validation split, as
    an epoch is taken.

    Args:
        baseline: Fitted to the training split.
        splits: The data set's recordings.
        model: Settings of the network.
        plain: What ``evaluate_baseline`` gave on the validation split.
        metric: That selects the epoch.
        min_gain: The least gain that counts.

    Returns:
        The choice, True where there is none, and a line on it.
    """
    is_choice = model.linear_path and model.smoothed == "probabilities" and model.score_smoothing > 1
    if baseline is None or not splits.validation or not is_choice:
        return True, ""
    predictions = list(baseline.predict(splits.validation, model.score_smoothing))
    smoothed = splits.dataset.evaluate(splits.validation, predictions, baseline.grid)
    gain = smoothed.get(metric, 0.0) - plain.get(f"validation {PREFIX}{metric}", 0.0)
    smooths = gain > 0 and gain >= min_gain
    verb = "smoothed" if smooths else "not smoothed"
    return smooths, f"scores are {verb}: it changes {metric} of the linear model by {gain:+.3f} on validation"


def evaluate_pooled(splits: DataSplits, grid: SnippetGrid, mil: MilConfig, split: str) -> Metrics:
    """Metrics of bags of the pooled linear model of the training split; nothing of classes that exclude each other, of
    which the linear baseline itself is pooled.

    Args:
        splits: The data set's recordings.
        grid: How they are cut into snippets.
        mil: How scores are pooled.
        split: "validation" or "test".
    """
    recordings = splits.of(split)
    if mil.weight == 0 or mil.multiclass or not recordings:
        return {}
    score = fit_pooled_baseline(splits.train, grid, _blocks(splits)).predict(recordings).max(1)
    label = np.array([bool(r.label is not None and r.label.any()) for r in recordings])
    metrics = {"bag average precision": average_precision(label, score), "bag ROC-AUC": roc_auc(label, score)}
    return {f"{split} {POOLED}{k}": v for k, v in metrics.items() if v == v}


def _blocks(splits: DataSplits) -> dict[str, tuple[int, ...]]:
    return {m: card.blocks for m, card in splits.extractors.items() if card.blocks}


def set_linear_path(network: nn.Module, baseline: LinearBaseline | None, smooths: bool = True) -> None:
    """Give a network's linear path, if it has one, the baseline's weights.

    Args:
        network: That is about to be trained.
        baseline: Fitted to its training data.
        smooths: The network may smooth its probabilities, as its settings say.
    """
    path = getattr(network, "linear_path", None)
    if not isinstance(path, LinearPath) or baseline is None:
        return
    if isinstance(neighbours := getattr(network, "neighbours", None), torch.Tensor):
        neighbours.fill_(float(smooths))
    _set(path.joint, baseline.joint)
    for m, score in path.alone.items():
        assert isinstance(score, LinearScore)
        if m in baseline.alone:
            _set(score, baseline.alone[m])


def _set(score: LinearScore, model: LinearModel) -> None:
    """A modality that the model does not read keeps weights of 0."""
    mean, std = ({m: torch.from_numpy(v) for m, v in values.items()} for values in (model.mean, model.std))
    weight = {m: torch.from_numpy(model.scale[m][:, None] * w) for m, w in model.weight.items()}
    score.fit(mean, std, weight, torch.from_numpy(model.bias))


def describe_choice(metrics: Metrics, metric: str) -> str:
    """A line that says which of network and linear baseline to use.

    Validation decides, where there is one; else the line gives the test metrics of both and no advice.

    Args:
        metrics: Of a finished run.
        metric: That heads its report.

    Example:
        >>> describe_choice({"validation accuracy": 0.8, "validation linear baseline accuracy": 0.9}, "accuracy")
        'validation accuracy: network 0.800, linear baseline 0.900: the linear baseline is better'
    """
    for split in ("validation", "test"):
        ours, linear = metrics.get(f"{split} {metric}"), metrics.get(f"{split} {PREFIX}{metric}")
        if ours is None or linear is None:
            continue
        line = f"{split} {metric}: network {ours:.3f}, linear baseline {linear:.3f}"
        if split == "test":
            return line
        is_start = metrics.get("selected epoch") == 0
        if ours < linear - SAME:
            return f"{line}: the linear baseline is better"
        if is_start:
            smoothed = ", its scores smoothed" if ours - linear > SAME else ""
            return f"{line}: the run is the linear baseline{smoothed}"
        return f"{line}: the network is {'better' if ours > linear else 'as good'}"
    return ""


def describe_pooled(metrics: Metrics) -> str:
    """A line on the bags of the test split, the pooled linear model's beside the others'; empty where there is none.

    Args:
        metrics: Of a finished run.

    Example:
        >>> describe_pooled({"test pooled linear baseline bag ROC-AUC": 0.8, "test bag ROC-AUC": 0.9})
        'test bag ROC-AUC: network 0.900, linear model of pooled recordings 0.800'
    """
    names = (("network", ""), ("linear baseline", PREFIX), ("linear model of pooled recordings", POOLED))
    if f"test {POOLED}bag ROC-AUC" not in metrics:
        return ""
    values = [(name, metrics.get(f"test {prefix}bag ROC-AUC")) for name, prefix in names]
    return "test bag ROC-AUC: " + ", ".join(f"{name} {value:.3f}" for name, value in values if value is not None)
