"""What a run's embeddings are like: spread, alignment, hardness, and how many hard negatives are false; with pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from mmcl.data.bags import BagDataset, collate
from mmcl.data.streams import snippet_truth
from mmcl.errors import InputError
from mmcl.figures import COLOURS, INK, new_axes, png
from mmcl.losses.diagnostics import (
    alignment,
    false_negatives,
    histograms,
    isotropy,
    similarities,
    tolerance,
    uniformity,
)
from mmcl.losses.rows import unit
from mmcl.models.build import clock_of
from mmcl.presets import RECOGNITION
from mmcl.storage import write_json, write_whole
from mmcl.tasks import TASKS
from mmcl.training.folder import data_of, device_of, load_network
from mmcl.training.step import of_recordings
from mmcl.types import Clock, Recording

MOST = 2000  # rows; of more, evenly spread ones


@dataclass(frozen=True)
class Rows:
    """``projection[m] (row, dim)``, ``label (row,)``, ``index (row,)``: what is contrasted with what. noun: what a row is."""

    projection: Mapping[str, Tensor]
    label: Tensor
    index: Tensor
    noun: str


@torch.no_grad()
def rows_of(
    network: nn.Module, recordings: Sequence[Recording], clock: Clock, whole: bool, device="cpu"
) -> Rows:
    """whole: a row is a recording, labelled by its class, else a snippet, labelled by whether an event is there."""
    data = BagDataset(recordings, clock, strength=0.0)
    kept: dict[str, list[Tensor]] = {}
    labels: list[np.ndarray] = []
    for start in range(0, len(recordings), 16):
        number = range(start, min(start + 16, len(recordings)))
        bags = collate([data[-1, i] for i in number]).to(device)
        encoded = network(bags)
        if whole:
            made = of_recordings(encoded.projection, bags.mask)
            labels += [np.array([int(data.labels[i].argmax())]) for i in number]
        else:
            made = {m: z[bags.mask] for m, z in encoded.projection.items()}
            labels += [
                snippet_truth(recordings[i], clock, int(bags.mask[k].sum())) for k, i in enumerate(number)
            ]
        for m, z in made.items():
            kept.setdefault(m, []).append(z.float().cpu())
    label = torch.from_numpy(np.concatenate(labels).astype(np.int64))
    step = max(-(-len(label) // MOST), 1)
    projection = {m: torch.cat(v)[::step] for m, v in kept.items()}
    return Rows(
        projection, label[::step], torch.arange(len(label))[::step], "recording" if whole else "snippet"
    )


def figures_of(rows: Rows) -> dict[str, float]:
    """Every diagnostic by name, of the first two modalities."""
    first, second = list(rows.projection)[:2]
    a, b = rows.projection[first], rows.projection[second]
    made: dict[str, Tensor] = {"alignment": alignment(a, b)}
    for m, z in rows.projection.items():
        made[f"uniformity, {m}"] = uniformity(z)
        made[f"tolerance, {m}"] = tolerance(z, rows.label)
        made[f"isotropy, {m}"] = isotropy(z)
        made[f"effective dimensions, {m}"] = effective_dimensions(z)
    made |= {k: v for k, v in similarities(rows.projection, rows.index).items() if "cosine" in k}
    made |= false_negatives(a, b, rows.label)
    return {k: float(v) for k, v in made.items()}


def effective_dimensions(z: Tensor) -> Tensor:
    """``exp`` of the entropy of the covariance's eigenvalues: in how many directions embeddings spread."""
    share = spectrum(z)
    return (-(share * share.clamp(min=1e-12).log()).sum()).exp()


def spectrum(z: Tensor) -> Tensor:
    """The covariance's eigenvalues of unit rows, largest first, adding up to 1."""
    u = unit(z)
    value = torch.linalg.svdvals(u - u.mean(0)).square()
    return value / value.sum().clamp(min=1e-12)


def picture(rows: Rows) -> bytes:
    """Cosines of pairs, false negatives by hardness, the spectrum, and a map by the first two principal components."""
    names = list(rows.projection)[:2]
    a, b = (rows.projection[m] for m in names)
    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = new_axes(figure, (2, 2, 1))
    for k, (name, count) in enumerate(histograms(rows.projection, rows.index).items()):
        edges = np.linspace(-1, 1, len(count) + 1)
        axes.stairs(
            (count / count.sum().clamp(min=1)).numpy(), edges, color=COLOURS[k], label=name, linewidth=1.5
        )
    axes.legend(fontsize=8, frameon=False)
    _titles(axes, "cosines of pairs", "cosine", "share")

    axes = new_axes(figure, (2, 2, 2))
    cosine, same = unit(a) @ unit(b).T, rows.label[:, None] == rows.label[None, :]
    other = ~torch.eye(len(a), dtype=torch.bool)
    order = cosine[other].argsort(descending=True)
    false = same[other][order].float()
    cuts = np.unique(np.geomspace(1, len(false), 40).astype(int))
    so_far = (false.cumsum(0) / torch.arange(1, len(false) + 1)).numpy()
    axes.plot(100 * cuts / len(false), 100 * so_far[cuts - 1], color=COLOURS[0], linewidth=1.5)
    axes.axhline(100 * float(false.mean()), color=INK, linewidth=0.7, linestyle=":")
    axes.set_xscale("log")
    _titles(axes, "negatives that are false: of one class in truth", "hardest so many %", "%")

    axes = new_axes(figure, (2, 2, 3))
    for k, m in enumerate(names):
        share = spectrum(rows.projection[m])
        axes.plot(np.arange(1, len(share) + 1), share.numpy(), color=COLOURS[k], label=m)
    axes.set_yscale("log")
    axes.legend(fontsize=8, frameon=False)
    _titles(axes, "spectrum: a cliff is a collapse", "dimension", "share of variance")

    axes = new_axes(figure, (2, 2, 4))
    both = torch.cat([unit(a), unit(b)])
    centred = both - both.mean(0)
    at = (centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:2].T).numpy()
    for k, m in enumerate(names):
        part = at[k * len(a) : (k + 1) * len(a)]
        axes.scatter(
            *part.T, c=rows.label.numpy(), cmap="turbo", s=9, marker="o+"[k], linewidths=0.8, label=m
        )
    axes.legend(fontsize=8, frameon=False)
    _titles(axes, f"{rows.noun}s by principal components, coloured by class", "", "")
    return png(figure)


def _titles(axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    axes.set_xlabel(x, fontsize=8, color=INK)
    axes.set_ylabel(y, fontsize=8, color=INK)


def diagnose(
    run: Path, out: Path | None = None, part: str = "test", data: Path | None = None, device: str = "cpu"
) -> dict[str, float]:
    """Writes diagnosis.json and diagnosis.png into ``out`` (the run's folder, if left out); returns the figures."""
    where = device_of(device)
    network, config, _ = load_network(run, to_score=False)
    if len(config.bags.modalities) < 2:
        raise InputError(f"{run}: has one stream alone, {config.bags.modalities[0]}; pairs need two")
    recordings = getattr(TASKS[config.task](data or data_of(run), config, (part,)), part)
    whole = config.task in RECOGNITION
    if not recordings:
        raise InputError(f"{run}: this run has no {part} part")
    if not whole and not any(r.intervals for r in recordings):
        raise InputError(
            f"{run}: no events of its {part} part are known, so that nothing tells what is alike"
        )
    rows = rows_of(network.to(where), recordings, clock_of(config), whole, where)
    figures, folder = figures_of(rows), out or run
    write_json(folder / "diagnosis.json", {"rows": len(rows.label), "a row is a": rows.noun, **figures})
    image = picture(rows)
    write_whole(folder / "diagnosis.png", lambda file: file.write_bytes(image))
    return figures
