"""One self-contained HTML page of a scored video: it plays beside its curves, a click on them seeks."""

from __future__ import annotations

import base64
import mimetypes
import os
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

import jinja2
import numpy as np

from mmcl.evaluation.events import EventRule
from mmcl.io import atomic_write, place_below, printable
from mmcl.types import SnippetScores

PLAYABLE = ["mp4", "m4v", "webm", "ogv", "mp3", "wav", "m4a", "ogg", "opus", "flac"]  # what browsers play


def write_page(
    path: Path,
    scores: SnippetScores,
    folder: Path,
    rule: EventRule,
    embed_mb: float,
    overlay: Path | None = None,
    poster: bytes | None = None,
    index: str = "index.html",
    multiclass: bool = False,
) -> Path:
    """Write ``NAME.html``.

    Args:
        path: The media file.
        scores: Of its snippets.
        folder: For the page.
        rule: What an event is.
        embed_mb: The video is put into the page up to so many megabytes, else the page refers to its file.
        overlay: Is shown where browsers do not play the file.
        poster: JPEG that is shown before it plays.
        index: The page of all recordings in the folder, "" = none.
        multiclass: Classes exclude each other, so that there are no events.

    Returns:
        The page's path.
    """
    out = place_below(folder, f"{scores.name}.html")
    is_playable = path.suffix[1:].lower() in PLAYABLE
    shown = path if is_playable or overlay is None else overlay
    note = ""
    if not is_playable:
        note = (
            f"Browsers do not play {path.suffix} files; the copy with the scores drawn in is shown."
            if overlay is not None
            else f"Browsers do not play {path.suffix} files; --overlay makes a copy that they do."
        )
    if shown.stat().st_size <= embed_mb * 1e6 and (is_playable or overlay is not None):
        kind = mimetypes.guess_type(shown.name)[0] or "video/mp4"
        source = f"data:{kind};base64,{base64.b64encode(shown.read_bytes()).decode()}"
    else:
        source = quote(os.fsencode(os.path.relpath(shown.resolve(), out.parent.resolve()).replace(os.sep, "/")))
        note = f"{note} The page refers to the video's file.".strip()
    curves = []
    for name, score in {"joint": scores.score, **scores.modality_score}.items():
        for k, label in enumerate(scores.classes):
            if (
                len(scores.classes) == 1
                or scores.score[:, k].max() >= scores.score.max()
                or score[:, k].max() >= rule.low
            ):
                title = name if len(scores.classes) == 1 else f"{name}, {label}"
                curves.append({"name": title, "score": _rounded(score[:, k], 4)})
    truth = [asdict(t) for t in scores.intervals if t.is_event]
    content = {
        "name": printable(Path(scores.name).name),
        "start_s": _rounded(scores.start_s, 3),
        "end_of_s": _rounded(scores.end_s, 3),
        "curves": curves,
        "joint": [{"name": c, "score": _rounded(scores.score[:, k], 6)} for k, c in enumerate(scores.classes)],
        "multiclass": multiclass,
        "truth": truth,
        "end_s": float(scores.end_s[-1]),
        "high": rule.high,
        "low": rule.low,
        "min_s": rule.min_s,
        "is_playable": is_playable or overlay is not None,
    }
    template = jinja2.Environment(autoescape=True).from_string(
        (Path(__file__).parent / "templates" / "score_page.html.jinja").read_text()
    )
    is_sound = "visual" not in scores.modality_score and path.suffix[1:].lower() not in (
        "mp4",
        "m4v",
        "webm",
        "ogv",
    )
    html = template.render(
        title=printable(scores.name),
        source=source,
        note=note,
        content=content,
        is_sound=is_sound,
        poster="" if poster is None else f"data:image/jpeg;base64,{base64.b64encode(poster).decode()}",
        index="../" * scores.name.count("/") + index if index else "",
    )
    atomic_write(out, lambda file: file.write_text(html, encoding="utf-8", errors="replace"))
    return out


def _rounded(x: np.ndarray, digits: int) -> list[float]:
    return [round(float(v), digits) for v in x]
