"""What a video or audio file holds, by PyAV."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmcl.media.completeness import Unreadable, check_complete

AUDIO_LEAD_S = 0.1  # encoders begin with some silence of their own before the picture


MAX_ASPECT = 8
MAX_PIXELS = 40_000_000  # of a frame; 8K has 33 million


# Where decord 0.6 was found frame-exact; elsewhere PyAV decodes.
DECORD_MAX_DURATION_S = 1800.0  # it keeps an index of the whole file in memory, half a gigabyte for two hours


DECORD_FORMATS = ("mov", "matroska", "webm")


DECORD_CODECS = ("h264", "hevc", "mpeg4", "vp9")


ANYWAY_S, SECONDS_PER_BYTE = 600.0, 0.25  # how long a small file can last; a still picture takes some bytes a second
MAX_S = 48 * 3600.0


def longest_s(n_bytes: int) -> float:
    """How long a file of so many bytes can be [s]: time stamps are numbers that anybody can write.

    Example:
        >>> longest_s(4000)
        1600.0
    """
    return min(ANYWAY_S + SECONDS_PER_BYTE * n_bytes, MAX_S)


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
    n_pictures: int = 1
    """How many streams of the file are pictures, covers left out."""
    pixel_aspect: float = 1.0
    """Width of a pixel by its height, as it is to be shown."""

    @property
    def shown_size(self) -> tuple[float, float]:
        """Width and height in square pixels, before it is turned."""
        return self.width * self.pixel_aspect, float(self.height)


@dataclass(frozen=True)
class AudioStream:
    """What the sound of a file is like."""

    codec: str
    rate_hz: int
    n_channels: int
    start_s: float
    index: int
    duration_s: float | None = None
    """What the stream claims."""
    track: int = 1
    """Which of the file's sound tracks it is, from 1."""
    n_tracks: int = 1
    mixed: tuple[int, ...] = ()
    """Indices of the streams that are heard together, empty = this one alone."""


@dataclass(frozen=True)
class Media:
    """What a file holds. ``duration_s`` is what it claims, None where it claims nothing; ``limit_s`` what a file of its
    size can last."""

    format: str
    duration_s: float | None
    video: VideoStream | None
    audio: AudioStream | None
    limit_s: float = float("inf")

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


def probe_media(path: str, audio_track: str = "default", growing: bool = False) -> Media:
    """Probe with PyAV.

    Args:
        path: A media file.
        audio_track: Which sound track is heard: "default", the one that the file marks so, else the first; "mix", all
            together; or its number, from 1.
        growing: The file may be incomplete.

    Raises:
        Unreadable: It is no media file, or has no such track.
    """
    import av

    size = os.path.getsize(path)
    if size == 0:
        raise Unreadable("is empty", "copy or download it again")
    try:
        with av.open(path) as container:
            pictures = [s for s in container.streams.video if s.codec_context and not _is_cover(s)]
            video = next((s for s in pictures if int(s.disposition) & DEFAULT), next(iter(pictures), None))
            tracks = [s for s in container.streams.audio if s.codec_context]
            audio = choose_track(tracks, audio_track)
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
                    _duration(audio),
                    tracks.index(audio) + 1,
                    len(tracks),
                    tuple(s.index for s in tracks) if audio_track == "mix" and len(tracks) > 1 else (),
                )
            if video is None:
                if not growing:
                    check_complete(path, name, size)
                return Media(name, seconds, None, decode_audio, longest_s(size))
            c = video.codec_context
            if c.width * c.height > MAX_PIXELS:
                raise Unreadable(f"its picture of {c.width} x {c.height} is larger than {MAX_PIXELS:,} pixels")
            fps = float(video.guessed_rate or video.average_rate or 0)
            tells = name == "flv" or (audio is None and "matroska" in name)  # the container does, not the stream
            length = _duration(video) or (seconds if tells else None)
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
                n_pictures=len(pictures),
                pixel_aspect=float(video.sample_aspect_ratio or c.sample_aspect_ratio or 1) or 1.0,
            )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise Unreadable(
            f"not a readable video or audio file ({describe_av_error(error)})", "copy or download it again"
        ) from error
    if not stream.width or not stream.height:
        raise Unreadable("its picture has no size")
    if max(stream.shown_size) > MAX_ASPECT * min(stream.shown_size):
        width, height = stream.shown_size
        raise Unreadable(f"its picture of {width:.0f} x {height:.0f} is narrower than 1 : {MAX_ASPECT}")
    if not growing:
        check_complete(path, name, size)
    return Media(name, seconds, stream, decode_audio, longest_s(size))


def choose_track(tracks: Sequence[Any], name: str) -> Any:
    """The sound track that is heard, None of none.

    Args:
        tracks: PyAV's streams.
        name: As ``probe_media`` takes it.

    Raises:
        Unreadable: There is no such track.
    """
    if not tracks:
        return None
    if name.isdigit():
        if not 1 <= int(name) <= len(tracks):
            raise Unreadable(f"has {len(tracks)} sound tracks, not {name}", "choose another --audio-track")
        return tracks[int(name) - 1]
    return next((s for s in tracks if int(s.disposition) & DEFAULT), tracks[0])


DEFAULT, COVER = 0x1, 0x400  # ffmpeg's dispositions


def _is_cover(stream) -> bool:
    """A cover picture is a video stream of one frame."""
    return bool(int(stream.disposition) & COVER)


def _duration(stream) -> float | None:
    """What a stream claims [s]: in its header, or in the tag that Matroska's writers leave."""
    if stream.duration:
        return float(stream.duration * (stream.time_base or 0))
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else None


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
