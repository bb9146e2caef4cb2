"""Pictures of experiments: a comparison of objectives, and what embeddings are like."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmcl.evaluation.diagnostics import cosine_histograms, spectrum
from mmcl.experiments.comparison import Comparison
from mmcl.experiments.diagnose import EmbeddingSample
from mmcl.reporting.plots import COLORS, INK, new_axes, png
from mmcl.types import l2_normalize


def plot_comparison(comparison: Comparison) -> bytes:
    """A dot a seed, a bar the mean, in the order of the means.

    Args:
        comparison: Of two objectives or more.

    Returns:
        A PNG image.
    """
    values = comparison.values
    order = sorted(values, key=lambda k: float(np.mean(values[k])))
    figure = Figure(figsize=(8, 1.2 + 0.24 * len(order)), layout="constrained")
    axes = new_axes(figure, (1, 1, 1))
    for y, name in enumerate(order):
        x = np.asarray(values[name])
        color = COLORS[1] if name == comparison.baseline else COLORS[0]
        axes.plot(x, np.full(len(x), y), "o", color=color, markersize=4, alpha=0.6)
        axes.plot([x.mean()] * 2, [y - 0.35, y + 0.35], color=color, linewidth=2)
    base = float(np.mean(values[comparison.baseline]))
    axes.axvline(base, color=INK, linewidth=0.6, linestyle=":")
    axes.set_yticks(range(len(order)), order, fontsize=8)
    axes.set_ylim(-0.7, len(order) - 0.3)
    axes.set_xlabel(f"{comparison.metric}, {comparison.split}", fontsize=9, color=INK)
    return png(figure)


def plot_embeddings(sample: EmbeddingSample) -> bytes:
    """Cosines of pairs, false negatives by hardness, the spectrum, and a map by the first two principal components.

    Args:
        sample: Of at least two modalities; the first two are drawn.

    Returns:
        A PNG image.
    """
    figure = Figure(figsize=(11, 7), layout="constrained")
    _plot_cosines(new_axes(figure, (2, 2, 1)), sample)
    _plot_false_negatives(new_axes(figure, (2, 2, 2)), sample)
    _plot_spectrum(new_axes(figure, (2, 2, 3)), sample)
    _plot_map(new_axes(figure, (2, 2, 4)), sample)
    return png(figure)


def _plot_cosines(axes: Axes, sample: EmbeddingSample) -> None:
    for k, (name, count) in enumerate(cosine_histograms(sample.projection, sample.index).items()):
        edges = np.linspace(-1, 1, len(count) + 1)
        share = (count / count.sum().clamp(min=1)).numpy()
        axes.stairs(share, edges, color=COLORS[k], label=name, linewidth=1.5)
    axes.legend(fontsize=8, frameon=False)
    _set_titles(axes, "cosines of pairs", "cosine", "share")


def _plot_false_negatives(axes: Axes, sample: EmbeddingSample) -> None:
    a, b = list(sample.projection.values())[:2]
    cosine, same = l2_normalize(a) @ l2_normalize(b).T, sample.label[:, None] == sample.label[None, :]
    other = ~torch.eye(len(a), dtype=torch.bool)
    order = cosine[other].argsort(descending=True)
    false = same[other][order].float()
    cuts = np.unique(np.geomspace(1, len(false), 40).astype(int))
    so_far = (false.cumsum(0) / torch.arange(1, len(false) + 1)).numpy()
    axes.plot(100 * cuts / len(false), 100 * so_far[cuts - 1], color=COLORS[0], linewidth=1.5)
    axes.axhline(100 * float(false.mean()), color=INK, linewidth=0.7, linestyle=":")
    axes.set_xscale("log")
    _set_titles(axes, "negatives that are false: of one class in truth", "the hardest so many %", "%")


def _plot_spectrum(axes: Axes, sample: EmbeddingSample) -> None:
    for k, m in enumerate(list(sample.projection)[:2]):
        share = spectrum(sample.projection[m])
        axes.plot(np.arange(1, len(share) + 1), share.numpy(), color=COLORS[k], label=m)
    axes.set_yscale("log")
    axes.legend(fontsize=8, frameon=False)
    _set_titles(axes, "spectrum: a cliff is a collapse", "dimension", "share of variance")


def _plot_map(axes: Axes, sample: EmbeddingSample) -> None:
    names = list(sample.projection)[:2]
    a, b = (l2_normalize(sample.projection[m]) for m in names)
    both = torch.cat([a, b])
    centred = both - both.mean(0)
    at = (centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:2].T).numpy()
    for k, m in enumerate(names):
        x, y = at[k * len(a) : (k + 1) * len(a)].T
        axes.scatter(x, y, c=sample.label.numpy(), cmap="turbo", s=9, marker="o+"[k], linewidths=0.8, label=m)
    axes.legend(fontsize=8, frameon=False)
    _set_titles(axes, f"{sample.unit}s by principal components, coloured by class", "", "")


def _set_titles(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    axes.set_xlabel(x, fontsize=8, color=INK)
    axes.set_ylabel(y, fontsize=8, color=INK)
