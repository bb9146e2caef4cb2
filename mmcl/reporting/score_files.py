"""Scores of recordings as files: JSON, CSV, a picture, and of videos a page."""

from __future__ import annotations

import csv
import importlib
import io
import json
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mmcl.errors import FileError
from mmcl.evaluation.events import EventRule, find_events
from mmcl.evaluation.recognition import recording_score
from mmcl.inference.score_each import ScoredRecording
from mmcl.io import atomic_write, check_writable, place_below, printable, write_json
from mmcl.media.still import still
from mmcl.reporting.score_index import PAGE, check_index, describe_row, failed_row, write_index
from mmcl.reporting.score_page import write_page
from mmcl.types import SnippetScores

TIMES = ("start_s", "end_s")
ENDINGS = ("json", "csv", "png", "html", "jpg")  # of a recording's files


@dataclass(frozen=True)
class PageOptions:
    """What is written of scored videos beside JSON, CSV and picture.

    Example:
        >>> PageOptions().embed_mb
        30.0
    """

    page: bool = True
    """Write NAME.html of each video, and index.html of all recordings."""
    embed_mb: float = 30.0
    """A video of at most so many megabytes is put into its page; others are referred to."""
    overlay: bool = False
    """Also write NAME-scored.mp4, the video with its scores drawn under the picture."""


@dataclass(frozen=True)
class ScoreFiles:
    """Writes scores; a ``ScoreWriter``.

    Attributes:
        folder: For NAME.json, NAME.csv and NAME.png; None = no files.
        rule: What an event is.
        lines: One JSON object a recording on standard output; messages go to standard error.
        multiclass: Classes exclude each other.
        pages: Of videos.
        timeout_s: Seconds without progress after which a video's decoder is given up.

    Example:
        >>> ScoreFiles(None).place
        ''
    """

    folder: Path | None
    rule: EventRule = field(default_factory=EventRule)
    lines: bool = False
    multiclass: bool = False
    pages: PageOptions = field(default_factory=PageOptions)
    timeout_s: float = 60.0
    rows: list[dict[str, Any]] = field(default_factory=list, init=False, compare=False)
    highest: list[float] = field(default_factory=list, init=False, compare=False)  # score of each recording

    @property
    def place(self) -> str:
        """Where results are, for a message."""
        if self.folder is None:
            return ""
        return f" into {self.folder}" + (f"; all: {self.folder / PAGE}" if self.pages.page else "")

    def prepare(self) -> None:
        """Raises FileError where the folder cannot be written, or holds another index."""
        if self.folder is not None:
            # matplotlib takes most of a second to import; the first recording is decoded meanwhile
            threading.Thread(target=importlib.import_module, args=("mmcl.reporting.plots",), daemon=True).start()
            check_writable(self.folder)
            if self.pages.page:
                check_index(self.folder)

    def finish(self, failures: Mapping[str, str]) -> None:
        """Write the page of all recordings.

        Args:
            failures: What is wrong with each recording that was not scored, by name.
        """
        rows = [*self.rows, *(failed_row(name, problem) for name, problem in failures.items())]
        if self.folder is not None and self.pages.page and rows:
            write_index(self.folder, rows)
        if not self.multiclass and self.highest and max(self.highest) < self.rule.high:
            self.log(
                f"no event in any of them: the highest score is {max(self.highest):.2f}, and events reach --threshold "
                f"{self.rule.high:g}; a lower one finds more and raises more false alarms"
            )

    def log(self, text: str) -> None:
        """Show a line beside the progress bar."""
        tqdm.write(printable(text), file=sys.stderr if self.lines else sys.stdout)

    def write(self, scored: ScoredRecording) -> str:
        """Write a recording's files, each whole.

        Args:
            scored: A recording's scores.

        Returns:
            A line that sums them up.

        Raises:
            FileError: A file cannot be written.
        """
        scores = scored.scores
        self.highest.append(float(scores.score.max()))
        content = {**to_json(scores, self.rule, self.multiclass), **scored.metadata}
        if self.lines:
            sys.stdout.write(json.dumps(content, allow_nan=False) + "\n")
            sys.stdout.flush()
        if self.folder is not None:
            self._write_files(scored, self.folder, content)
        return summarize(scores, self.rule, self.multiclass)

    def _write_files(self, scored: ScoredRecording, folder: Path, content: Mapping[str, Any]) -> None:
        from mmcl.reporting.plots import draw_scores, png

        scores, rule = scored.scores, self.rule
        if self.pages.page and scores.name == Path(PAGE).stem:
            raise FileError(scores.name, "has the name of the page of all recordings", "rename it")
        place = {ending: place_below(folder, f"{scores.name}.{ending}") for ending in ENDINGS}
        overlaid = [place_below(folder, f"{scores.name}-scored.mp4")] if self.pages.overlay else []
        check_replaceable(place["json"], [*place.values(), *overlaid])
        write_json(place["json"], content)
        text = to_csv(scores)
        atomic_write(place["csv"], lambda path: path.write_text(text))
        picture = png(draw_scores(scores, rule.high))
        atomic_write(place["png"], lambda path: path.write_bytes(picture))
        files = {"json", "csv", "png"}
        if scored.media is not None:
            overlay = poster = None
            if self.pages.overlay and scored.has_picture:
                from mmcl.reporting.overlay import write_overlay

                overlay = write_overlay(scored.media, scores, folder, rule, self.timeout_s, self.multiclass)
            if self.pages.page and scored.has_picture:
                top = int(scores.score.max(1).argmax())
                poster = still(scored.media, float(scores.start_s[top] + scores.end_s[top]) / 2)
            if poster is not None:
                atomic_write(place["jpg"], lambda path: path.write_bytes(poster))
                files.add("jpg")
            if self.pages.page:
                more = (self.pages.embed_mb, overlay, poster)
                write_page(scored.media, scores, folder, rule, *more, multiclass=self.multiclass)
                files.add("html")
        self.rows.append(describe_row(scored, rule, self.multiclass, files))


def check_replaceable(scores: Path, files: Sequence[Path]) -> None:
    """Results replace earlier results, and no other files of their names.

    Args:
        scores: The JSON file with a recording's scores.
        files: It and those beside it.

    Raises:
        FileError: One is there, and the JSON file holds no scores.
    """
    there = [path for path in files if path.exists()]
    if not there:
        return
    try:
        content = json.loads(scores.read_text())
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or not {"rule", "snippets"} <= content.keys():
        raise FileError(there[0], "is there, and holds no earlier scores", "choose another --out")


def summarize(scores: SnippetScores, rule: EventRule, multiclass: bool) -> str:
    """One line: the class, or the number of events and the highest score.

    Args:
        scores: Of a recording.
        rule: What an event is.
        multiclass: Classes exclude each other.
    """
    if multiclass:
        of_classes = scores.mean_bag_score
        best = int(of_classes.argmax())
        return f"{scores.name}: {scores.classes[best]} ({of_classes[best]:.2f})"
    top = scores.score.max(1)
    n = len(find_events(scores, rule))
    at = (scores.start_s[top.argmax()] + scores.end_s[top.argmax()]) / 2  # as an event's peak
    return f"{scores.name}: {n} event{'s' * (n != 1)}, highest score {top.max():.2f} at {at:.1f} s"


def to_csv(scores: SnippetScores) -> str:
    """A header and a line a snippet: start_s, end_s, the joint score, one a modality (of several classes, each).

    Args:
        scores: Of a recording.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    columns = score_columns(scores)
    writer.writerow(columns)
    digits = [3 if name in TIMES else 6 for name in columns]
    for row in zip(*columns.values(), strict=True):
        writer.writerow([f"{v:.{d}f}" for v, d in zip(row, digits, strict=True)])
    return text.getvalue()


def score_columns(scores: SnippetScores) -> dict[str, np.ndarray]:
    """The columns of a table of snippets: start_s, end_s, the joint score, one a modality (of several classes, each).

    Args:
        scores: Of a recording.
    """
    columns = dict(zip(TIMES, (scores.start_s, scores.end_s), strict=True))
    for name, score in {"joint": scores.score, **scores.modality_score}.items():
        for k, label in enumerate(scores.classes):
            columns[name if len(scores.classes) == 1 else f"{name} {label}"] = score[:, k]
    return columns


def to_json(scores: SnippetScores, rule: EventRule, multiclass: bool = False) -> dict[str, Any]:
    """What NAME.json holds: the recording's score, events, and every snippet's scores.

    Args:
        scores: Of a recording.
        rule: What an event is.
        multiclass: Classes exclude each other; then the recording's score is the mean of the heads, and there are no
            events: a recording shows one class.
    """
    of_recording = recording_score(scores, multiclass)
    snippets = [
        {
            "start_s": round(float(scores.start_s[i]), 3),
            "end_s": round(float(scores.end_s[i]), 3),
            "joint": [round(float(v), 6) for v in scores.score[i]],
            **{m: [round(float(v), 6) for v in s[i]] for m, s in scores.modality_score.items()},
        }
        for i in range(len(scores.score))
    ]
    of_rule = find_events(scores, rule, multiclass)
    events = [{k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(e).items()} for e in of_rule]
    return {
        "name": scores.name,
        "classes": list(scores.classes),
        "multiclass": multiclass,
        "recording": dict(zip(scores.classes, (round(float(v), 6) for v in of_recording), strict=True)),
        "rule": asdict(rule),
        "events": events,
        "snippets": snippets,
    }
