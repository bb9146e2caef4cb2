"""Video and audio files in folders and by patterns."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mmcl.errors import FileError

VIDEO_ENDINGS = set(
    ["mp4", "m4v", "mkv", "webm", "avi", "mov", "ts", "mts", "m2ts", "mpg", "mpeg", "flv", "wmv", "3gp", "ogv", "gif"]
)
AUDIO_ENDINGS = set(["wav", "mp3", "m4a", "aac", "flac", "ogg", "opus", "wma"])
BLOCK, N_BLOCKS = 1 << 16, 512  # bytes, and how many blocks of a file its content is told by


@dataclass(frozen=True)
class MediaFile:
    """A media file.

    Attributes:
        path: Where it is.
        name: What results are named after: its path below the folder that was given, without its ending.

    Example:
        >>> MediaFile(Path("videos/day/a.mp4"), "day/a").name
        'day/a'
    """

    path: Path
    name: str


def find_media(sources: Iterable[Path | str]) -> list[MediaFile]:
    """Files, the media files in folders and below, and those that patterns (``*.mp4``) match.

    Args:
        sources: Files, folders and patterns.

    Raises:
        InputError: A source is or matches nothing, or two files have one name.
    """
    files: dict[Path, MediaFile] = {}
    for source in map(Path, sources):
        if os.path.isdir(source):
            matches = [(p, p.relative_to(source)) for p in sorted(source.rglob("*")) if is_media(p)]
        elif os.path.exists(source):
            matches = [(source, Path(source.name))]
        else:
            paths = (Path(p) for p in sorted(glob.glob(os.fspath(source), recursive=True)))
            matches = [(p, Path(p.name)) for p in paths if p.is_file()]
        if not matches:
            what = "holds no video or audio files" if source.is_dir() else "no such file"
            raise FileError(source, what, "check the path")
        for path, below in matches:
            files.setdefault(path, MediaFile(path, below.with_suffix("").as_posix()))
    names: dict[str, Path] = {}
    for file in files.values():
        if file.name in names:
            raise FileError(
                file.path, f"has the name of {names[file.name]}", "rename one: results are named after files"
            )
        names[file.name] = file.path
    return list(files.values())


def is_media(path: Path) -> bool:
    """Is it a file with the ending of a video or audio file, not hidden?"""
    return has_media_ending(path.name) and not path.name.startswith(".") and path.is_file()


def has_media_ending(name: str) -> bool:
    """Does a name end as those of video and audio files do?

    Example:
        >>> has_media_ending("a.MP4"), has_media_ending("a.npy")
        (True, False)
    """
    return Path(name).suffix[1:].lower() in VIDEO_ENDINGS | AUDIO_ENDINGS


def content_id(path: Path) -> str:
    """Tells a file's content, whatever its name: a hash of it, above 32 MB of its size and 512 blocks spread over it.

    Args:
        path: The file.

    Raises:
        FileError: It cannot be read.

    Example:
        >>> len(content_id(Path(__file__)))
        32
    """
    digest = hashlib.blake2b(digest_size=16)
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest.update(str(size).encode())
            step = max((size - BLOCK) // (N_BLOCKS - 1), BLOCK)
            for start in range(0, max(size, 1), step):
                file.seek(start)
                digest.update(file.read(BLOCK))
            file.seek(max(size - BLOCK, 0))
            digest.update(file.read(BLOCK))
    except OSError as error:
        what = "no such file" if not path.exists() else f"cannot be read ({error.strerror})"
        raise FileError(path, what, "check the path") from error
    return digest.hexdigest()


class KnownContent:
    """The content of files, computed once for each, so that a file that changes meanwhile is told."""

    def __init__(self) -> None:
        self._ids: dict[Path, str] = {}

    def of(self, path: Path) -> str:
        """``content_id`` as it was when it was first asked for."""
        if path not in self._ids:
            self._ids[path] = content_id(path)
        return self._ids[path]

    def require_unchanged(self, path: Path) -> str:
        """``content_id``, which is as it was.

        Raises:
            FileError: It is not.
        """
        if content_id(path) != self.of(path):
            raise FileError(path, "changed while it was read", "start again when nothing writes to it")
        return self.of(path)


def find_copies(paths: Iterable[Path]) -> dict[Path, Path]:
    """Files whose content is that of an earlier one; only those of equal size are read.

    Args:
        paths: Files; those that are not there are ignored.

    Returns:
        By file the first one of the same content.

    Raises:
        FileError: A file cannot be read.
    """
    by_size: dict[int, list[Path]] = {}
    for path in dict.fromkeys(paths):
        if os.path.isfile(path):
            by_size.setdefault(path.stat().st_size, []).append(path)
    copies: dict[Path, Path] = {}
    for alike in by_size.values():
        first: dict[str, Path] = {}
        for path in alike if len(alike) > 1 else ():
            original = first.setdefault(content_id(path), path)
            if original != path:
                copies[path] = original
    return copies
