"""Metrics of a network on a split, while it trains and when it has."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from mmcl.config.loss_schema import MilConfig
from mmcl.data.signal_ranges import print_unlike
from mmcl.datasets import DataSplits
from mmcl.distributed import rank
from mmcl.errors import InputError
from mmcl.inference.predictor import Predictor
from mmcl.inference.representation import evaluate_representation
from mmcl.io import read_metrics, write_json
from mmcl.runs.model import load_model
from mmcl.runs.run_dir import BEST, LAST, METRICS, data_of
from mmcl.runs.run_splits import has_changed, load_run_splits
from mmcl.training.accelerator import device_of_process
from mmcl.types import SnippetGrid

Metrics = dict[str, float]


def evaluate_model(
    network: nn.Module,
    splits: DataSplits,
    split: str,
    grid: SnippetGrid,
    mil: MilConfig,
    device: torch.device | str = "cpu",
    without: str = "",
) -> Metrics:
    """Metrics of a network on a split; of one that learned without labels, those of its embeddings.

    The recordings are shared out over the processes of a training, which all have to ask for it; the first one gets the
    metrics, the others nothing.

    Args:
        network: In the form ``Bags -> ModelOutput``.
        splits: The data set's recordings.
        split: "train", "validation" or "test".
        grid: How recordings are cut into snippets.
        mil: How scores are pooled, and whether the network learned from labels.
        device: Where to compute.
        without: A modality to leave out of all recordings.

    Raises:
        InputError: A modality is left out of a network without scores.
    """
    recordings = splits.of(split)
    if mil.weight == 0:
        if without:
            raise InputError(
                "--without: a run without labels has no joint score; mmcl probe --modalities compares modalities"
            )
        return evaluate_representation(network, splits.train, recordings, grid, device)
    predictor = Predictor(network, grid, splits.classes, mil.topk_divisor, mil.multiclass, device)
    left = [m for m in splits.inputs if m != without]
    if without:
        n = len(recordings)
        recordings = [r for r in recordings if any(m in r.signal for m in left)]
        if not recordings:
            raise InputError(f"--without {without}: no recording of the {split} split has another modality")
        if len(recordings) < n and rank() == 0:
            print(f"--without {without}: {n - len(recordings)} of {n} recordings have nothing else, and are left out")
    shown = [r.only(left) for r in recordings] if without else recordings
    scores = predictor.predict_shared(shown)
    return splits.dataset.evaluate(recordings, scores, grid) if rank() == 0 else {}


def evaluate(
    run: Path | str,
    data: Path | str | None = None,
    split: str = "test",
    weights: str = "best",
    device: str = "auto",
    without: str = "",
) -> Metrics:
    """Metrics of a run, computed anew.

    They are written into its metrics.json when the run is finished and these are the data that it was trained on,
    unless a modality is left out. Under torchrun the recordings are shared out over the processes; the first one
    returns the metrics, the others nothing.

    Args:
        run: Folder of a run, or of an imported or shared model.
        data: The data set; where the run was trained on it by default.
        split: "test", "validation" or "train".
        weights: "best", the selected epoch's, or "last".
        device: Where to compute.
        without: A modality to leave out of all recordings.

    Raises:
        InputError: The run or the data are not as expected, or the split is empty.

    Example:
        >>> evaluate(Path("no/run"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        mmcl.errors.FileError: no/run/config.json: no such file; ...
    """
    run, data = Path(run), None if data is None else Path(data)
    where = device_of_process(device)
    network, info = load_model(run, {"best": BEST, "last": LAST}[weights], needs_scores=False)
    needed = (split,) if info.has_scores else ("train", split)
    config = info.config
    splits = load_run_splits(run, info, data, needed, needs_classes=info.has_scores, device=where)
    if split == "validation" and config.refits:
        raise InputError(f"{run}: was trained on its validation split too (--trainer.refit); evaluate the test split")
    if not splits.of(split):
        raise InputError(f"{run}: this run has no {split} split; it was trained without held-out recordings")
    modalities = tuple(info.inputs)
    if without and (without not in modalities or len(modalities) == 1):
        raise InputError(f"--without {without}: the run's modalities are {', '.join(modalities)}")
    on_own_data = data is None or data.resolve() == info.data
    on_own_data = on_own_data and not has_changed(info, splits, data or data_of(run))
    if rank() == 0 and not on_own_data:
        print_unlike(splits.of(split), info.ranges, info.inputs)
    metrics = evaluate_model(network.to(where), splits, split, info.grid, config.loss.mil, where, without)
    if rank() != 0:
        return {}
    if not (run / METRICS).exists() or not on_own_data or without:
        return metrics  # not finished: it writes its metrics itself; other data's are not the run's
    written = read_metrics(run / METRICS)
    prefix = split if weights == "best" else f"{split}, last epoch,"
    write_json(run / METRICS, {**written, **{f"{prefix} {k}": v for k, v in metrics.items()}})
    return metrics
