"""The scores of one recording, with what one does with them."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcl.errors import FileError
from mmcl.evaluation.events import Event, EventRule, find_events
from mmcl.evaluation.recognition import recording_score
from mmcl.inference.score_each import ScoredRecording
from mmcl.reporting.score_files import PageOptions, ScoreFiles, score_columns, summarize, to_json
from mmcl.types import SnippetScores

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Scores:
    """Snippet scores of a recording, what ``Model.score`` returns.

    Attributes:
        scored: Scores, and what is known of the recording.
        multiclass: Classes exclude each other.

    Example:
        >>> import numpy as np
        >>> x = np.arange(3.0)
        >>> of_snippets = np.array([[0.1], [0.9], [0.2]])
        >>> snippets = SnippetScores("clip", x, x + 1, of_snippets, {}, np.array([0.9]), {}, ("fight",))
        >>> scores = Scores(ScoredRecording(snippets))
        >>> scores
        clip: 1 event, highest score 0.90 at 1.5 s
        >>> [(e.start_s, e.end_s) for e in scores.events(threshold=0.5)]
        [(1.0, 2.0)]
        >>> scores.to_pandas().columns.tolist()
        ['start_s', 'end_s', 'joint']
    """

    scored: ScoredRecording
    multiclass: bool = False

    @property
    def snippets(self) -> SnippetScores:
        """Of every snippet, as arrays."""
        return self.scored.scores

    @property
    def name(self) -> str:
        """Of the recording."""
        return self.snippets.name

    @property
    def recording(self) -> Mapping[str, float]:
        """Score of the whole recording by class."""
        of_classes = recording_score(self.snippets, self.multiclass)
        return dict(zip(self.snippets.classes, map(float, of_classes), strict=True))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know: missing streams, other units, what was left out."""
        return self.scored.notes

    def events(self, threshold: float = 0.5, low: float | None = None, min_s: float = 0.0) -> list[Event]:
        """Events by hysteresis; none where classes exclude each other, as a recording then shows one class.

        Args:
            threshold: An event's highest joint score is at least this.
            low: An event goes on while the joint score is at least this; 0.3 by default, or the threshold if that is
                lower.
            min_s: Shorter events are left out [s].

        Raises:
            InputError: Not 0 <= low <= threshold <= 1.
        """
        return find_events(self.snippets, rule_of(threshold, low, min_s), self.multiclass)

    def to_pandas(self) -> pandas.DataFrame:
        """A row a snippet: start_s, end_s, the joint score, one a modality (of several classes, each)."""
        import pandas

        return pandas.DataFrame(score_columns(self.snippets))

    def to_dict(self, threshold: float = 0.5, low: float | None = None, min_s: float = 0.0) -> dict[str, Any]:
        """What ``mmcl score`` writes as JSON; arguments as ``events`` takes them."""
        return {**to_json(self.snippets, rule_of(threshold, low, min_s), self.multiclass), **self.scored.metadata}

    def plot(self, path: str | Path | None = None, threshold: float = 0.5) -> Figure:
        """Curves of the scores.

        Args:
            path: A file to write too, .png, .pdf or .svg.
            threshold: Is drawn where there is one class.

        Raises:
            FileError: The file cannot be written.
        """
        from mmcl.reporting.plots import draw_scores

        figure = draw_scores(self.snippets, threshold)
        if path is not None:
            try:
                figure.savefig(path)
            except (OSError, ValueError) as error:
                raise FileError(path, f"cannot be written ({error})", "expected a .png, .pdf or .svg file") from error
        return figure

    def save(
        self,
        folder: str | Path,
        threshold: float = 0.5,
        low: float | None = None,
        min_s: float = 0.0,
        pages: PageOptions | None = None,
    ) -> Path:
        """Write what ``mmcl score`` writes: NAME.json, .csv, .png, and of a video .html.

        Args:
            folder: Is made where it does not exist.
            threshold: As ``events`` takes it.
            low: The same.
            min_s: The same.
            pages: Of videos.

        Returns:
            The JSON file.

        Raises:
            FileError: A file cannot be written, or is there and holds no earlier scores.
        """
        rule = rule_of(threshold, low, min_s)
        writer = ScoreFiles(Path(folder), rule, multiclass=self.multiclass, pages=pages or PageOptions())
        writer.prepare()
        writer.write(self.scored)
        writer.finish({})
        return Path(folder) / f"{self.name}.json"

    def __len__(self) -> int:
        return len(self.snippets.score)

    def __repr__(self) -> str:
        return summarize(self.snippets, EventRule(), self.multiclass)

    def _repr_html_(self) -> str:
        from mmcl.reporting.plots import draw_scores, png

        picture = base64.b64encode(png(draw_scores(self.snippets))).decode()
        notes = "".join(f"<br><small>{html.escape(note)}</small>" for note in self.notes)
        image = f'<img src="data:image/png;base64,{picture}" alt="scores of each snippet" style="max-width: 100%">'
        return f"<div><b>{html.escape(repr(self))}</b>{notes}<br>{image}</div>"


def rule_of(threshold: float, low: float | None, min_s: float) -> EventRule:
    """The rule that arguments name.

    Raises:
        InputError: Not 0 <= low <= threshold <= 1.

    Example:
        >>> rule_of(0.2, None, 0.0).low
        0.2
    """
    return EventRule(threshold, min(EventRule.low, threshold) if low is None else low, min_s)
