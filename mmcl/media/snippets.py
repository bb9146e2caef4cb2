"""Snippets of a media file, decoded in a child process that is replaced when it makes no progress."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmcl.errors import FileError, InputError
from mmcl.media.decoder import Decoder, DecordFailed, Message, return_decoder, take_decoder
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
    path: Path,
    short_side: int = 256,
    *,
    timeout_s: float = TIMEOUT_S,
    reader: str = "auto",
    has_sound: bool = True,
    audio_track: str = "default",
    growing: bool = False,
) -> tuple[Media, SnippetReader]:
    """What the file holds and its snippets, in order; a few at a time are in memory.

    Args:
        path: A media file.
        short_side: Pixels of the shorter side that frames are scaled to.
        timeout_s: Seconds without progress after which the decoder is given up.
        reader: "auto", "decord" or "pyav", which decodes the frames.
        has_sound: Decode the sound too, where there is a picture.
        audio_track: Which sound track is heard: "default", "mix" or its number (``probe.probe_media``).
        growing: Take what there is of a file that is incomplete, such as one that is being written.

    Raises:
        FileError: The file cannot be decoded; also while snippets are read.
    """
    request: dict[str, object] = {"short_side": short_side, "skip": 0, "has_sound": has_sound}
    request |= {"audio_track": audio_track, "growing": growing}
    decoder, media = _open(path, timeout_s, reader=reader, **request)
    return media, SnippetReader(decoder, path, timeout_s, request)


def probe_file(path: Path, *, timeout_s: float = TIMEOUT_S) -> Media:
    """What a media file holds; nothing is decoded but its first frame.

    Args:
        path: A media file.
        timeout_s: Seconds without progress after which the decoder is given up.

    Raises:
        FileError: It is no readable media file.
    """
    decoder, media = _open(path, timeout_s, probe=True)
    try:
        decoder.next()
    except BaseException:
        decoder.stop()
        raise
    return_decoder(decoder)
    return media


def _open(path: Path, timeout_s: float, **request: object) -> tuple[Decoder, Media]:
    if not timeout_s > 0:
        raise InputError(f"--timeout-s: expected more than 0 seconds, got {timeout_s:g}")
    if not os.path.isfile(path):
        problem = "is no regular file" if os.path.exists(path) else "no such file"
        raise FileError(path, problem, "check the path")
    decoder = take_decoder()
    try:
        return decoder, media_from_header(decoder.open(path, timeout_s, **request))
    except BaseException:
        decoder.stop()
        raise


class SnippetReader(Iterator[Snippet]):
    """The snippets of a file that is being decoded. ``close`` ends it early; a decoder that is at the end of its file
    is kept for the next one.

    Args:
        decoder: That has the file open.
        path: The file.
        timeout_s: Seconds without progress after which the decoder is given up.
        request: What the decoder was asked for.

    Attributes:
        unscored_s: At the end, seconds of sound that follow the last snippet of the picture.
        incomplete: At the end, what is wrong with the rest of an incomplete file.
    """

    def __init__(self, decoder: Decoder, path: Path, timeout_s: float, request: dict[str, object]):
        self.decoder: Decoder | None = decoder
        self.path, self.timeout_s, self.request, self.n = path, timeout_s, request, 0
        self.unscored_s, self.incomplete = 0.0, ""

    def __next__(self) -> Snippet:
        if self.decoder is None:
            raise StopIteration
        try:
            message, blocks = self._next()
        except BaseException:
            self.close()
            raise
        if message.get("end"):
            return_decoder(self.decoder)
            self.decoder = None
            self.unscored_s, self.incomplete = message.get("unscored_s", 0.0), message.get("incomplete", "")
            if self.n == 0:
                raise FileError(self.path, f"shorter than one snippet of {SNIPPET_S:.2f} s", "leave it out")
            raise StopIteration
        frames = audio = None
        if message["shape"] is not None:
            frames = np.frombuffer(blocks.pop(0), np.uint8).reshape(message["shape"])
        if blocks:
            audio = np.frombuffer(blocks.pop(0), np.float32)
        self.n += 1
        return Snippet(frames, audio)

    def _next(self) -> Message:
        assert self.decoder is not None
        try:
            return self.decoder.next()
        except DecordFailed:
            self.decoder.stop()
            self.decoder = take_decoder()
            self.decoder.open(self.path, self.timeout_s, **{**self.request, "reader": "pyav", "skip": self.n})
            return self.decoder.next()

    def close(self) -> None:
        """End the decoder, in the middle of the file."""
        if self.decoder is not None:
            self.decoder.stop()
            self.decoder = None

    def __del__(self) -> None:
        self.close()
