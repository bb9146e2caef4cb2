"""The decoding process (``python -m mmcl.media.decode_process``): probes, decodes, writes snippets to its standard
output."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from mmcl.media.audio import audio_windows, decode_audio
from mmcl.media.decord_frames import frames_by_decord
from mmcl.media.probe import Media, Unreadable, probe_media
from mmcl.media.pyav_frames import ROUNDING_S, frames_by_pyav
from mmcl.media.timing import FPS, FRAMES_PER_SNIPPET


def decode_snippets(
    path: str, media: Media, short_side: int, reader: str
) -> Iterator[tuple[np.ndarray | None, np.ndarray | None]]:
    """Frames and sound of each snippet. The picture says how long a video is."""
    windows = audio_windows(decode_audio(path, media)) if media.audio is not None else None
    if media.video is None:
        assert windows is not None
        for window, follow_s in windows:
            if follow_s < 1 / FPS - ROUNDING_S:
                return
            yield None, window
    sample = frames_by_decord if reader == "decord" else frames_by_pyav
    frames: list[np.ndarray] = []
    for frame in sample(path, media, short_side):
        if len(frames) == FRAMES_PER_SNIPPET:  # only now is it known not to be the last frame
            yield np.stack(frames), None if windows is None else next(windows)[0]
            frames = []
        frames.append(frame)


def main(args: list[str]) -> int:
    """Decode a file and write its snippets to standard output."""
    path, short_side, reader, skip = args[0], int(args[1]), args[2], int(args[3])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the messages

    def send(message: dict[str, Any], *blocks: bytes | memoryview) -> None:
        sizes = [len(p) if isinstance(p, bytes) else p.nbytes for p in blocks]
        out.write(json.dumps({**message, "sizes": sizes}).encode() + b"\n")
        for block in blocks:
            out.write(block)
        out.flush()

    try:
        media = probe_media(path)
        chosen = choose_reader(media, reader)
        send({"media": asdict(media), "reader": chosen})
        for i, (frames, audio) in enumerate(decode_snippets(path, media, short_side, chosen)):
            if i >= skip:
                blocks = [np.ascontiguousarray(x).data.cast("B") for x in (frames, audio) if x is not None]
                send({"shape": None if frames is None else frames.shape}, *blocks)
        send({"end": True})
    except Unreadable as error:
        send({"error": str(error), "do": error.remedy})
    except BrokenPipeError:
        return 1  # nobody reads on
    return 0


def _end_with_parent() -> None:
    """A hanging decoder is not to outlive a parent that was killed: its pipe ends then."""
    while os.read(0, 1):
        pass
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
    sys.exit(main(sys.argv[1:]))
