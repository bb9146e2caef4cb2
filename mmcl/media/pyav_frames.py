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
    scale = Scaler(v, short_side)
    with av.open(path) as container:
        stream = container.streams[v.index]
        assert isinstance(stream, av.VideoStream)
        stream.thread_type = "AUTO"
        # AVI has no presentation times: with B frames ffmpeg's guesses do not rise; those of decoding, less a delay, do
        is_guessed = "avi" in media.format.split(",") and bool(stream.codec_context.has_b_frames)
        decoded = container.decode(stream)
        for frame in frames_at_24(_in_order(decoded) if is_guessed else decoded, media):
            yield scale(frame)


class Scaler:
    """Scales frames as they are shown, upright, to RGB; a frame that comes again is not scaled again.

    Args:
        stream: The picture.
        short_side: Pixels of the shorter side.
    """

    def __init__(self, stream: VideoStream, short_side: int):
        import av

        self.size, self.turns = scaled_size(stream, short_side), round(stream.rotation / 90) % 4
        self.reformatter = av.video.reformatter.VideoReformatter()
        self.last: tuple[object, np.ndarray] | None = None

    def __call__(self, frame) -> np.ndarray:
        if self.last is None or self.last[0] is not frame:
            width, height = self.size
            x = self.reformatter.reformat(
                frame, width=width, height=height, format="rgb24", interpolation="BICUBIC"
            ).to_ndarray()
            self.last = frame, np.ascontiguousarray(np.rot90(x, self.turns)) if self.turns else x
        return self.last[1]


def frames_at_24(frames: Iterator, media: Media, has_end: bool = True) -> Iterator:
    """Of decoded frames those that are seen at k / 24 s, for k = 0, 1, ... to the end; a frame may come again.

    Args:
        frames: PyAV's, in order.
        media: What the file or stream holds; its begin is time 0.
        has_end: It is a file, whose end is checked against what it claims.

    Raises:
        Unreadable: A frame is damaged, or its time is wrong.
    """
    import av

    v = media.video
    assert v is not None
    frame, end_s, k = None, 0.0, 0
    try:
        for new in frames:
            if new.is_corrupt:
                raise Unreadable(f"a frame at {_at(new, media, end_s):.2f} s is damaged")
            at_s = _at(new, media, end_s)
            check_timestamps("picture", end_s, at_s, media)
            if frame is None:
                frame = new  # held back to 0 where the picture begins after the sound
            while (k / FPS) < at_s - ROUNDING_S:
                yield frame
                k += 1
            frame = new
            end_s = at_s + _lasts(new, v)
            check_timestamps("picture", at_s, end_s, media)
    except (av.FFmpegError, OSError) as error:
        raise Unreadable(f"its picture cannot be decoded after {end_s:.2f} s ({describe_av_error(error)})") from error
    if frame is None:
        raise Unreadable("its picture holds no frame that can be decoded")
    if has_end:
        check_duration(media, end_s)
    while k < round(end_s * FPS):
        yield frame
        k += 1


def _in_order(frames: Iterator) -> Iterator:
    delay: int | None = None
    for frame in frames:
        if frame.dts is not None:
            delay = frame.dts if delay is None else delay
            frame.pts = frame.dts - delay
        yield frame


def _at(frame, media: Media, otherwise: float) -> float:
    return otherwise if frame.time is None else frame.time - media.start_s


def _lasts(frame, stream: VideoStream) -> float:
    if frame.duration and frame.time_base:
        return float(frame.duration * frame.time_base)
    return 1 / stream.fps if stream.fps else 1 / FPS
