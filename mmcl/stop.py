"""Signals that end a program: SIGTERM as Ctrl-C, and both at a moment when what is under way can be saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from mmcl.errors import Terminated


@contextmanager
def stops_on_sigterm() -> Iterator[None]:
    """SIGTERM raises Terminated, where the program does not handle it otherwise."""
    if not _is_main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class HeldSignals:
    """A context in which the first Ctrl-C or SIGTERM is noted; a second one stops at once.

    Outside of a program's main thread, and for signals that the program does not handle, nothing is held.

    Attributes:
        received: The signal, or None.

    Example:
        >>> with HeldSignals() as signals:
        ...     signals.raise_received()
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> HeldSignals:
        for number in (signal.SIGINT, signal.SIGTERM) if _is_main_thread() else ():
            if signal.getsignal(number) not in (signal.SIG_DFL, signal.SIG_IGN, None):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            _raise(number, frame)
        self.received = number

    def raise_received(self) -> None:
        """Stop now, if a signal asked for it.

        Raises:
            KeyboardInterrupt: After Ctrl-C; Terminated after SIGTERM.
        """
        if self.received is not None:
            _raise(self.received, None)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
