"""Is a media file complete, where ffmpeg does not say so?"""

from __future__ import annotations

import os

UNKNOWN = 0xFFFFFFFF  # length of a WAV that was written to a pipe
TAIL = 1 << 17  # bytes at the end of an Ogg file, in which its last page begins (64 KiB at most)
END_OF_STREAM = 0x4


class Unreadable(Exception):
    """What is wrong with the file, and what to do."""

    def __init__(self, problem: str, remedy: str = "repair or leave it out"):
        super().__init__(problem)
        self.remedy = remedy


class ClockLeap(Unreadable):
    """Time stamps leap back, or far ahead; what follows is whole in itself."""


class Truncated(Unreadable):
    """The end of the file is missing; what is there can be decoded."""

    def __init__(self, problem: str):
        super().__init__(problem, "copy or download it again; mmcl score --growing takes it as it is")


def check_complete(path: str, name: str, size: int) -> None:
    """The file ends where it should, and is one file.

    Args:
        path: A media file.
        name: Its format, as ffmpeg calls it.
        size: In bytes.

    Raises:
        Truncated: Its end is missing.
        Unreadable: It is several files joined, of which ffmpeg reads the first alone.
    """
    if name == "mpegts" and all(size % n for n in (188, 192, 204)):
        raise Truncated("ends in the middle of a packet: it is cut off, or still being written")
    if name == "gif":
        with open(path, "rb") as file:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b";":
                raise Truncated("lacks its end: it is cut off, or still being written")
    if "mp4" in name.split(","):
        _check_mp4(path, size)
    if name == "wav":
        _check_wav(path, size)
    if name == "ogg":
        _check_ogg(path, size)
    if name == "mp3":
        _check_mp3(path, size)
    if name == "flv":
        _check_flv(path, size)


def _check_wav(path: str, size: int) -> None:
    with open(path, "rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[4:], "little")
            if head[:4] == b"data":
                left = size - file.tell()
                if left < length != UNKNOWN:
                    raise Truncated(f"holds {left:,} of {length:,} bytes of sound: it is truncated")
                file.seek(min(length + length % 2, left), os.SEEK_CUR)
                behind = file.read(4)
                if length and len(behind) == 4 and (behind == b"RIFF" or not behind.strip().isalnum()):
                    raise Unreadable(f"holds more than the {length:,} bytes of sound that its header says")
                return
            file.seek(length + length % 2, os.SEEK_CUR)


def _check_mp4(path: str, size: int) -> None:
    """An mp4 begins once (of joined files ffmpeg reads the first alone), and its boxes end where the file ends."""
    n_begins = 0
    with open(path, "rb") as file:
        while file.tell() + 8 <= size:
            at = file.tell()
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            length = int.from_bytes(head[8:], "big") if length == 1 else length
            n_begins += head[4:8] == b"ftyp"
            if length < 8:
                break
            if at + length > size and head[4:8] == b"mdat":
                raise Truncated(f"holds {size - at:,} of {length:,} bytes of media: it is truncated")
            file.seek(at + length)
    if n_begins > 1:
        raise Unreadable("is several files joined, of which the first alone can be read", "join them by a video tool")


def _check_ogg(path: str, size: int) -> None:
    """The last page is complete and says that its stream ends (RFC 3533, section 6)."""
    with open(path, "rb") as file:
        file.seek(max(size - TAIL, 0))
        tail = file.read()
    at = tail.rfind(b"OggS")
    page = tail[at:]
    n_segments = page[26] if at >= 0 and len(page) > 26 else 0
    length = 27 + n_segments + sum(page[27 : 27 + n_segments])
    if at < 0 or len(page) < max(length, 28) or not page[5] & END_OF_STREAM:
        raise Truncated("does not say that it ends: it is cut off, or still being written")


def _check_mp3(path: str, size: int) -> None:
    """The header that encoders write into the first frame (Xing, Info) says how many bytes there are."""
    with open(path, "rb") as file:
        head = file.read(10)
        start = 0
        if head[:3] == b"ID3" and len(head) == 10:
            start = 10 + sum((byte & 0x7F) << 7 * (3 - i) for i, byte in enumerate(head[6:10]))
        file.seek(start)
        frame = file.read(256)
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    if at < 0 or len(frame) < at + 16:
        return  # of a constant bit rate without a header nothing tells
    flags = int.from_bytes(frame[at + 4 : at + 8], "big")
    if flags & 0x2:
        skipped = 4 * (flags & 0x1)
        claimed = int.from_bytes(frame[at + 8 + skipped : at + 12 + skipped], "big")
        if size - start < claimed:
            raise Truncated(f"holds {size - start:,} of {claimed:,} bytes of sound: it is truncated")


def _check_flv(path: str, size: int) -> None:
    """Tags follow each other to the end; another file's header between them is of a joined one."""
    with open(path, "rb") as file:
        file.seek(5)
        file.seek(int.from_bytes(file.read(4), "big") + 4)
        while (at := file.tell()) + 11 <= size:
            head = file.read(11)
            if head[:3] == b"FLV":
                raise Unreadable(
                    "is several files joined, of which the first alone can be read", "join them by a video tool"
                )
            file.seek(at + 15 + int.from_bytes(head[1:4], "big"))
