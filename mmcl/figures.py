"""Pictures: timelines of scores and curves of training, as PNG bytes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmcl.storage import printable
from mmcl.types import Timeline

INK, EVENT, GRID = "#1f2933", "#f2b8a0", "#d9dee3"
COLOURS = ("#0b6e99", "#b5541c", "#4d7c0f", "#7b3fa0", "#8a6d00")


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # names in scripts that the font lacks
        figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()


def new_axes(figure: Figure, position: tuple[int, int, int], **options: Any):
    axes = figure.add_subplot(*position, **options)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.tick_params(colors=INK, labelsize=8)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def timeline_figure(timeline: Timeline, threshold: float = 0.5) -> bytes:
    """Scores over time, joint and per modality, above the truth where it is known.

    Of several classes, those that reach the five highest scores somewhere are drawn.
    """
    rows = {"joint": timeline.score, **timeline.modality_score}
    figure = Figure(figsize=(10, 1.1 + 1.1 * len(rows)), layout="constrained")
    centre = (timeline.start_s + timeline.end_s) / 2
    classes = sorted(range(len(timeline.classes)), key=lambda c: -timeline.score[:, c].max())[:5]
    for i, (name, score) in enumerate(rows.items()):
        axes = new_axes(figure, (len(rows), 1, i + 1))
        for interval in timeline.intervals:
            end_s = min(interval.end_s, float(timeline.end_s[-1]))  # some annotations outlast their file
            if interval.is_event and interval.start_s < end_s:
                axes.axvspan(interval.start_s, end_s, color=EVENT, linewidth=0, alpha=0.8)
                if i == 0:
                    middle = (interval.start_s + end_s) / 2
                    axes.text(middle, 1.04, interval.name, ha="center", va="bottom", fontsize=7, color=INK)
        for k, c in enumerate(classes):
            width = 1.6 if name == "joint" else 1.1
            axes.plot(
                centre,
                score[:, c],
                color=COLOURS[k],
                linewidth=width,
                marker="." if len(centre) < 3 else "",
                label=timeline.classes[c],
            )
        if len(timeline.classes) == 1:
            axes.axhline(threshold, color=INK, linewidth=0.6, linestyle=":")
        elif i == 0:
            axes.legend(fontsize=7, ncols=5, frameon=False, loc="upper left", bbox_to_anchor=(0, 1.25))
        axes.set_ylim(0, 1.02)
        axes.set_xlim(0, float(timeline.end_s[-1]))
        axes.set_ylabel(name, fontsize=9, color=INK)
        if i < len(rows) - 1:
            axes.tick_params(labelbottom=False)
        else:
            axes.set_xlabel("seconds", fontsize=9, color=INK)
    figure.suptitle(
        f"{printable(timeline.name)}: score of each snippet"
        + (", true events shaded" if timeline.intervals else ""),
        fontsize=10,
        color=INK,
        x=0.01,
        ha="left",
        parse_math=False,
    )
    return png(figure)


def strip_figure(timeline: Timeline, threshold: float, width: int, height: int) -> np.ndarray:
    """``(height, width, 3)`` uint8: the highest joint score over time, edge to edge, on dark."""
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor="#15191d")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.axis("off")
    axes.set_xlim(0, float(timeline.end_s[-1]))
    axes.set_ylim(-0.03, 1.03)
    edges = [*timeline.start_s, timeline.end_s[-1]]
    axes.stairs(timeline.score.max(1), edges, color="#4fb3d9", linewidth=1.4, fill=False, baseline=None)
    axes.axhline(threshold, color="#9aa5b1", linewidth=0.7, linestyle=":")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def curves_figure(
    history: Sequence[Mapping[str, float]], groups: Mapping[str, Sequence[str]], best_epoch: int | None
) -> bytes:
    """One panel a group of figures over epochs, the selected epoch marked."""
    n_rows = -(-len(groups) // 2)
    figure = Figure(figsize=(10, 3.1 * n_rows), layout="constrained")
    epochs = [h["epoch"] for h in history]
    for i, (title, names) in enumerate(groups.items()):
        axes = new_axes(figure, (n_rows, 2, i + 1))
        for k, name in enumerate(names):
            # a weighted loss may begin later in the run
            values = [float("nan") if h.get(name) is None else h[name] for h in history]
            style = "-" if k < len(COLOURS) else "--"
            label = _short(name, title)
            axes.plot(epochs, values, style, color=COLOURS[k % len(COLOURS)], linewidth=1.4, label=label)
        if best_epoch:
            axes.axvline(best_epoch, color=INK, linewidth=0.6, linestyle=":")
        axes.set_title(title, fontsize=9, color=INK, loc="left")
        axes.set_xlabel("epoch", fontsize=8, color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(names) > 1:
            axes.legend(fontsize=7, frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.18))
    return png(figure)


def histograms_figure(histograms: Sequence[Mapping[str, Sequence[float]]]) -> bytes:
    """One panel a kind of pair: how its cosines are spread (up) from epoch to epoch (across)."""
    names = list(histograms[0])
    figure = Figure(figsize=(10, 3.1), layout="constrained")
    for i, name in enumerate(names):
        axes = new_axes(figure, (1, len(names), i + 1))
        share = np.array([np.asarray(h[name]) / max(sum(h[name]), 1) for h in histograms]).T
        extent = (0.5, len(histograms) + 0.5, -1.0, 1.0)
        axes.imshow(
            share, origin="lower", aspect="auto", extent=extent, cmap="Blues", interpolation="nearest"
        )
        axes.set_title(name, fontsize=9, color=INK, loc="left")
        axes.set_xlabel("epoch", fontsize=8, color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return png(figure)


def _short(name: str, title: str) -> str:
    """A figure's name without what its panel's title says already."""
    return (
        name.removeprefix(title)
        .removeprefix("loss ")
        .removeprefix("mil ")
        .removeprefix("contrast ")
        .lstrip(", ")
        or "joint"
    )
