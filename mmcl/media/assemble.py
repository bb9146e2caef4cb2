"""Frames and sound of each snippet, of whatever source they come from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np

from mmcl.media.audio import audio_windows
from mmcl.media.pyav_frames import ROUNDING_S
from mmcl.media.timing import AUDIO_HZ, FPS, FRAMES_PER_SNIPPET

Frame = TypeVar("Frame")


def assemble_snippets(
    frames: Iterator[Frame] | None, pieces: Iterator[np.ndarray] | None, end: dict[str, float] | None = None
) -> Iterator[tuple[list[Frame] | None, np.ndarray | None]]:
    """The frames and the window of sound of each snippet; where there is a picture, it says how long a video is.

    Args:
        frames: At 24 fps, None without picture.
        pieces: Mono sound at 16 kHz, None without sound.
        end: Gets ``unscored_s``, the seconds of sound that follow the last snippet of a picture.
    """
    windows = None if pieces is None else audio_windows(pieces)
    if frames is None:
        assert windows is not None
        for window, follow_s in windows:
            if follow_s < 1 / FPS - ROUNDING_S:
                return
            yield None, window
        return
    held: list[Frame] = []
    known_s = 0.0
    for frame in frames:
        if len(held) == FRAMES_PER_SNIPPET:  # only now is it known not to be the last frame
            sound = None
            if windows is not None:
                sound, known_s = next(windows)
            yield held, sound
            held = []
        held.append(frame)
    if end is not None and pieces is not None and known_s > 0:
        end["unscored_s"] = known_s + sum(map(len, pieces)) / AUDIO_HZ
