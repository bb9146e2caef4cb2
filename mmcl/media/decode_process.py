"""The decoding process (``python -m mmcl.media.decode_process``): for each file that its standard input names it
probes, decodes, and writes snippets to its standard output."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from mmcl.media.assemble import assemble_snippets
from mmcl.media.audio import decode_audio
from mmcl.media.completeness import Unreadable
from mmcl.media.decord_frames import frames_by_decord
from mmcl.media.probe import Media, probe_media
from mmcl.media.pyav_frames import frames_by_pyav


def decode_snippets(
    path: str,
    media: Media,
    short_side: int,
    reader: str,
    has_sound: bool = True,
    end: dict[str, float] | None = None,
) -> Iterator[tuple[np.ndarray | None, np.ndarray | None]]:
    """Frames and sound of each snippet. The picture says how long a video is.

    Args:
        path: A media file.
        media: What it holds.
        short_side: Pixels of the shorter side that frames are scaled to.
        reader: "decord" or "pyav".
        has_sound: Decode the sound too, where there is a picture.
        end: Gets ``unscored_s``, the seconds of sound that follow the last snippet of a picture.
    """
    hears = media.audio is not None and (has_sound or media.video is None)
    pieces = decode_audio(path, media) if hears else None
    read = frames_by_decord if reader == "decord" else frames_by_pyav
    pictures = None if media.video is None else read(path, media, short_side)
    for frames, sound in assemble_snippets(pictures, pieces, end):
        yield None if frames is None else np.stack(frames), sound


def main() -> int:
    """Serve the requests of standard input, a line of JSON each, until it ends."""
    requests: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_read_requests, args=(requests,), daemon=True).start()
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the messages

    def send(message: dict[str, Any], *blocks: bytes | memoryview) -> None:
        sizes = [len(p) if isinstance(p, bytes) else p.nbytes for p in blocks]
        out.write(json.dumps({**message, "sizes": sizes}).encode() + b"\n")
        for block in blocks:
            out.write(block)
        out.flush()

    try:
        while True:
            request = json.loads(requests.get().decode("utf-8", "surrogatepass"))
            try:
                serve(send, **request)
            except Unreadable as error:
                send({"error": str(error), "do": error.remedy})
    except BrokenPipeError:
        return 1  # nobody reads on


def serve(
    send: Callable[..., None],
    path: str,
    short_side: int = 0,
    reader: str = "auto",
    skip: int = 0,
    has_sound: bool = True,
    probe: bool = False,
    audio_track: str = "default",
    growing: bool = False,
) -> None:
    """Send what a file holds and its snippets.

    Args:
        send: (message, blocks of bytes).
        path: A media file.
        short_side: Pixels of the shorter side that frames are scaled to.
        reader: "auto", "decord" or "pyav".
        skip: Snippets that were sent before.
        has_sound: Decode the sound too, where there is a picture.
        probe: Send what it holds alone.
        audio_track: As ``probe_media`` takes it.
        growing: Take what there is of a file that is incomplete.

    Raises:
        Unreadable: The file cannot be decoded.
    """
    media = probe_media(path, audio_track, growing)
    chosen = "pyav" if growing else choose_reader(media, reader)
    send({"media": asdict(media), "reader": chosen})
    end: dict[str, Any] = {}
    n = 0
    try:
        if not probe:
            for frames, audio in decode_snippets(path, media, short_side, chosen, has_sound, end):
                if n >= skip:
                    blocks = [np.ascontiguousarray(x).data.cast("B") for x in (frames, audio) if x is not None]
                    send({"shape": None if frames is None else frames.shape}, *blocks)
                n += 1
    except Unreadable as error:
        if not growing or n == 0:
            raise
        end["incomplete"] = str(error)
    send({"end": True, **end})


def _read_requests(requests: queue.Queue[bytes]) -> None:
    """A hanging decoder is not to outlive a parent that was killed: its standard input ends then."""
    for line in sys.stdin.buffer:
        requests.put(line)
    os._exit(1)


def choose_reader(media: Media, reader: str) -> str:
    """The reader of frames that is right for this file."""
    if reader != "auto":
        return reader
    if not media.decord_is_right:
        return "pyav"
    try:
        import decord

        decord.logging.set_level(decord.logging.ERROR)
        return "decord"
    except ImportError:
        return "pyav"


if __name__ == "__main__":
    sys.exit(main())
