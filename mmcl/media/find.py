"""Video and audio files in folders and by patterns."""

from __future__ import annotations

import glob
import hashlib
import itertools
import os
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mmcl.errors import FileError
from mmcl.io import print_once

VIDEO_ENDINGS = set(
    ["mp4", "m4v", "mkv", "webm", "avi", "mov", "ts", "mts", "m2ts", "mpg", "mpeg", "flv", "wmv", "3gp", "ogv", "gif"]
)
AUDIO_ENDINGS = set(["wav", "mp3", "m4a", "aac", "flac", "ogg", "opus", "wma"])
# what often lies beside media, which nobody misses
TEXTS = set(
    ["txt", "csv", "json", "jsonl", "md", "srt", "vtt", "ass", "eaf", "html", "pdf", "xml", "yaml", "yml", "log"]
)
BESIDE_MEDIA = TEXTS | set(["yml", "npy", "npz", "png", "jpg", "jpeg", "list", "edl"])
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
        InputError: A source is or matches nothing, or two files have one name, whatever is added to it: endings, or the
            folders that were given.
    """
    places: dict[Path, tuple[Path, Path]] = {}  # by file the folder that was given, and its path below
    for source in map(Path, sources):
        if os.path.isdir(source):
            matches = [(p, source) for p in media_below(source)]
        elif os.path.exists(source):
            matches = [(source, source.parent)]
        else:
            base = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), source.parts[:-1]))
            paths = (Path(p) for p in sorted(glob.glob(os.fspath(source), recursive=True)))
            matches = [(p, base) for p in paths if p.is_file()]
        if not matches:
            what = "holds no video or audio files" if source.is_dir() else "no such file"
            raise FileError(source, what, "check the path")
        for path, folder in matches:
            places.setdefault(path, (folder, path.relative_to(folder)))
    names = {path: below.with_suffix("").as_posix() for path, (_, below) in places.items()}
    for rename in (_with_ending, _with_folder):
        counts = Counter(names.values())
        names = {p: n if counts[n] == 1 else rename(*places[p]) for p, n in names.items()}
    by_name: dict[str, Path] = {}
    for path, name in names.items():
        if name in by_name:
            raise FileError(path, f"has the name of {by_name[name]}", "rename one: results are named after files")
        by_name[name] = path
    return [MediaFile(path, name) for path, name in names.items()]


def _with_ending(folder: Path, below: Path) -> str:
    """Of files that differ in their endings alone."""
    return below.as_posix()


def _with_folder(folder: Path, below: Path) -> str:
    """Of files in several folders that were given."""
    return (Path(folder.resolve().name) / below).with_suffix("").as_posix()


def media_below(folder: Path) -> list[Path]:
    """The media files in a folder and below, links to folders followed, each folder once.

    What is no media file by its ending, and is not hidden or a text beside them, is counted in a line.

    Args:
        folder: To look into.
    """
    files: list[Path] = []
    others: list[Path] = []
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        for path in (Path(place, name) for name in names if not name.startswith(".")):
            (files if is_media(path) else others).append(path)
    if skipped := sorted(p for p in others if p.suffix[1:].lower() not in BESIDE_MEDIA):
        shown = ", ".join(str(p.relative_to(folder)) for p in skipped[:3])
        more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        print_once(f"{folder}: not taken as video or audio by their endings: {shown}{more}", sys.stderr)
    return sorted(files)


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
