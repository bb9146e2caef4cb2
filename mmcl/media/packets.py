"""Packets of a stream written into a file as they are."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from mmcl.errors import FileError

IN_MP4 = ("h264", "hevc", "av1", "mpeg4", "vp9", "mjpeg", "aac", "mp3", "ac3", "opus")


@dataclass(frozen=True)
class StoredPacket:
    """A packet, kept apart from the container that it came from.

    Attributes:
        at_s: When it is seen or heard, from the begin of the whole [s].
        index: Of its stream.
        is_key: It can be decoded without those before it.
        data: Its bytes.
        pts: Presentation time stamp.
        dts: Decoding time stamp.
        time_base: Of the stamps [s].
        duration: In that unit.
    """

    at_s: float
    index: int
    is_key: bool
    data: bytes
    pts: int | None
    dts: int | None
    time_base: Fraction
    duration: int


def store_packet(packet: Any, at_s: float) -> StoredPacket:
    """A copy of PyAV's packet.

    Args:
        packet: PyAV's.
        at_s: When it is seen or heard, from the begin of the whole [s].
    """
    return StoredPacket(
        at_s, packet.stream.index, packet.is_keyframe, bytes(packet), packet.pts, packet.dts, packet.time_base,
        packet.duration or 0,
    )  # fmt: skip


class PacketWriter:
    """A file of packets; its ending is added, .mp4, or .mkv where mp4 cannot hold a codec.

    Args:
        path: Without ending.
        templates: PyAV's streams by index.
        origin_s: Time stamp that the file begins with [s].

    Raises:
        FileError: The file cannot be written.
    """

    def __init__(self, path: Path, templates: dict[int, Any], origin_s: float):
        import av

        names = [s.codec_context.name for s in templates.values()]
        ending = "mp4" if all(n in IN_MP4 for n in names) else "mkv"
        self.path, self.origin_s = path.parent / f"{path.name}.{ending}", origin_s
        self._started: set[int] = set()
        try:
            self._container = av.open(str(self.path), "w")
            self._streams = {i: self._container.add_stream_from_template(s) for i, s in sorted(templates.items())}
        except (av.FFmpegError, OSError, ValueError) as error:
            raise FileError(self.path, f"cannot be written ({error})", "check the folder") from error

    def write(self, stored: StoredPacket) -> None:
        """Add a packet; those before a stream's first key frame are left out.

        Raises:
            FileError: It cannot be written.
        """
        import av

        if stored.index not in self._streams or (stored.index not in self._started and not stored.is_key):
            return
        self._started.add(stored.index)
        shift = round(self.origin_s / stored.time_base)
        packet = av.Packet(stored.data)
        packet.time_base, packet.is_keyframe, packet.duration = stored.time_base, stored.is_key, stored.duration
        packet.pts = None if stored.pts is None else stored.pts - shift
        packet.dts = None if stored.dts is None else stored.dts - shift
        packet.stream = self._streams[stored.index]
        try:
            self._container.mux(packet)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise FileError(self.path, f"is incomplete ({error})", "make room, or check the stream") from error

    def close(self) -> None:
        """End the file.

        Raises:
            FileError: It cannot be written.
        """
        import av

        try:
            self._container.close()
        except (av.FFmpegError, OSError, ValueError) as error:
            raise FileError(self.path, f"is incomplete ({error})", "make room, or check the stream") from error
