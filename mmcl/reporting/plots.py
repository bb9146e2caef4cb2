"""Pictures: curves of scores and curves of training, as PNG bytes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter, MaxNLocator, ScalarFormatter

from mmcl.io import printable
from mmcl.types import SnippetScores

INK, EVENT, GRID = "#1f2933", "#f2b8a0", "#d9dee3"
COLORS = ("#0b6e99", "#b5541c", "#4d7c0f", "#7b3fa0", "#8a6d00")


def png(figure: Figure) -> bytes:
    """A figure as PNG."""
    buffer = io.BytesIO()
    take_literally(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # names in scripts that the font lacks
        tight = "tight" if figure.get_layout_engine() else None  # which draws it twice
        figure.savefig(buffer, format="png", dpi=110, bbox_inches=tight, metadata={"Software": None})
    return buffer.getvalue()


def take_literally(figure: Figure) -> None:
    """No text is a formula: names of classes and files may hold a $. Numbers at ticks may be one, such as 10^2."""
    texts, legends = list(figure.texts), list(figure.legends)
    for axes in figure.axes:
        texts += [child for child in axes.get_children() if isinstance(child, Text)]  # titles, too
        legends += [legend] if (legend := axes.get_legend()) else []
        for axis in (axes.xaxis, axes.yaxis):
            numbers = isinstance(axis.get_major_formatter(), ScalarFormatter | LogFormatter)
            texts += [axis.label, *([] if numbers else axis.get_ticklabels())]
    for text in [*texts, *(text for legend in legends for text in legend.get_texts())]:
        text.set_parse_math(False)


def new_axes(figure: Figure, position: tuple[int, int, int], **options: Any) -> Axes:
    """Axes in the style of all pictures.

    Args:
        figure: Gets the axes.
        position: (rows, columns, number).
        options: Of ``add_subplot``.
    """
    axes = figure.add_subplot(*position, **options)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.tick_params(colors=INK, labelsize=8)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def draw_scores(scores: SnippetScores, threshold: float = 0.5) -> Figure:
    """Scores over time, joint and of each modality, above the truth where it is known.

    Of several classes, those that reach the five highest scores somewhere are drawn.

    Args:
        scores: Of a recording.
        threshold: Is drawn where there is one class.
    """
    rows = {"joint": scores.score, **scores.modality_score}
    height = 1.1 + 1.1 * len(rows)
    figure = Figure(figsize=(10, height))
    figure.subplots_adjust(left=0.06, right=0.99, bottom=0.45 / height, top=1 - 0.6 / height, hspace=0.15)
    centre = (scores.start_s + scores.end_s) / 2
    classes = sorted(range(len(scores.classes)), key=lambda c: -scores.score[:, c].max())[:5]
    for i, (name, curves) in enumerate(rows.items()):
        axes = new_axes(figure, (len(rows), 1, i + 1))
        for interval in scores.intervals:
            end_s = min(interval.end_s, float(scores.end_s[-1]))  # some annotations outlast their file
            if interval.is_event and interval.start_s < end_s:
                axes.axvspan(interval.start_s, end_s, color=EVENT, linewidth=0, alpha=0.8)
                if i == 0:
                    middle = (interval.start_s + end_s) / 2
                    axes.text(middle, 1.04, interval.name, ha="center", va="bottom", fontsize=7, color=INK)
        for k, c in enumerate(classes):
            width = 1.6 if name == "joint" else 1.1
            axes.plot(
                centre,
                curves[:, c],
                color=COLORS[k],
                linewidth=width,
                marker="." if len(centre) < 3 else "",
                label=scores.classes[c],
            )
        if len(scores.classes) == 1:
            axes.axhline(threshold, color=INK, linewidth=0.6, linestyle=":")
        elif i == 0:
            axes.legend(fontsize=7, ncols=5, frameon=False, loc="upper left", bbox_to_anchor=(0, 1.25))
        axes.set_ylim(0, 1.02)
        axes.set_xlim(0, float(scores.end_s[-1]))
        axes.set_ylabel(name, fontsize=9, color=INK)
        if i < len(rows) - 1:
            axes.tick_params(labelbottom=False)
        else:
            axes.set_xlabel("seconds", fontsize=9, color=INK)
    figure.suptitle(
        f"{printable(scores.name)}: score of each snippet" + (", true events shaded" if scores.intervals else ""),
        fontsize=10,
        color=INK,
        x=0.01,
        y=1 - 0.08 / height,
        ha="left",
        parse_math=False,
    )
    return figure


def score_strip(scores: SnippetScores, threshold: float, width: int, height: int) -> np.ndarray:
    """The highest joint score over time, edge to edge, on dark.

    Args:
        scores: Of a recording.
        threshold: Is drawn.
        width: Pixels.
        height: Pixels.

    Returns:
        ``(height, width, 3)`` uint8.
    """
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor="#15191d")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.axis("off")
    axes.set_xlim(0, float(scores.end_s[-1]))
    axes.set_ylim(-0.03, 1.03)
    edges = [*scores.start_s, scores.end_s[-1]]
    axes.stairs(scores.score.max(1), edges, color="#4fb3d9", linewidth=1.4, fill=False, baseline=None)
    axes.axhline(threshold, color="#9aa5b1", linewidth=0.7, linestyle=":")
    take_literally(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def plot_curves(
    history: Sequence[Mapping[str, float]], groups: Mapping[str, Sequence[str]], best_epoch: int | None
) -> bytes:
    """One panel a group of metrics over epochs, the selected epoch marked.

    Args:
        history: Metrics of each epoch.
        groups: Names of the metrics of each panel, by its title.
        best_epoch: The selected one.

    Returns:
        A PNG image.
    """
    n_rows = -(-len(groups) // 2)
    figure = Figure(figsize=(10, 3.1 * n_rows), layout="constrained")
    epochs = [h["epoch"] for h in history]
    for i, (title, names) in enumerate(groups.items()):
        axes = new_axes(figure, (n_rows, 2, i + 1))
        for k, name in enumerate(names):
            # a weighted loss may begin later in the run
            values = [float("nan") if h.get(name) is None else h[name] for h in history]
            style = "-" if k < len(COLORS) else "--"
            label = _short(name, title)
            axes.plot(epochs, values, style, color=COLORS[k % len(COLORS)], linewidth=1.4, label=label)
        if best_epoch:
            axes.axvline(best_epoch, color=INK, linewidth=0.6, linestyle=":")
        axes.set_title(title, fontsize=9, color=INK, loc="left")
        axes.set_xlabel("epoch", fontsize=8, color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(names) > 1:
            axes.legend(fontsize=7, frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.18))
    return png(figure)


def plot_histograms(histograms: Sequence[Mapping[str, Sequence[float]]]) -> bytes:
    """One panel a kind of pair: how its cosines are spread (up) from epoch to epoch (across).

    Args:
        histograms: ``{kind of pair: counts of equal bins from -1 to 1}`` of each epoch.

    Returns:
        A PNG image.
    """
    names = list(histograms[0])
    figure = Figure(figsize=(10, 3.1), layout="constrained")
    for i, name in enumerate(names):
        axes = new_axes(figure, (1, len(names), i + 1))
        share = np.array([np.asarray(h[name]) / max(sum(h[name]), 1) for h in histograms]).T
        extent = (0.5, len(histograms) + 0.5, -1.0, 1.0)
        axes.imshow(share, origin="lower", aspect="auto", extent=extent, cmap="Blues", interpolation="nearest")
        axes.set_title(name, fontsize=9, color=INK, loc="left")
        axes.set_xlabel("epoch", fontsize=8, color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return png(figure)


def _short(name: str, title: str) -> str:
    """A metric's name without what its panel's title says already."""
    return (
        name.removeprefix(title).removeprefix("loss ").removeprefix("mil ").removeprefix("contrast ").lstrip(", ")
        or "joint"
    )
