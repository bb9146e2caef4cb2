"""Cameras, network streams, standard input and files that grow, opened as PyAV's containers."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from mmcl.errors import FileError, InputError
from mmcl.media.completeness import Unreadable
from mmcl.media.probe import describe_av_error

LIVE = ("rtsp", "rtsps", "udp", "tcp", "rtp", "srt", "rtmp")
HTTP = ("http", "https")
NO_PLAYLISTS = "mpegts,flv,matroska,mov,ogg,mpjpeg,h264,hevc,mp3,aac,wav"  # formats that hold all data themselves
POLL_S = 0.1


@dataclass(frozen=True)
class LiveSource:
    """Where a stream comes from.

    Attributes:
        address: A camera's number, an address, "-" for standard input, or a file.
        stall_s: Seconds without data after which it is given up, and of a file those without growth after which it has
            ended.
        leads_nowhere: Over HTTP follow no redirect and open no playlist (HLS): nothing but the address itself is
            connected to.

    Raises:
        InputError: The address is none that is read.

    Example:
        >>> LiveSource("rtsp://camera/stream").is_live, LiveSource("-").is_live
        (True, False)
    """

    address: str
    stall_s: float = 10.0
    leads_nowhere: bool = False

    def __post_init__(self) -> None:
        if not 0.1 <= self.stall_s <= 3600:
            raise InputError(f"--stall-s {self.stall_s:g}: expected 0.1 to 3600 seconds")
        if "://" in self.address and self.scheme not in (*LIVE, *HTTP):
            raise InputError(f"{self.name}: expected one of {', '.join((*LIVE, *HTTP))}://")

    @property
    def scheme(self) -> str:
        """Of the address, "" of files, cameras and standard input."""
        return urlsplit(self.address).scheme.lower() if "://" in self.address else ""

    @property
    def is_camera(self) -> bool:
        """Is it a camera of this machine?"""
        return self.address.isdigit()

    @property
    def is_live(self) -> bool:
        """It does not wait for whoever reads it."""
        return self.is_camera or self.scheme in (*LIVE, *HTTP)

    def comes_back(self, container: Any) -> bool:
        """Where it ends without an error, is it opened again? Not what HTTP states the length of: files, and HLS.

        Args:
            container: PyAV's, opened.
        """
        return self.is_camera or self.scheme in LIVE or (self.scheme in HTTP and container.size <= 0)

    @property
    def name(self) -> str:
        """For messages: without user name and password."""
        return re.sub(r"//[^/@]*@", "//", self.address)

    @contextmanager
    def open(self, is_stopped: Callable[[], bool] = lambda: False) -> Iterator[Any]:
        """The stream as PyAV's container, which is closed at the end.

        Args:
            is_stopped: Nobody waits for more of a file that grows.

        Raises:
            Unreadable: It cannot be opened.
            FileError: The file is not there.
        """
        import av

        file = self._file(is_stopped)
        try:
            container = self._open(file)
        except (av.FFmpegError, OSError, ValueError) as error:
            if file is not None:
                file.close()
            remedy = "check it, and that it sends"
            if self.leads_nowhere and self.scheme in HTTP:
                remedy += "; redirects and playlists (HLS) are not followed without --allow-private"
            raise Unreadable(f"cannot be opened ({describe_av_error(error)})", remedy) from error
        try:
            yield container
        finally:
            container.close()
            if file is not None:
                file.close()

    def _file(self, is_stopped: Callable[[], bool]) -> GrowingFile | None:
        if self.scheme or self.is_camera or self.address == "-":
            return None
        if not os.path.isfile(self.address):
            remedy = "check the path, or give an address such as rtsp://HOST/PATH"
            raise FileError(self.address, "no such file", remedy)
        return GrowingFile(Path(self.address), self.stall_s, is_stopped)

    def _open(self, file: GrowingFile | None) -> Any:
        import av

        options = _options(self.scheme, self.stall_s)
        if self.leads_nowhere and self.scheme in HTTP:
            options |= {"max_redirects": "0", "format_whitelist": NO_PLAYLISTS}
        limits = (self.stall_s, self.stall_s)
        if self.is_camera:
            place, kind = _camera(int(self.address))
            return av.open(place, format=kind, options=options, timeout=limits)
        if self.address == "-":
            return av.open(_Unseekable(sys.stdin.buffer), options=options)
        if file is not None:
            return av.open(file, options=options)
        return av.open(self.address, options=options, timeout=limits)


def _options(scheme: str, stall_s: float) -> dict[str, str]:
    if scheme in ("rtsp", "rtsps"):
        return {"rtsp_transport": "tcp"}
    if scheme == "udp":
        return {"overrun_nonfatal": "1", "fifo_size": "500000", "timeout": str(round(1e6 * stall_s))}
    return {}


def _camera(number: int) -> tuple[str, str]:
    if sys.platform == "darwin":
        return f"{number}:{number}", "avfoundation"
    if sys.platform == "win32":
        return f"video={number}", "dshow"
    return f"/dev/video{number}", "v4l2"


class _Unseekable:
    """A pipe as PyAV reads it."""

    def __init__(self, pipe: IO[bytes]):
        self.pipe = pipe

    def read(self, n: int) -> bytes:
        part = self.pipe.read1(n) if hasattr(self.pipe, "read1") else self.pipe.read(n)
        return bytes(part)


class GrowingFile:
    """A file that is read while it is written; its end is where it does not grow any more.

    Args:
        path: The file.
        idle_s: Seconds without growth after which it has ended.
        is_stopped: Nobody waits for more.
    """

    def __init__(self, path: Path, idle_s: float, is_stopped: Callable[[], bool]):
        self.file, self.idle_s = open(path, "rb"), idle_s  # noqa: SIM115, closed with the container
        self.is_stopped = is_stopped

    def read(self, n: int) -> bytes:
        """The next bytes, up to ``n``; none at the end."""
        until = time.monotonic() + self.idle_s
        while not (part := self.file.read(n)):
            if self.is_stopped() or time.monotonic() > until or os.fstat(self.file.fileno()).st_nlink == 0:
                return b""
            time.sleep(POLL_S)
        return part

    def close(self) -> None:
        """Close the file."""
        self.file.close()
