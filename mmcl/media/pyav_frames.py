"""Frames of a video at 24 fps, decoded by PyAV."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmcl.media.probe import Media, Unreadable, VideoStream, describe_av_error
from mmcl.media.timing import FPS

MAX_STEP_BACK_S, MAX_STEP_AHEAD_S = 1.0, 600.0  # leaps of a stream's clock beyond these are not believed


LOST_S, LOST_SHARE = 1.0, 0.02  # what may be missing at the end before a file counts as truncated


ROUNDING_S = 1e-3  # Matroska counts milliseconds


def scaled_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Height and width with the shorter side scaled, even numbers."""
    ratio = short_side / min(width, height)
    return max(round(width * ratio), short_side), max(round(height * ratio), short_side)


def frames_by_pyav(path: str, media: Media, short_side: int) -> Iterator[np.ndarray]:
    """The frame that is seen at k / 24 s, for k = 0, 1, ... to the end; scaled, upright, RGB."""
    import av

    v = media.video
    assert v is not None
    width, height = scaled_size(v.width, v.height, short_side)
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
        try:
            for new in container.decode(stream):
                if new.is_corrupt:
                    raise Unreadable(f"a frame at {_at(new, media, end_s):.2f} s is damaged")
                at_s = _at(new, media, end_s)
                check_timestamps("picture", end_s, at_s)
                if frame is None:
                    frame = new  # held back to 0 where the picture begins after the sound
                if (k / FPS) < at_s - ROUNDING_S:
                    shown = picture(frame)
                    while (k / FPS) < at_s - ROUNDING_S:
                        yield shown
                        k += 1
                frame = new
                end_s = at_s + _lasts(new, v)
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


def check_timestamps(what: str, expected_s: float, at_s: float) -> None:
    """Joined files begin their clocks anew, damaged ones leap: neither says when what is seen was."""
    if at_s < expected_s - MAX_STEP_BACK_S or at_s > expected_s + MAX_STEP_AHEAD_S:
        raise Unreadable(
            f"the clock of its {what} leaps from {expected_s:.1f} to {at_s:.1f} s",
            "write it anew with a video tool, joined files one by one",
        )


def _at(frame, media: Media, otherwise: float) -> float:
    return otherwise if frame.time is None else frame.time - media.start_s


def _lasts(frame, stream: VideoStream) -> float:
    if frame.duration and frame.time_base:
        return float(frame.duration * frame.time_base)
    return 1 / stream.fps if stream.fps else 1 / FPS


def check_duration(media: Media, end_s: float) -> None:
    """Raises ``Unreadable`` where the picture ends long before the file says."""
    v = media.video
    claimed = v.duration_s if v is not None and v.duration_s else None
    if claimed is None:
        return
    if end_s < claimed - max(LOST_S, LOST_SHARE * claimed):
        raise Unreadable(f"ends after {end_s:.1f} of {claimed:.1f} s: it is truncated", "copy or download it again")
