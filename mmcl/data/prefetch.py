"""The next batches are read while this one is worked on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

import torch

T = TypeVar("T")


class Prefetch(Generic[T]):
    """Iterates over ``source`` in a thread, up to ``ahead`` items before they are asked for.

    An exception of the source comes out where its item would have. Leaving the loop early ends the
    thread. A thread, not a process: reading from the disk and copying let other threads run, and batches
    need not be sent anywhere.
    """

    def __init__(self, source: Iterable[T], ahead: int = 2):
        self.source, self.ahead = source, ahead

    def __iter__(self) -> Iterator[T]:
        ready: queue.Queue[tuple[T | None, BaseException | None] | None] = queue.Queue(self.ahead)
        left = threading.Event()
        device = torch.cuda.current_device() if torch.cuda.is_available() else None

        def put(item: tuple[T | None, BaseException | None] | None) -> None:
            while not left.is_set():
                try:
                    ready.put(item, timeout=0.1)
                    return
                except queue.Full:
                    continue

        def read() -> None:
            try:
                if device is not None:  # a thread starts on the first GPU, whichever its process has
                    torch.cuda.set_device(device)
                for item in self.source:
                    put((item, None))
                    if left.is_set():
                        return
                put(None)
            except BaseException as error:
                put((None, error))

        thread = threading.Thread(target=read, name="prefetch", daemon=True)
        thread.start()
        try:
            while (entry := ready.get()) is not None:
                item, error = entry
                if error is not None:
                    raise error
                yield item  # type: ignore[misc]
        finally:
            left.set()
            thread.join()
