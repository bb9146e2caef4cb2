"""Snippets of a media file, decoded in a child process that is killed when it makes no progress."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmcl.errors import FileError, InputError
from mmcl.media.probe import Media, media_from_header
from mmcl.media.timing import SNIPPET_S

TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Snippet:
    """``frames`` (16, height, width, 3) uint8 RGB, None without picture; ``audio`` (16000,) float32,
    the second that ends where the snippet ends, None without sound."""

    frames: np.ndarray | None
    audio: np.ndarray | None


def read_snippets(
    path: Path, short_side: int = 256, *, timeout_s: float = TIMEOUT_S, reader: str = "auto"
) -> tuple[Media, Iterator[Snippet]]:
    """What the file holds and its snippets, in order; a few at a time are in memory.

    Args:
        path: A media file.
        short_side: Pixels of the shorter side that frames are scaled to.
        timeout_s: Seconds without progress after which the decoder is given up.
        reader: "auto", "decord" or "pyav", which decodes the frames.

    Raises:
        FileError: The file cannot be decoded; also while snippets are read.
    """
    if not timeout_s > 0:
        raise InputError(f"--timeout-s: expected more than 0 seconds, got {timeout_s:g}")
    if not path.is_file():
        problem = "is no regular file" if path.exists() else "no such file"
        raise FileError(path, problem, "check the path")
    child = _DecodeProcess(path, short_side, reader, timeout_s)
    try:
        media = media_from_header(child.header())
    except BaseException:
        child.stop()
        raise
    return media, _iterate(child, path, short_side, timeout_s)


def _iterate(child: _DecodeProcess, path: Path, short_side: int, timeout_s: float) -> Iterator[Snippet]:
    n = 0
    try:
        while True:
            try:
                snippet = child.snippet()
            except _DecordFailed:
                child.stop()
                child = _DecodeProcess(path, short_side, "pyav", timeout_s, skip=n)
                child.header()
                continue
            if snippet is None:
                break
            n += 1
            yield snippet
    finally:
        child.stop()
    if n == 0:
        raise FileError(path, f"shorter than one snippet of {SNIPPET_S:.2f} s", "leave it out")


class _DecordFailed(Exception):
    """decord hung, crashed or complained; PyAV is to say whether the file is at fault."""


class _DecodeProcess:
    """A decoding process, read by a thread so that waiting for it can end."""

    def __init__(self, path: Path, short_side: int, reader: str, timeout_s: float, skip: int = 0):
        self.path, self.timeout_s = path, timeout_s
        self.reader = reader
        self.log = tempfile.TemporaryFile()  # noqa: SIM115, closed in stop
        command = [
            sys.executable,
            "-m",
            "mmcl.media.decode_process",
            os.path.abspath(path),  # so that no colon in a name is taken for a protocol
            str(short_side),
            reader,
            str(skip),
        ]
        folder = str(Path(__file__).resolve().parents[2])
        old = os.environ.get("PYTHONPATH")
        env = {**os.environ, "PYTHONPATH": folder + (os.pathsep + old if old else "")}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env=env
        )
        self.messages: queue.Queue = queue.Queue(maxsize=4)
        self.stopped = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        pipe = self.process.stdout
        assert pipe is not None
        with contextlib.suppress(OSError, ValueError):
            while line := pipe.readline():
                message = json.loads(line)
                sizes = message.pop("sizes", [])
                self._put((message, [pipe.read(size) for size in sizes]))
        self._put(None)

    def _put(self, message: Any) -> None:
        while not self.stopped:
            with contextlib.suppress(queue.Full):
                self.messages.put(message, timeout=0.2)
                return

    def _next(self) -> tuple[dict[str, Any], list[bytes]]:
        try:
            message = self.messages.get(timeout=self.timeout_s)
        except queue.Empty:
            if self.reader == "decord":
                raise _DecordFailed from None
            raise FileError(
                self.path, f"its decoder made no progress for {self.timeout_s:g} s", "repair or leave it out"
            ) from None
        if message is None:
            if self.reader == "decord":
                raise _DecordFailed
            code = self.process.wait()
            raise FileError(self.path, f"its decoder crashed (exit {code})", "repair or leave it out")
        if "error" in message[0]:
            raise FileError(self.path, message[0]["error"], message[0]["do"])
        if message[0].get("end") and self.reader == "decord" and self._complained():
            raise _DecordFailed
        return message

    def _complained(self) -> bool:
        """decord hides what is wrong with a frame, but its decoder writes it to its log."""
        self.log.seek(0, os.SEEK_END)
        return self.log.tell() > 0

    def header(self) -> dict[str, Any]:
        message, _ = self._next()
        self.reader = message["reader"]
        return message["media"]

    def snippet(self) -> Snippet | None:
        message, blocks = self._next()
        if message.get("end"):
            return None
        frames = audio = None
        if message["shape"] is not None:
            frames = np.frombuffer(blocks.pop(0), np.uint8).reshape(message["shape"])
        if blocks:
            audio = np.frombuffer(blocks.pop(0), np.float32)
        return Snippet(frames, audio)

    def stop(self) -> None:
        self.stopped = True
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.log.close()
