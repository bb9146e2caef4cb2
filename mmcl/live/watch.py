"""A live source scored until it ends or is stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from mmcl.evaluation.events import EventRule
from mmcl.features.extractor_set import ExtractorSet
from mmcl.inference.predictor import Predictor
from mmcl.live.events import LiveEvent, LiveEvents
from mmcl.live.outputs import Message, Output
from mmcl.live.reader import LiveSnippet, SegmentBegin, SegmentEnd, StreamReader
from mmcl.live.scores import LiveScore, LiveScores
from mmcl.media.timing import SNIPPET_S

BATCH = 8
LOST = {"dropped": "snippets dropped", "damaged": "frames damaged"}


@dataclass
class Latency:
    """From a snippet's end to its score, of all so far [s]."""

    n: int = 0
    total_s: float = 0.0
    longest_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.n, self.total_s, self.longest_s = self.n + 1, self.total_s + seconds, max(self.longest_s, seconds)

    def describe(self) -> str:
        """Mean and longest."""
        return f"latency {self.total_s / max(self.n, 1):.1f} s in the mean, {self.longest_s:.1f} s at most"


@dataclass
class Watcher:
    """Scores what a reader delivers, and sends messages to outputs.

    Attributes:
        predictor: Of a run.
        extractors: That made its training features.
        reader: Of the source.
        rule: What an event is.
        outputs: Where messages go.
        log: Shows a line to the user.
    """

    predictor: Predictor
    extractors: ExtractorSet
    reader: StreamReader
    rule: EventRule
    outputs: Sequence[Output]
    log: Callable[[str], object] = print
    latency: Latency = field(default_factory=Latency)

    def __post_init__(self) -> None:
        self.scores = LiveScores(self.predictor, self.extractors)
        classes = () if self.predictor.multiclass else self.predictor.classes  # what excludes each other is no event
        self.events = LiveEvents(self.rule, classes)
        self.started, self.n_scored, self._expected = datetime.now(UTC), 0, 0

    def run(self) -> None:
        """Until the source ends for good.

        Raises:
            InputError: The source cannot be opened.
        """
        try:
            for item in self.reader:
                self.take(item)
        finally:
            self.reader.stop()

    def take(self, item: LiveSnippet | SegmentBegin | SegmentEnd) -> None:
        """Score an item of the reader, and the snippets that wait behind it."""
        if isinstance(item, LiveSnippet):
            self._snippets(item)
        else:
            self._turn(item)

    @property
    def has_begun(self) -> bool:
        """Was the source opened?"""
        return self.scores.media is not None

    def end(self) -> None:
        """Score what is left, and send that it is over."""
        if not self.has_begun:
            return
        self._flush()
        self._send({"type": "end", **self._state()})

    def _snippets(self, first: LiveSnippet) -> None:
        """A snippet, and those that wait behind it."""
        batch: list[LiveSnippet] = [first]
        rest: SegmentBegin | SegmentEnd | None = None
        while len(batch) < BATCH and rest is None and (item := self.reader.take()) is not None:
            if isinstance(item, LiveSnippet):
                batch.append(item)
            else:
                rest = item
        together: list[LiveSnippet] = []
        for snippet in batch:
            if snippet.number != self._expected:  # some were dropped
                self._push(together)
                together = []
                self._drop(snippet.number - self._expected, snippet.start_s)
            together.append(snippet)
            self._expected = snippet.number + 1
        self._push(together)
        if rest is not None:
            self._turn(rest)

    def _push(self, snippets: list[LiveSnippet]) -> None:
        if snippets:
            for scored in self.scores.push(snippets):
                self._scored(scored)

    def _drop(self, n: int, at_s: float) -> None:
        """Snippets are missing: what is known is scored as at the end of a file."""
        media = self.scores.media
        assert media is not None
        self._flush()
        reason = f"{n} snippets dropped: slower than the source"
        self._send({"type": "gap", "at_s": round(at_s, 3), "time": self._time(at_s), "reason": reason})
        self.scores.begin(media)

    def _turn(self, item: SegmentBegin | SegmentEnd) -> None:
        if isinstance(item, SegmentEnd):
            if item.n_snippets > self._expected and self.has_begun:
                self._drop(item.n_snippets - self._expected, self.reader.next_s)
            self._flush()
            at_s = self.reader.next_s
            if not item.is_last or item.reason:
                self._send({"type": "gap", "at_s": round(at_s, 3), "time": self._time(at_s), "reason": item.reason})
                self.log(f"{at_s:.1f} s: {item.reason}" + ("" if item.is_last else "; opened again"))
            return
        if self.scores.media is None:
            self.started = datetime.now(UTC)
        self.scores.begin(item.media)
        self._expected = 0
        held = [m for m, s in (("visual", item.media.video), ("audio", item.media.audio)) if s is not None]
        held = [m for m in held if m in self.extractors.parts]
        scored_by = list(self.predictor.scored_by(held))
        message = {"type": "begin", "start_s": round(item.start_s, 3), "time": self._time(item.start_s)}
        self._send({**message, "source": self.reader.source.name, "scored_by": scored_by, "format": item.media.format})
        lacking = [m for m in self.extractors.parts if m not in held]
        note = f"; has no {' and no '.join(lacking)}, scored by {' and '.join(scored_by)} alone" if lacking else ""
        self.log(f"{self.reader.source.name}: begins at {item.start_s:.1f} s{note}")

    def _flush(self) -> None:
        for scored in self.scores.flush():
            self._scored(scored)
        for change in self.events.flush():
            self._event(change)

    def _scored(self, scored: LiveScore) -> None:
        delay_s = time.monotonic() - scored.arrived
        self.latency.add(delay_s)
        self.n_scored += 1
        message: Message = {
            "type": "snippet",
            "start_s": round(scored.start_s, 3),
            "end_s": round(scored.end_s, 3),
            "time": self._time(scored.start_s),
            "joint": _rounded(scored.score),
            **{m: _rounded(s) for m, s in scored.modality_score.items()},
            "latency_s": round(delay_s, 3),
        }
        self._send(message)
        for change in self.events.push(scored):
            self._event(change)

    def _event(self, change: LiveEvent) -> None:
        e = change.event
        message = {"type": "event", "state": change.state, "id": change.number, "label": e.name}
        message |= {"start_s": round(e.start_s, 3), "end_s": round(e.end_s, 3), "time": self._time(e.start_s)}
        message |= {"peak": round(e.peak, 6), "peak_s": round(e.peak_s, 3)}
        self._send(message)
        what = f"event {change.number} ({e.name}) "
        what += "begins" if change.state == "begin" else f"ends after {e.end_s - e.start_s:.1f} s"
        self.log(f"{e.start_s if change.state == 'begin' else e.end_s:.1f} s: {what}, score {e.peak:.2f}")

    def _send(self, message: Message) -> None:
        for output in self.outputs:
            output.send(message)

    def _time(self, at_s: float) -> str:
        return (self.started + timedelta(seconds=at_s)).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _state(self) -> Message:
        c = self.reader.counts
        counts = {"snippets": self.n_scored, "dropped": c.dropped, "damaged": c.damaged, "gaps": c.gaps}
        return {
            **counts,
            "events": self.events.n_events,
            "latency_s": round(self.latency.total_s / max(self.latency.n, 1), 3),
        }

    def summary(self) -> str:
        """A line on the whole."""
        s = self._state()
        lost = [f", {s[key]} {what}" for key, what in LOST.items() if s[key]]
        scored = f"{s['snippets'] * SNIPPET_S:.1f} s scored, {s['events']} events, {s['gaps']} gaps"
        return f"{scored}{''.join(lost)}; {self.latency.describe()}"


def _rounded(x: np.ndarray) -> list[float]:
    return [round(float(v), 6) for v in x]
