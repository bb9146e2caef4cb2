"""What a training would read, compute and write, and about how long it would take; nothing is written."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mmcl.config.schema import DataConfig, FeaturesConfig, ModelConfig, SnippetsConfig
from mmcl.data.collate import BagSample, collate
from mmcl.data.media import features_folder, hold_streams, media_extractors, probe_rows
from mmcl.data.recording_index import SPLITS, RecordingIndex
from mmcl.data.snippet_grid import create_grid
from mmcl.datasets import Dataset
from mmcl.datasets._missing_streams import describe_missing_of_rows
from mmcl.features.cache import FeatureCache
from mmcl.features.extract import extract_file
from mmcl.media.find import MediaFile
from mmcl.media.timing import SNIPPET_S
from mmcl.models.build import create_model
from mmcl.types import InputSpec, SnippetGrid

BYTES_OF_PARAMETER = 16  # weight, gradient and two moments, float32
SAMPLE = 200  # recordings that are read; the mean length of those of the training split stands for all


@dataclass(frozen=True)
class Plan:
    """What a training would do; the settings' parts are those of a run.

    Attributes:
        dataset: The data set.
        data: Its folder, or a manifest.
        out: The run's folder.
        options: The data set's own options; modalities are named.
        features: How features of media files are made.
        snippets: How recordings are cut into snippets.
        model: Of the network.
        batch_size: Bags in a step.
        epochs: Through the training split.
        has_teacher: A unimodal teacher learns, too.
        seed: The run's.
    """

    dataset: Dataset
    data: Path
    out: Path
    options: DataConfig
    features: FeaturesConfig
    snippets: SnippetsConfig
    model: ModelConfig
    batch_size: int
    epochs: int
    has_teacher: bool
    seed: int


def describe_plan(plan: Plan, device: torch.device) -> list[str]:
    """Lines on what would be read, computed and written.

    Args:
        plan: Of a training.
        device: Where it would compute.

    Raises:
        InputError: What training would refuse before it reads signals.
    """
    index = hold_streams(plan.dataset.index(plan.data, plan.options, plan.seed))
    modalities = plan.options.modalities
    lines = [f"read: {plan.data}, {' + '.join(modalities)}"]
    for split in SPLITS:
        rows = index.of(split)
        labels = Counter(label for row in rows for label in row.labels or ("(none)",))
        groups = len({row.group for row in rows if row.group})
        of_labels = ", ".join(f"{n} {label}" for label, n in sorted(labels.items())[:12])
        lines.append(f"  {split}: {len(rows)} recordings ({of_labels})" + f", {groups} groups" * bool(groups))
    lines += [f"  {line}" for line in describe_missing_of_rows(index, modalities)[0]]
    seconds, inputs, of_features = _features(plan, index, device)
    lines += of_features
    rows = [row for split in SPLITS for row in index.of(split) if any(m in row.sources for m in modalities)]
    sample = rows[:: -(-len(rows) // SAMPLE) or 1]
    read = [row.load(modalities, index.classes) for row in sample]
    seconds |= {row.name: r.duration_s for row, r in zip(sample, read, strict=True) if row.split == "train"}
    inputs = index.inputs(read) | inputs
    inputs = {m: inputs[m] for m in modalities if m in inputs}
    if read:
        lines.append(f"  {len(read)} of {len(rows)} recordings were opened, which have the same channels")
    lines += _network(plan, index, inputs, seconds, device)
    state = "goes on there with --resume" if (plan.out / "config.json").exists() else "is made"
    lines.append(f"write: {plan.out} ({state}): settings, weights, training state, history, metrics")
    return lines


def _features(
    plan: Plan, index: RecordingIndex, device: torch.device
) -> tuple[dict[str, float], dict[str, InputSpec], list[str]]:
    """Lengths of recordings with media [s], what a model takes of their features, and lines on those that lack."""
    rows = [row for row in index.rows if row.media and row.split]
    needed = [m for m in plan.options.modalities if any(m in row.media for row in rows)]
    if not needed:
        return {}, {}, []
    media, _ = probe_rows(rows)
    extractors = media_extractors(plan.features, needed).to(device)
    cache = FeatureCache(features_folder(plan.features), extractors)
    seconds = {row.name: sum(media[p].duration_s or 0.0 for p in row.media_files) for row in rows}
    files = {p: MediaFile(p, row.name) for row in rows for p in row.media_files}
    lacking = [f for f in files.values() if cache.missing(f) is not None]
    of_lacking = sum(media[f.path].duration_s or 0.0 for f in lacking)
    names = "; ".join(f"{m} {card.name}" for m, card in extractors.cards.items())
    lines = [f"features: {names}; {len(files) - len(lacking)} of {len(files)} files are in {cache.folder}"]
    inputs = {m: InputSpec("features", (card.dim,)) for m, card in extractors.cards.items()}
    if lacking:
        tried = min(lacking, key=lambda f: abs((media[f.path].duration_s or 1e9) - 5.0))
        for _ in range(2):  # the first one warms up
            started = time.perf_counter()
            extract_file(tried.path, extractors, timeout_s=plan.features.timeout_s, may_be_empty=True)
        speed = max(media[tried.path].duration_s or 1.0, 0.1) / (time.perf_counter() - started)
        size = of_lacking / SNIPPET_S * sum(card.dim for card in extractors.cards.values()) * 4
        lines.append(
            f"  extract {len(lacking)} files, {describe_seconds(of_lacking)} of video: about "
            f"{describe_seconds(of_lacking / speed)} at {speed:.1f}x real time (one file alone, {tried.path.name}), "
            f"{size / 1e6:.1f} MB"
        )
    return seconds, inputs, lines


def _network(
    plan: Plan,
    index: RecordingIndex,
    inputs: Mapping[str, InputSpec],
    seconds: Mapping[str, float],
    device: torch.device,
) -> list[str]:
    grid = create_grid(plan.snippets, {m: spec.kind for m, spec in inputs.items()})
    network = create_model(plan.model, grid, len(index.classes), inputs).to(device)
    n_parameters = sum(p.numel() for p in network.parameters())
    n_bags, size = len(index.of("train")), plan.batch_size
    mean_s = float(np.mean(list(seconds.values()))) if seconds else grid.window_s
    n_snippets = max(round((grid.stretch_s or mean_s) / grid.hop_s) - grid.hops_per_window + 1, 1)
    n_snippets = min(n_snippets, plan.snippets.max_snippets or n_snippets)
    bag = [_random_bag(grid, inputs, n_snippets) for _ in range(min(size, max(n_bags, 1)))]
    bags = collate(bag, 4).to(device)
    timed = []
    for _ in range(3):
        started = time.perf_counter()
        output = network(bags)
        (output.joint_logit.sum() + sum(x.sum() for x in output.logit.values())).backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        timed.append(time.perf_counter() - started)
    n_steps = -(-n_bags // size) * plan.epochs
    batch = sum(x.numel() * x.element_size() for x in bags.x.values())
    teacher = " and as much again for the unimodal teacher" if plan.has_teacher else ""
    return [
        f"network: {n_parameters:,} parameters ({n_parameters * BYTES_OF_PARAMETER / 1e6:.0f} MB with gradients and "
        f"optimizer{teacher}); a batch of {len(bag)} bags of about {n_snippets} snippets is {batch / 1e6:.1f} MB",
        f"train: {plan.epochs} epochs, {n_steps} steps, about {describe_seconds(n_steps * min(timed[1:]))} of "
        f"forward and backward passes on {device}{teacher}; losses, validation and the linear baseline come on top",
    ]


def _random_bag(grid: SnippetGrid, inputs: Mapping[str, InputSpec], n_snippets: int) -> BagSample:
    rng, n_hops = np.random.default_rng(0), n_snippets + grid.hops_per_window - 1
    x = {
        m: rng.standard_normal((n_hops * grid.frames_per_hop[m], *spec.shape)).astype(np.float32)
        for m, spec in inputs.items()
    }
    return BagSample(x, n_snippets, np.zeros(1, np.float32), 0)


def describe_seconds(seconds: float) -> str:
    """In words.

    Example:
        >>> describe_seconds(5400), describe_seconds(0.4)
        ('1.5 h', '0.4 s')
    """
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
