"""What a video or audio file holds, by PyAV."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

AUDIO_LEAD_S = 0.1  # encoders begin with some silence of their own before the picture


MAX_ASPECT = 8


# Where decord 0.6 was found frame-exact; elsewhere PyAV decodes.
DECORD_MAX_DURATION_S = 1800.0  # it keeps an index of the whole file in memory, half a gigabyte for two hours


DECORD_FORMATS = ("mov", "matroska", "webm")


DECORD_CODECS = ("h264", "hevc", "mpeg4", "vp9")


@dataclass(frozen=True)
class VideoStream:
    """What the picture of a file is like."""

    codec: str
    width: int
    height: int
    fps: float
    start_s: float
    duration_s: float | None
    rotation: int
    is_cut: bool
    """Frames before the start are to be thrown away, as in a stream-copied cut."""
    index: int
    """Which stream of the file it is."""
    is_alone: bool
    """No other stream of the file is a picture."""


@dataclass(frozen=True)
class AudioStream:
    """What the sound of a file is like."""

    codec: str
    rate_hz: int
    n_channels: int
    start_s: float
    index: int


@dataclass(frozen=True)
class Media:
    """What a file holds. ``duration_s`` is what it claims, None where it claims nothing."""

    format: str
    duration_s: float | None
    video: VideoStream | None
    audio: AudioStream | None

    @property
    def start_s(self) -> float:
        """Time 0: the picture's begin, or the sound's where that is earlier by more than its
        encoder's lead."""
        if self.video is None or self.audio is None:
            return min(s.start_s for s in (self.video, self.audio) if s is not None)
        lead = self.video.start_s - self.audio.start_s
        return self.audio.start_s if lead > AUDIO_LEAD_S else self.video.start_s

    @property
    def decord_is_right(self) -> bool:
        """Does decord read this file right? Not where it starts late, is turned, or is of a kind that it mistakes."""
        v = self.video
        return (
            v is not None
            and any(f in self.format.split(",") for f in DECORD_FORMATS)
            and v.codec in DECORD_CODECS
            and v.rotation == 0
            and not v.is_cut
            and v.is_alone
            and v.start_s == self.start_s == 0
            and (self.duration_s or 0) <= DECORD_MAX_DURATION_S
        )


def media_from_header(header: dict[str, Any]) -> Media:
    """The media file that a decoding process described."""
    video, audio = header.pop("video"), header.pop("audio")
    return Media(
        **header,
        video=None if video is None else VideoStream(**video),
        audio=None if audio is None else AudioStream(**audio),
    )


class Unreadable(Exception):
    """What is wrong with the file, and what to do."""

    def __init__(self, problem: str, remedy: str = "repair or leave it out"):
        super().__init__(problem)
        self.remedy = remedy


def probe_media(path: str) -> Media:
    """Probe with PyAV; raises Unreadable."""
    import av

    if os.path.getsize(path) == 0:
        raise Unreadable("is empty", "copy or download it again")
    try:
        with av.open(path) as container:
            video = next((s for s in container.streams.video if s.codec_context and not _is_cover(s)), None)
            audio = next((s for s in container.streams.audio if s.codec_context), None)
            if video is None and audio is None:
                raise Unreadable("holds neither picture nor sound", "expected a video or audio file")
            seconds = container.duration / av.time_base if container.duration else None
            name = container.format.name
            decode_audio = None
            if audio is not None:
                decode_audio = AudioStream(
                    audio.codec_context.name,
                    audio.codec_context.sample_rate,
                    audio.codec_context.channels,
                    _start(audio),
                    audio.index,
                )
            if video is None:
                return Media(name, seconds, None, decode_audio)
            c = video.codec_context
            fps = float(video.guessed_rate or video.average_rate or 0)
            length = float(video.duration * (video.time_base or 0)) if video.duration else None
            start = _start(video)
            is_cut, rotation = _first_frame(container, video)
            stream = VideoStream(
                c.name,
                c.width,
                c.height,
                fps,
                start,
                length,
                rotation,
                is_cut,
                video.index,
                is_alone=len(container.streams.video) == 1,
            )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise Unreadable(
            f"not a readable video or audio file ({describe_av_error(error)})", "copy or download it again"
        ) from error
    if not stream.width or not stream.height:
        raise Unreadable("its picture has no size")
    if max(stream.width, stream.height) > MAX_ASPECT * min(stream.width, stream.height):
        raise Unreadable(f"its picture of {stream.width} x {stream.height} is narrower than 1 : {MAX_ASPECT}")
    return Media(name, seconds, stream, decode_audio)


def _is_cover(stream) -> bool:
    """A cover picture is a video stream of one frame."""
    return bool(int(stream.disposition) & 0x400)


def _start(stream) -> float:
    return float(stream.start_time * stream.time_base) if stream.start_time else 0.0


def _first_frame(container, stream) -> tuple[bool, int]:
    """Are there frames to throw away before the start; by how many degrees is the picture turned."""
    import av

    is_cut = False
    for packet in container.demux(stream):
        is_cut = is_cut or packet.is_discard or (packet.pts is not None and packet.pts < (stream.start_time or 0))
        try:
            for frame in packet.decode():
                return is_cut, frame.rotation
        except av.FFmpegError:
            continue  # decoding proper tells what is wrong
    return is_cut, 0


def describe_av_error(error: Exception) -> str:
    """An error of ffmpeg in a few words."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
