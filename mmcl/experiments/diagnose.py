"""What a run's embeddings are like: spread, alignment, hardness, and how many hard negatives are false."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mmcl.config.schema import LabelsConfig
from mmcl.data.bags import BagDataset
from mmcl.data.collate import collate
from mmcl.errors import InputError
from mmcl.evaluation.diagnostics import (
    alignment,
    effective_dimensions,
    false_negatives,
    isotropy,
    pair_statistics,
    tolerance,
    uniformity,
)
from mmcl.evaluation.snippet_truth import snippet_truth
from mmcl.io import check_writable, write_json
from mmcl.losses.contrastive.recording import mean_over_snippets
from mmcl.runs.model import load_model, resolve_device
from mmcl.runs.run_splits import load_run_splits
from mmcl.types import Recording, SnippetGrid

MAX_SAMPLES = 2000  # of more, evenly spread ones
BATCH = 16


@dataclass(frozen=True)
class EmbeddingSample:
    """Embeddings that are contrasted with each other.

    Attributes:
        projection: ``{modality: (sample, dim)}``.
        label: ``(sample,)``, the class, or whether an event is there.
        index: ``(sample,)``, number of the sample.
        unit: What a sample is, "recording" or "snippet".

    Example:
        >>> EmbeddingSample({}, torch.zeros(2), torch.arange(2), "snippet").unit
        'snippet'
    """

    projection: Mapping[str, Tensor]
    label: Tensor
    index: Tensor
    unit: str


@torch.no_grad()
def sample_embeddings(
    network: nn.Module,
    recordings: Sequence[Recording],
    grid: SnippetGrid,
    of_recordings: bool,
    device: torch.device | str = "cpu",
) -> EmbeddingSample:
    """Projections of recordings or snippets.

    Args:
        network: In the form ``Bags -> ModelOutput``.
        recordings: Of a split.
        grid: How they are cut into snippets.
        of_recordings: A sample is a recording, labelled by its class; else a snippet, labelled by whether an event is
            there.
        device: Where to compute.
    """
    data = BagDataset(recordings, grid, strength=0.0)
    kept: dict[str, list[Tensor]] = {}
    labels: list[np.ndarray] = []
    for start in range(0, len(recordings), BATCH):
        number = range(start, min(start + BATCH, len(recordings)))
        bags = collate([data[-1, i] for i in number]).to(device)
        output = network(bags)
        if of_recordings:
            projection = mean_over_snippets(output.projection, bags.mask)
            labels += [np.array([int(data.labels[i].argmax())]) for i in number]
        else:
            projection = {m: z[bags.mask] for m, z in output.projection.items()}
            labels += [snippet_truth(recordings[i], grid, int(bags.mask[k].sum())) for k, i in enumerate(number)]
        for m, z in projection.items():
            kept.setdefault(m, []).append(z.float().cpu())
    label = torch.from_numpy(np.concatenate(labels).astype(np.int64))
    step = max(-(-len(label) // MAX_SAMPLES), 1)
    return EmbeddingSample(
        {m: torch.cat(v)[::step] for m, v in kept.items()},
        label[::step],
        torch.arange(len(label))[::step],
        "recording" if of_recordings else "snippet",
    )


def embedding_metrics(sample: EmbeddingSample) -> dict[str, float]:
    """Every diagnostic by name, pairs of the first two modalities.

    Args:
        sample: Of at least two modalities.
    """
    first, second = list(sample.projection)[:2]
    a, b = sample.projection[first], sample.projection[second]
    metrics: dict[str, Tensor] = {"alignment": alignment(a, b)}
    for m, z in sample.projection.items():
        metrics[f"uniformity, {m}"] = uniformity(z)
        metrics[f"tolerance, {m}"] = tolerance(z, sample.label)
        metrics[f"isotropy, {m}"] = isotropy(z)
        metrics[f"effective dimensions, {m}"] = effective_dimensions(z)
    metrics |= {k: v for k, v in pair_statistics(sample.projection, sample.index).items() if "cosine" in k}
    metrics |= false_negatives(a, b, sample.label)
    return {k: float(v) for k, v in metrics.items()}


def diagnose(
    run: Path,
    out: Path | None = None,
    split: str = "test",
    data: Path | None = None,
    device: str = "auto",
) -> tuple[dict[str, float], EmbeddingSample]:
    """Look at a run's embeddings; writes diagnosis.json.

    Args:
        run: Folder of a run of two modalities.
        out: For the file; the run's folder by default.
        split: Whose recordings.
        data: The data set; where the run was trained on it by default.
        device: Where to compute.

    Returns:
        Metrics by name, and the embeddings.

    Raises:
        InputError: The run has one modality, or nothing says which samples are alike.
    """
    where = resolve_device(device)
    network, info = load_model(run, needs_scores=False)
    if len(info.inputs) < 2:
        raise InputError(f"{run}: has one modality alone, {next(iter(info.inputs))}; pairs need two")
    check_writable(out or run)
    splits = load_run_splits(run, info, data, (split,), labels=LabelsConfig())
    recordings, of_recordings = splits.of(split), info.dataset.task == "recognition"
    if not recordings:
        raise InputError(f"{run}: this run has no {split} split")
    if not of_recordings and not any(r.intervals for r in recordings):
        raise InputError(
            f"{run}: no events of its {split} split are known, so that nothing says which snippets are alike"
        )
    sample = sample_embeddings(network.to(where), recordings, info.grid, of_recordings, where)
    metrics = embedding_metrics(sample)
    content = {"samples": len(sample.label), "unit": sample.unit, **metrics}
    write_json((out or run) / "diagnosis.json", content)
    return metrics, sample
