"""A thread that reads a live source, and what it delivers: snippets, gaps, the end."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmcl.errors import FileError, InputError
from mmcl.media.assemble import assemble_snippets
from mmcl.media.audio import place_sound
from mmcl.media.completeness import ClockLeap, Unreadable
from mmcl.media.demux import Demuxer
from mmcl.media.probe import Media
from mmcl.media.pyav_frames import Scaler, frames_at_24
from mmcl.media.stream import LiveSource
from mmcl.media.timing import SNIPPET_S

MAX_WAITING = 12  # snippets between reader and network
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0  # before a source is opened again
END_S = 2.0  # for the thread to end; a network that blocks is not waited for
STEADY_S = 10.0  # a source that lasted so long is opened again at once


@dataclass(frozen=True)
class LiveSnippet:
    """A snippet as it comes.

    Attributes:
        number: In its segment, from 0.
        start_s: From the begin of the whole [s].
        frames: ``(16, height, width, 3)`` uint8 by the shorter side, empty without picture.
        audio: ``(16000,)`` float32, None without sound.
        arrived: When it was complete (``time.monotonic``).
    """

    number: int
    start_s: float
    frames: Mapping[int, np.ndarray]
    audio: np.ndarray | None
    arrived: float


@dataclass(frozen=True)
class SegmentBegin:
    """A source was opened, or goes on behind a gap.

    Attributes:
        media: What it holds.
        start_s: Where its snippets begin, from the begin of the whole [s].
    """

    media: Media
    start_s: float


@dataclass(frozen=True)
class SegmentEnd:
    """A source ended, stalled or broke.

    Attributes:
        reason: Why, "" at the end of a file.
        is_last: It is not opened again.
        n_snippets: Of the segment, those that were dropped too.
    """

    reason: str
    is_last: bool
    n_snippets: int = 0


@dataclass
class Counts:
    """What happened so far."""

    snippets: int = 0
    dropped: int = 0
    damaged: int = 0
    gaps: int = 0


class StreamReader(Iterator[LiveSnippet | SegmentBegin | SegmentEnd]):
    """What a source delivers, in order. The first item is a ``SegmentBegin``.

    Args:
        source: Is opened when the first item is asked for.
        sides: Shorter sides of the picture that are needed.
        needs: "visual", "audio".
        on_packet: Is called in the reader's thread with every packet and what its segment holds (None before it is
            known) and where it begins.
        drops: Where the reader is ahead of whoever takes the items, drop snippets; else wait.

    Raises:
        InputError: From ``next``: the source cannot be opened the first time.
    """

    def __init__(
        self,
        source: LiveSource,
        sides: Sequence[int],
        needs: tuple[str, ...],
        on_packet: Callable[[Any, SegmentBegin], object] | None = None,
        drops: bool = True,
    ):
        self.source, self.sides, self.needs = source, tuple(sides) or (16,), needs
        self.on_packet, self.drops, self.counts = on_packet, drops, Counts()
        self.items: queue.Queue[Any] = queue.Queue(MAX_WAITING)
        self.is_stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True, name="stream")
        self.began: float | None = None
        self.next_s = 0.0
        self._is_over, self._n_snippets, self._n_segments = False, 0, 0

    def __next__(self) -> LiveSnippet | SegmentBegin | SegmentEnd:
        if self._is_over:
            raise StopIteration
        if not self.thread.is_alive() and not self.thread.ident:
            self.thread.start()
        item = self.items.get()
        if isinstance(item, BaseException):
            self._is_over = True
            raise item
        self._is_over = isinstance(item, SegmentEnd) and item.is_last
        return item

    def take(self) -> LiveSnippet | SegmentBegin | SegmentEnd | None:
        """The next item if it is there already."""
        return next(self) if not self.items.empty() and not self._is_over else None

    def stop(self) -> None:
        """End the thread; items that wait are lost."""
        self.is_stopped.set()
        if self.thread.is_alive():
            self.thread.join(END_S)

    def _run(self) -> None:
        try:
            self._read()
        except BaseException as error:  # whoever takes the items is to see it
            self._put(error, needed=True)

    def _read(self) -> None:
        wait_s, was_open = FIRST_WAIT_S, False
        while not self.is_stopped.is_set():
            opened, n_segments = time.monotonic(), self._n_segments
            try:
                goes_on = self._read_source()
                reason = "it ended" if goes_on else ""
            except (InputError, Unreadable) as error:
                reason, goes_on = str(error), self.source.is_live
                if self.began is None and not was_open:
                    if isinstance(error, Unreadable):
                        error = FileError(self.source.name, str(error), error.remedy)
                    self._put(error, needed=True)
                    return
            if self._n_segments > n_segments or not was_open or not goes_on:  # else it is the same gap still
                self._put(SegmentEnd(reason, not goes_on, self._n_snippets), needed=True)
                self.counts.gaps += goes_on
            was_open, self._n_snippets = True, 0
            if not goes_on:
                return
            wait_s = FIRST_WAIT_S if time.monotonic() - opened > STEADY_S else min(2 * wait_s, LONGEST_WAIT_S)
            self.is_stopped.wait(wait_s)

    def _read_source(self) -> bool:
        """Deliver segments to the end of the source; is it to be opened again?"""
        early: dict[str, list[Any]] = {}
        with self.source.open(self.is_stopped.is_set) as container:
            while True:
                try:
                    self._read_segment(container, early)
                    return self.source.comes_back(container)
                except ClockLeap as error:  # the container goes on, as a segment of its own
                    self.counts.gaps += 1
                    self._put(SegmentEnd(str(error), False, self._n_snippets), needed=True)

    def _read_segment(self, container: Any, early: dict[str, list[Any]]) -> None:
        """Deliver snippets up to a leap of the clock; the frames behind it go into ``early``."""
        held: list[Any] = []
        demuxer = Demuxer(container, held.append, self.needs, early)
        begin = SegmentBegin(demuxer.media, self._start_of_segment())
        self._n_snippets = 0
        self._n_segments += 1
        self._put(begin, needed=True)

        def pass_on(packet: Any) -> None:
            if self.on_packet is not None:
                self.on_packet(packet, begin)

        for packet in held:
            pass_on(packet)
        demuxer.on_packet = pass_on
        before = self.counts.damaged
        try:
            for snippet in self._snippets(demuxer, begin):
                self.counts.damaged = before + demuxer.n_damaged
                self._n_snippets = snippet.number + 1
                self._put(snippet, needed=False)
                if self.is_stopped.is_set():
                    return
        except ClockLeap:
            early.clear()
            early.update(demuxer.leftover())
            raise

    def _start_of_segment(self) -> float:
        """By the wall clock where the source does not wait, else where the last segment ended."""
        now = time.monotonic()
        if self.began is None:
            self.began = now
            return 0.0
        return max(now - self.began, self.next_s) if self.source.is_live and self.drops else self.next_s

    def _snippets(self, demuxer: Demuxer, begin: SegmentBegin) -> Iterator[LiveSnippet]:
        media = demuxer.media
        pictures = frames_at_24(demuxer.frames("visual"), media, has_end=False) if media.video else None
        pieces = place_sound(demuxer.frames("audio"), media, has_end=False) if media.audio else None
        scale = {side: Scaler(media.video, side) for side in self.sides} if media.video else {}
        for number, (frames, sound) in enumerate(assemble_snippets(pictures, pieces)):
            scaled = {side: np.stack([s(f) for f in frames]) for side, s in scale.items()} if frames else {}
            start_s = begin.start_s + number * SNIPPET_S
            self.next_s = start_s + SNIPPET_S
            yield LiveSnippet(number, start_s, scaled, sound, time.monotonic())

    def _put(self, item: Any, needed: bool) -> None:
        if isinstance(item, LiveSnippet):
            self.counts.snippets += 1
            if self.drops and self.source.is_live:
                try:
                    self.items.put_nowait(item)
                except queue.Full:
                    self.counts.dropped += 1
                return
        while not self.is_stopped.is_set():
            try:
                self.items.put(item, timeout=0.2)
                return
            except queue.Full:
                continue
