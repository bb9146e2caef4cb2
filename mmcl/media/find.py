"""Video and audio files in folders and by patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from mmcl.errors import FileError

VIDEO_ENDINGS = set(
    ["mp4", "m4v", "mkv", "webm", "avi", "mov", "ts", "mts", "m2ts", "mpg", "mpeg", "flv", "wmv", "3gp", "ogv", "gif"]
)
AUDIO_ENDINGS = set(["wav", "mp3", "m4a", "aac", "flac", "ogg", "opus", "wma"])


def find_media(sources: Iterable[Path | str]) -> list[Path]:
    """Files, the media files in folders and below, and those that patterns (``*.mp4``) match.

    Args:
        sources: Files, folders and patterns.

    Raises:
        InputError: A source is or matches nothing, or two files have one name.
    """
    files: list[Path] = []
    for source in map(Path, sources):
        if source.is_dir():
            matches = [p for p in sorted(source.rglob("*")) if _is_media(p)]
        elif source.exists():
            matches = [source]
        else:
            matches = [Path(p) for p in sorted(glob.glob(os.fspath(source), recursive=True)) if Path(p).is_file()]
        if not matches:
            what = "holds no video or audio files" if source.is_dir() else "no such file"
            raise FileError(source, what, "check the path")
        files += matches
    files = list(dict.fromkeys(files))
    names: dict[str, Path] = {}
    for path in files:
        if path.stem in names:
            raise FileError(path, f"has the name of {names[path.stem]}", "rename one: results are named after files")
        names[path.stem] = path
    return files


def _is_media(path: Path) -> bool:
    return not path.name.startswith(".") and path.suffix[1:].lower() in VIDEO_ENDINGS | AUDIO_ENDINGS and path.is_file()
