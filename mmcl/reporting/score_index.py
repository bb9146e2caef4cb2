"""One page of all recordings in a folder of results: a row each, with its curve, events and problems."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np

from mmcl.errors import FileError
from mmcl.evaluation.events import EventRule, find_events
from mmcl.inference.score_each import ScoredRecording
from mmcl.io import atomic_write, place_below, printable

PAGE = "index.html"
ROWS = re.compile(r'<script type="application/json" id="content">(.*?)</script>', re.DOTALL)
N_POINTS = 100  # of a row's curve


def describe_row(scored: ScoredRecording, rule: EventRule, multiclass: bool, files: Iterable[str]) -> dict[str, Any]:
    """A recording's row.

    Args:
        scored: Its scores.
        rule: What an event is.
        multiclass: Classes exclude each other.
        files: Endings of the files that were written of it.
    """
    s, there = scored.scores, set(files)
    top, end_s = s.score.max(1), float(s.end_s[-1])
    edges = np.linspace(0, len(top), min(N_POINTS, len(top)) + 1).astype(int)[:-1]
    events = find_events(s, rule, multiclass)
    page = next((ending for ending in ("html", "png") if ending in there), "")
    return {
        "name": printable(s.name),
        "page": quote(f"{s.name}.{page}".encode("utf-8", "surrogateescape")) if page else "",
        "image": quote(f"{s.name}.jpg".encode("utf-8", "surrogateescape")) if "jpg" in there else "",
        "label": s.classes[int(s.mean_bag_score.argmax())] if multiclass else "",
        "seconds": round(end_s, 3),
        "top": round(float(top.max()), 4),
        "n_events": len(events),
        "events": [[round(e.start_s / end_s, 4), round(e.end_s / end_s, 4)] for e in events],
        "curve": [round(100 * float(v)) for v in np.maximum.reduceat(top, edges)],
        "problems": [printable(note.removeprefix(f"{scored.media}: ")) for note in scored.notes],
    }


def failed_row(name: str, problem: str) -> dict[str, Any]:
    """The row of a recording that was not scored.

    Args:
        name: Of the recording.
        problem: Why.
    """
    none = dict.fromkeys(("seconds", "top", "n_events"))
    texts = {"name": printable(name), "page": "", "image": "", "label": ""}
    return {**texts, **none, "events": [], "curve": [], "problems": [printable(problem)]}


def write_index(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write the page and its rows; rows of earlier jobs into the folder stay where no new one is of their name.

    Args:
        folder: Of the results.
        rows: Of this job.

    Returns:
        The page.

    Raises:
        FileError: It cannot be written.
    """
    by_name = {row["name"]: row for row in (*_earlier(folder), *rows)}
    kept = list(by_name.values())
    environment = jinja2.Environment(autoescape=True)
    template = environment.from_string((Path(__file__).parent / "templates" / "score_index.html.jinja").read_text())
    html = template.render(rows=kept, title=printable(f"Scores: {folder.resolve().name}"))
    page = place_below(folder, PAGE)
    atomic_write(page, lambda file: file.write_text(html, encoding="utf-8", errors="replace"))
    return page


def check_index(folder: Path) -> None:
    """An index replaces an earlier one, and no other file of its names.

    Args:
        folder: Of the results.

    Raises:
        FileError: Another file is there.
    """
    if (folder / PAGE).exists() and not _earlier(folder):
        raise FileError(folder / PAGE, "is there, and is no earlier index of scores", "choose another --out")


def _earlier(folder: Path) -> list[Mapping[str, Any]]:
    """Rows that are there; a file that somebody else wrote holds none."""
    path = folder / PAGE
    if not path.is_file():
        return []
    try:
        match = ROWS.search(path.read_text(encoding="utf-8"))
        rows = json.loads(match[1]) if match else None
    except (OSError, ValueError, RecursionError):
        return []
    expected = failed_row("", "").keys()
    return [r for r in rows if isinstance(r, dict) and r.keys() == expected] if isinstance(rows, list) else []
