"""Score many recordings: each one's results are written at once, and one that fails stops none of the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tqdm import tqdm

from mmcl.errors import DiskFullError, InputError
from mmcl.features.extract_files import outcome
from mmcl.io import describe_failure, is_broken_pipe
from mmcl.types import SnippetScores

N_NAMED = 10  # failures that the last line names once more

Item = TypeVar("Item")


@dataclass(frozen=True)
class ScoredRecording:
    """A recording's scores and what is known of it.

    Attributes:
        scores: Of its snippets.
        metadata: Goes into the results beside the scores.
        media: The media file, None of sensor recordings.
        has_picture: The file holds a picture.
        notes: What the user should know of it.
        speed: How long it took, a line.
    """

    scores: SnippetScores
    metadata: Mapping[str, Any] = field(default_factory=dict)
    media: Path | None = None
    has_picture: bool = False
    notes: tuple[str, ...] = ()
    speed: str = ""


class ScoreWriter(Protocol):
    """Where results go (``mmcl.reporting.score_files``)."""

    def prepare(self) -> None:
        """Called before anything is scored."""

    def write(self, scored: ScoredRecording) -> str:
        """Write a recording's results; returns a line that sums them up."""

    def log(self, text: str) -> None:
        """Show a line to the user."""

    def finish(self, failures: Mapping[str, str]) -> None:
        """Called at the end, and where a job is stopped.

        Args:
            failures: What is wrong with each recording that was not scored, by name.
        """

    @property
    def place(self) -> str:
        """Where results are, for a message; may be empty."""


Results = Generator[tuple[Any, ScoredRecording | Exception], None, None]


def score_ahead(items: Sequence[Item], score: Callable[[Item], ScoredRecording], jobs: int = 1) -> Results:
    """Each item with its scores or the exception that it ended with, in order.

    Args:
        items: What is scored.
        score: Of one item.
        jobs: Items worked on at a time: the next one is decoded while this one is computed.
    """
    if jobs == 1:
        for item in items:
            try:
                result: ScoredRecording | Exception = score(item)
            except Exception as error:
                result = error
            yield item, result
        return
    pool = ThreadPoolExecutor(jobs)
    waiting: deque[tuple[Item, Future[ScoredRecording]]] = deque()
    try:
        for item in items:
            waiting.append((item, pool.submit(score, item)))
            if len(waiting) >= 2 * jobs:
                item, future = waiting.popleft()
                scored = outcome(future)
                yield item, scored
        for item, future in waiting:
            scored = outcome(future)
            yield item, scored
    finally:
        pool.shutdown(cancel_futures=True)


def score_each(
    items: Sequence[Item],
    results: Results,
    writer: ScoreWriter,
    noun: str,
    name_of: Callable[[Item], str],
) -> None:
    """Write the results of items as they come, with a progress bar.

    Args:
        items: What is scored.
        results: Of each item, its scores or the exception that it ended with (``score_ahead``).
        writer: Gets each item's result.
        noun: What an item is ("video").
        name_of: Names an item in messages.

    Raises:
        InputError: At the end, naming the items that failed.
        DiskFullError: At once.
    """
    writer.prepare()
    failed: dict[str, str] = {}
    try:
        for item, scored in tqdm(results, total=len(items), unit=noun, disable=None):
            try:
                if isinstance(scored, Exception):
                    raise scored
                summary = writer.write(scored)
                for note in (*scored.notes, *filter(None, [scored.speed]), summary):
                    writer.log(note)
            except Exception as error:  # whatever it is, the others are scored
                if is_broken_pipe(error) or isinstance(error, DiskFullError):
                    raise
                name = getattr(item, "name", name_of(item))
                failed[name] = describe_failure(name_of(item), error)
                writer.log(f"failed: {failed[name]}")
    except DiskFullError:
        raise
    except BaseException:
        writer.finish(failed)
        raise
    finally:
        results.close()
    writer.finish(failed)
    writer.log(f"{len(items) - len(failed)} of {len(items)} scored{writer.place}")
    if failed:
        reasons = list(failed.values())
        rest = f" | and {len(reasons) - N_NAMED} more, each named above" if len(reasons) > N_NAMED else ""
        raise InputError(f"{len(failed)} of {len(items)} {noun}s failed: {' | '.join(reasons[:N_NAMED])}{rest}")
