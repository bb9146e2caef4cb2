"""Events posted to an address as JSON, in a thread, with retries and a bounded queue."""

from __future__ import annotations

import json
import math
import queue
import threading
import time
import urllib.request
from urllib.error import HTTPError, URLError

from mmcl.errors import InputError
from mmcl.live.outputs._base import Message, Output

MAX_WAITING = 1000
ATTEMPTS, TIMEOUT_S, FIRST_WAIT_S = 6, 5.0, 0.5
CLOSE_S = 5.0


class Webhook(Output):
    """POSTs events and gaps; one that is not accepted after six attempts is dropped and counted, as is the oldest of
    more than a thousand that wait.

    Args:
        address: http:// or https://.
        first_wait_s: Before the second attempt [s]; doubles each time.

    Raises:
        InputError: It is no such address.
    """

    def __init__(self, address: str, first_wait_s: float = FIRST_WAIT_S):
        if not address.startswith(("http://", "https://")):
            raise InputError(f"--webhook {address}: expected http:// or https://")
        self.address, self.first_wait_s = address, first_wait_s
        self.waiting: queue.Queue[Message] = queue.Queue(MAX_WAITING)
        self.n_sent, self.n_lost, self.last_error = 0, 0, ""
        self.is_closing, self.deadline = threading.Event(), math.inf
        self.thread = threading.Thread(target=self._run, daemon=True, name="webhook")
        self.thread.start()

    def send(self, message: Message) -> None:
        """See ``Output.send``."""
        if message["type"] not in ("event", "gap"):
            return
        while True:
            try:
                self.waiting.put_nowait(message)
                return
            except queue.Full:
                try:
                    self.waiting.get_nowait()
                    self.n_lost += 1
                except queue.Empty:
                    continue

    def close(self) -> None:
        """See ``Output.close``."""
        self.deadline = time.monotonic() + CLOSE_S
        self.is_closing.set()
        self.thread.join(CLOSE_S)
        self.n_lost += self.waiting.qsize()

    def describe(self) -> str:
        """See ``Output.describe``."""
        return f"webhook: {self.n_lost} messages were not accepted ({self.last_error})" if self.n_lost else ""

    def _run(self) -> None:
        while time.monotonic() < self.deadline:
            try:
                message = self.waiting.get(timeout=0.1)
            except queue.Empty:
                if self.is_closing.is_set():
                    return
                continue
            if not self._deliver(message):
                self.n_lost += 1

    def _deliver(self, message: Message) -> bool:
        body = json.dumps(message, allow_nan=False).encode()
        request = urllib.request.Request(self.address, body, {"Content-Type": "application/json"}, method="POST")
        for attempt in range(ATTEMPTS):
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT_S):
                    self.n_sent += 1
                    return True
            except HTTPError as error:
                self.last_error = f"answers {error.code}"
                error.close()
                if 400 <= error.code < 500 and error.code not in (408, 425, 429):
                    return False  # it will not be accepted later either
            except (URLError, OSError, ValueError) as error:
                self.last_error = str(getattr(error, "reason", error))
            if attempt + 1 < ATTEMPTS and self._wait(self.first_wait_s * 2**attempt):
                return False
        return False

    def _wait(self, seconds: float) -> bool:
        """Wait; is it too late then?"""
        until = time.monotonic() + seconds
        while time.monotonic() < min(until, self.deadline):
            time.sleep(min(0.05, seconds))
        return time.monotonic() >= self.deadline
