"""Frames of a video at 24 fps, decoded by PyAV."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmcl.media.claims import check_duration, check_timestamps
from mmcl.media.completeness import Unreadable
from mmcl.media.probe import Media, VideoStream, describe_av_error
from mmcl.media.timing import FPS

ROUNDING_S = 1e-3  # Matroska counts milliseconds


def scaled_size(stream: VideoStream, short_side: int) -> tuple[int, int]:
    """Width and height of the picture as it is shown, the shorter side scaled."""
    width, height = stream.shown_size
    ratio = short_side / min(width, height)
    return max(round(width * ratio), short_side), max(round(height * ratio), short_side)


def frames_by_pyav(path: str, media: Media, short_side: int) -> Iterator[np.ndarray]:
    """The frame that is seen at k / 24 s, for k = 0, 1, ... to the end; scaled, upright, RGB."""
    import av

    v = media.video
    assert v is not None
    width, height = scaled_size(v, short_side)
    turns = round(v.rotation / 90) % 4

    reformatter = av.video.reformatter.VideoReformatter()

    def picture(frame) -> np.ndarray:
        x = reformatter.reformat(
            frame, width=width, height=height, format="rgb24", interpolation="BICUBIC"
        ).to_ndarray()
        return np.ascontiguousarray(np.rot90(x, turns)) if turns else x

    frame, end_s, k = None, 0.0, 0
    with av.open(path) as container:
        stream = container.streams[v.index]
        assert isinstance(stream, av.VideoStream)
        stream.thread_type = "AUTO"
        # AVI has no presentation times: with B frames ffmpeg's guesses do not rise; those of decoding, less a delay, do
        is_guessed = "avi" in media.format.split(",") and bool(stream.codec_context.has_b_frames)
        delay: int | None = None
        try:
            for new in container.decode(stream):
                if is_guessed and new.dts is not None:
                    delay = new.dts if delay is None else delay
                    new.pts = new.dts - delay
                if new.is_corrupt:
                    raise Unreadable(f"a frame at {_at(new, media, end_s):.2f} s is damaged")
                at_s = _at(new, media, end_s)
                check_timestamps("picture", end_s, at_s, media)
                if frame is None:
                    frame = new  # held back to 0 where the picture begins after the sound
                if (k / FPS) < at_s - ROUNDING_S:
                    shown = picture(frame)
                    while (k / FPS) < at_s - ROUNDING_S:
                        yield shown
                        k += 1
                frame = new
                end_s = at_s + _lasts(new, v)
                check_timestamps("picture", at_s, end_s, media)
        except (av.FFmpegError, OSError) as error:
            raise Unreadable(
                f"its picture cannot be decoded after {end_s:.2f} s ({describe_av_error(error)})"
            ) from error
    if frame is None:
        raise Unreadable("its picture holds no frame that can be decoded")
    check_duration(media, end_s)
    shown = picture(frame)
    while k < round(end_s * FPS):
        yield shown
        k += 1


def _at(frame, media: Media, otherwise: float) -> float:
    return otherwise if frame.time is None else frame.time - media.start_s


def _lasts(frame, stream: VideoStream) -> float:
    if frame.duration and frame.time_base:
        return float(frame.duration * frame.time_base)
    return 1 / stream.fps if stream.fps else 1 / FPS
