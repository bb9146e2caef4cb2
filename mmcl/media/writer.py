"""Write a video with sound: H.264 and AAC in an mp4, whole or not at all."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

from mmcl.errors import FileError
from mmcl.io import atomic_write


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    fps: float,
    sound: Iterable[np.ndarray] = (),
    sound_hz: int = 16_000,
    *,
    quality: int = 26,
    preset: str = "veryfast",
) -> None:
    """Write a video with sound.

    Args:
        path: An mp4 file.
        frames: ``(height, width, 3)`` uint8 RGB each; an odd row or column is dropped.
        fps: Frames a second.
        sound: Pieces of mono float32 in [-1, 1]; None = a silent film.
        sound_hz: Of the sound.
        quality: x264's rate factor, lower is better.
        preset: x264's preset.

    Raises:
        FileError: The file cannot be written.
    """
    import av

    try:
        atomic_write(path, lambda temporary: _write(temporary, frames, fps, sound, sound_hz, quality, preset))
    except av.FFmpegError as error:
        raise FileError(path, f"cannot be encoded ({error.strerror})", "is its picture very small?") from error


def _write(temporary: Path, frames, fps, sound, hz, quality, preset) -> None:
    import av

    rate = Fraction(fps).limit_denominator(1001)
    pieces = iter(sound)
    piece = next(pieces, None)
    with av.open(str(temporary), "w", format="mp4", options={"movflags": "faststart"}) as out:
        video = out.add_stream("libx264", rate=rate, options={"crf": str(quality), "preset": preset})
        video.pix_fmt = "yuv420p"
        audio = None if piece is None else out.add_stream("aac", rate=hz, layout="mono")
        n_written = 0

        def catch_up(to: float) -> None:
            nonlocal piece, n_written
            while audio is not None and piece is not None and n_written <= to:
                out.mux(audio.encode(_sound(piece, n_written, hz)))
                n_written += len(piece)
                piece = next(pieces, None)

        for n, frame in enumerate(frames):
            height, width = (side // 2 * 2 for side in frame.shape[:2])
            if n == 0:
                video.height, video.width = height, width
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[:height, :width]), format="rgb24")
            picture.pts, picture.time_base = n, 1 / rate
            out.mux(video.encode(picture))
            catch_up((n + 1) / rate * hz)
        out.mux(video.encode(None))
        catch_up(math.inf)
        if audio is not None:
            out.mux(audio.encode(None))


def _sound(piece: np.ndarray, at: int, hz: int):
    import av

    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece[None], np.float32), format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = hz, at, Fraction(1, hz)
    return frame
