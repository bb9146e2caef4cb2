"""Decoding processes that serve one file after the other; one that hangs or crashes is replaced."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from mmcl.errors import FileError

MAX_FILES = 500  # of one process: what libraries leak stays bounded
MAX_IDLE = 16
Message = tuple[dict[str, Any], list[bytes]]


class DecordFailed(Exception):
    """decord hung, crashed or complained; PyAV is to say whether the file is at fault."""


class Decoder:
    """A decoding process (``mmcl.media.decode_process``), read by a thread so that waiting for it can end."""

    def __init__(self) -> None:
        self.log = tempfile.TemporaryFile()  # noqa: SIM115, closed in stop
        folder = str(Path(__file__).resolve().parents[2])
        old = os.environ.get("PYTHONPATH")
        env = {**os.environ, "PYTHONPATH": folder + (os.pathsep + old if old else "")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mmcl.media.decode_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=env,
        )
        self.messages: queue.Queue[Message | None] = queue.Queue(maxsize=4)
        self.is_stopped = False
        self.n_files = 0
        self.path, self.reader, self.timeout_s, self.log_size = Path(), "auto", 0.0, 0
        threading.Thread(target=self._read, daemon=True).start()

    def open(self, path: Path, timeout_s: float, **request: Any) -> dict[str, Any]:
        """Begin a file.

        Args:
            path: A media file.
            timeout_s: Seconds without progress after which the process is given up.
            request: What ``decode_process.serve`` takes.

        Returns:
            What the file holds, as ``probe.media_from_header`` takes it.

        Raises:
            FileError: The file is unreadable, or the process hangs or crashes.
            DecordFailed: As ``next``.
        """
        self.path, self.timeout_s, self.reader = path, timeout_s, request.get("reader", "auto")
        self.log_size = os.fstat(self.log.fileno()).st_size
        self.n_files += 1
        # an absolute path, so that no colon in a name is taken for a protocol
        line = json.dumps({"path": os.path.abspath(path), **request}) + "\n"
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it has crashed: the next message says so
            self.process.stdin.write(line.encode("utf-8", "surrogatepass"))
            self.process.stdin.flush()
        message, _ = self.next()
        self.reader = message["reader"]
        return message["media"]

    def next(self) -> Message:
        """The next message and its blocks; the last one of a file has the key "end".

        Raises:
            FileError: The file is unreadable, or the process hangs or crashes.
            DecordFailed: The same, or a complaint in its log, where decord is used.
        """
        try:
            message = self.messages.get(timeout=self.timeout_s)
        except queue.Empty:
            if self.reader == "decord":
                raise DecordFailed from None
            raise FileError(
                self.path, f"its decoder made no progress for {self.timeout_s:g} s", "repair or leave it out"
            ) from None
        if message is None:
            if self.reader == "decord":
                raise DecordFailed
            raise FileError(self.path, f"its decoder crashed (exit {self.process.wait()})", "repair or leave it out")
        if "error" in message[0]:
            raise FileError(self.path, message[0]["error"], message[0]["do"])
        if message[0].get("end") and self.reader == "decord" and self._has_complained():
            raise DecordFailed
        return message

    def stop(self) -> None:
        """End the process."""
        self.is_stopped = True
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.log):
            with contextlib.suppress(OSError):  # a line that was not sent to a process that crashed
                if stream is not None:
                    stream.close()

    def _has_complained(self) -> bool:
        """decord hides what is wrong with a frame, but its decoder writes it to its log."""
        return os.fstat(self.log.fileno()).st_size > self.log_size

    def _read(self) -> None:
        pipe = self.process.stdout
        assert pipe is not None
        with contextlib.suppress(OSError, ValueError):
            while line := pipe.readline():
                message = json.loads(line)
                sizes = message.pop("sizes", [])
                self._put((message, [pipe.read(size) for size in sizes]))
        self._put(None)

    def _put(self, message: Message | None) -> None:
        while not self.is_stopped:
            with contextlib.suppress(queue.Full):
                self.messages.put(message, timeout=0.2)
                return


_idle: list[Decoder] = []
_lock = threading.Lock()


def take_decoder() -> Decoder:
    """An idle decoder, or a new one; give it back by ``return_decoder``, or stop it."""
    with _lock:
        if _idle:
            return _idle.pop()
    return Decoder()


def return_decoder(decoder: Decoder) -> None:
    """Keep a decoder whose file has ended for the next file."""
    with _lock:
        if decoder.n_files < MAX_FILES and len(_idle) < MAX_IDLE and decoder.process.poll() is None:
            _idle.append(decoder)
            return
    decoder.stop()


def stop_decoders() -> None:
    """End all idle decoders; called when the interpreter exits."""
    with _lock:
        idle, _idle[:] = list(_idle), []
    for decoder in idle:
        decoder.stop()


def _forget_decoders() -> None:
    """A forked process must not talk to its parent's decoders."""
    global _lock
    _lock = threading.Lock()
    _idle.clear()


atexit.register(stop_decoders)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_decoders)
