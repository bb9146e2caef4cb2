"""A moving picture (WebP) of a scored video, as in the README.

    python tools/moving_picture.py MODEL VIDEO --out docs/images/demo.webp

The video plays above its scores, joint and of each modality, which grow with it; during an event its frame is red.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from matplotlib.figure import Figure
from PIL import Image

import mmcl
from mmcl.api import Scores
from mmcl.io import atomic_write
from mmcl.media.snippets import read_snippets

FPS = 24  # of snippets' frames
COLORS = {"joint": "#e23c28", "visual": "#4fb3d9", "audio": "#e0a33e"}
DARK, PALE = "#15191d", "#9aa5b1"


@dataclass(frozen=True)
class MovingPicture:
    """Draw a scored video as an animated WebP."""

    model: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """A run's folder or a shared model's."""
    video: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="VIDEO")]
    """A video that it scores."""
    out: Path = Path("scored.webp")
    """File to write."""
    threshold: float = 0.5
    """Of events."""
    step: int = 3
    """Frames at 24 a second that one is drawn of."""
    width: int = 560
    """Pixels."""
    max_kb: int = 1000
    """Refuse a larger picture."""


def draw_curves(scores: Scores, threshold: float, now_s: float, width: int, height: int) -> Image.Image:
    """The curves up to a moment."""
    s = scores.snippets
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor=DARK)
    axes = figure.add_axes((0.06, 0.16, 0.92, 0.74))
    axes.set_facecolor(DARK)
    heads = {**{m: x.max(1) for m, x in s.modality_score.items()}, "joint": s.score.max(1)}
    for name, curve in heads.items():
        shown = np.where(s.start_s < now_s, curve, np.nan)
        middle = (s.start_s + s.end_s) / 2
        axes.plot(middle, shown, color=COLORS.get(name, PALE), linewidth=2.2 if name == "joint" else 1.2, label=name)
    for event in scores.events(threshold):
        if event.start_s < now_s:
            axes.axvspan(event.start_s, min(event.end_s, now_s), color=COLORS["joint"], alpha=0.18, linewidth=0)
    axes.axhline(threshold, color=PALE, linewidth=0.8, linestyle=":")
    axes.axvline(now_s, color="white", linewidth=1)
    axes.set_xlim(0, float(s.end_s[-1]))
    axes.set_ylim(0, 1.02)
    axes.tick_params(colors=PALE, labelsize=7)
    for spine in axes.spines.values():
        spine.set_color("#39424a")
    axes.legend(loc="upper right", fontsize=7, frameon=False, labelcolor=PALE, ncols=len(heads))
    buffer = BytesIO()
    figure.savefig(buffer, format="png", facecolor=DARK)
    return Image.open(buffer).convert("RGB")


def draw_frames(options: MovingPicture) -> list[Image.Image]:
    """Every picture of the animation."""
    scores = mmcl.load(options.model, device="cpu").score(options.video)
    events = scores.events(options.threshold)
    side, pictures, i = round(options.width * 9 / 16), [], 0
    for snippet in read_snippets(options.video, side)[1]:
        if snippet.frames is None:
            sys.exit(f"{options.video}: has no picture")
        for frame in snippet.frames:
            i += 1
            if (i - 1) % options.step:
                continue
            now_s = i / FPS
            page = Image.new("RGB", (options.width, side + 130), DARK)
            picture = Image.fromarray(frame)
            picture.thumbnail((options.width, side))
            left = (options.width - picture.width) // 2
            if any(e.start_s <= now_s < e.end_s for e in events):
                page.paste(COLORS["joint"], (left - 5, 0, left + picture.width + 5, picture.height))
                picture = picture.crop((0, 5, picture.width, picture.height - 5))
                page.paste(picture, (left, 5))
            else:
                page.paste(picture, (left, 0))
            page.paste(draw_curves(scores, options.threshold, now_s, options.width, 130), (0, side))
            pictures.append(page)
    return pictures


def main() -> None:
    """Score, draw, write."""
    options = tyro.cli(MovingPicture, description=__doc__)
    first, *others = draw_frames(options)
    buffer = BytesIO()
    duration_ms = round(1000 * options.step / FPS)
    first.save(buffer, "WEBP", save_all=True, append_images=others, duration=duration_ms, loop=0, quality=60, method=4)
    if buffer.tell() > options.max_kb * 1000:
        sys.exit(f"{buffer.tell() / 1e3:.0f} kB are more than --max-kb {options.max_kb}; raise --step")
    atomic_write(options.out, lambda to: to.write_bytes(buffer.getvalue()))
    print(f"written: {options.out} ({buffer.tell() / 1e3:.0f} kB, {len(others) + 1} pictures)")


if __name__ == "__main__":
    main()
