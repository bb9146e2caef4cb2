"""Events as they happen: hysteresis, snippet by snippet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmcl.evaluation.events import Event, EventRule
from mmcl.live.scores import LiveScore


@dataclass(frozen=True)
class LiveEvent:
    """An event that begins, goes on or ends.

    Attributes:
        number: Of the event, from 1.
        state: "begin" or "end".
        event: As far as it is known.
    """

    number: int
    state: str
    event: Event


@dataclass
class _Run:
    """Snippets of at least ``low``, of one class."""

    event: Event
    number: int = 0  # 0 = not yet an event


class LiveEvents:
    """The events that ``evaluation.events.find_events`` finds, each told when it is known and when it is over.

    Args:
        rule: What an event is.
        classes: Names of the classes.
    """

    def __init__(self, rule: EventRule, classes: Sequence[str]):
        self.rule, self.classes = rule, tuple(classes)
        self._runs: dict[str, _Run] = {}
        self.n_events = 0

    def push(self, scored: LiveScore) -> list[LiveEvent]:
        """Take the next snippet.

        Args:
            scored: Its scores.
        """
        changes = []
        for k, name in enumerate(self.classes):
            score = float(scored.score[k])
            if score < self.rule.low:
                changes += self._end(name)
                continue
            middle = (scored.start_s + scored.end_s) / 2
            run = self._runs.get(name)
            if run is None:
                run = self._runs[name] = _Run(Event(scored.start_s, scored.end_s, name, score, middle))
            else:
                run.event = replace(run.event, end_s=scored.end_s)
                if score > run.event.peak:
                    run.event = replace(run.event, peak=score, peak_s=middle)
            lasts = run.event.end_s - run.event.start_s >= self.rule.min_s - 1e-9
            if not run.number and run.event.peak >= self.rule.high and lasts:
                self.n_events += 1
                run.number = self.n_events
                changes.append(LiveEvent(run.number, "begin", run.event))
        return changes

    def flush(self) -> list[LiveEvent]:
        """The stream breaks or ends: so do its events."""
        return [change for name in list(self._runs) for change in self._end(name)]

    def _end(self, name: str) -> list[LiveEvent]:
        run = self._runs.pop(name, None)
        return [LiveEvent(run.number, "end", run.event)] if run is not None and run.number else []
