"""A folder of class folders with videos, as a recording index.

FOLDER/fight/a.mp4                 class fight
FOLDER/train/fight/a.mp4           split train (also test, val, validation, as folders below FOLDER)
FOLDER/fight/camera-3/a.mp4        group camera-3
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

from mmcl.data.recording_index import RecordingIndex, RecordingRow
from mmcl.errors import FileError, InputError
from mmcl.media.find import MediaFile, find_media

SPLIT_FOLDERS = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
    "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip
NORMAL = ("normal", "normals", "none", "negative", "negatives", "background", "nothing", "0", "no", "false")


def read_folder(folder: Path, group_by: str = "") -> RecordingIndex:
    """The recording index of a folder; no file is opened.

    Args:
        folder: Holds class folders, below folders of splits or not.
        group_by: A pattern (regular expression) that is searched in each recording's name; its first bracket, or all
            of it, is the recording's group. By default the folder between the class and the file.

    Raises:
        FileError: The folder is not as expected.
        InputError: The pattern is none, or is not found in a name.
    """
    files = find_media([folder])
    outside = [file for file in files if not ("/" in file.name and file.name.split("/")[0].lower() in SPLIT_FOLDERS)]
    has_splits = not outside
    if outside and len({file.name.split("/")[0].lower() for file in files} & SPLIT_FOLDERS.keys()) > 1:
        raise FileError(outside[0].path, "lies beside folders of splits", "move it into train, validation or test")
    find_group = _group_finder(group_by)
    rows = []
    for file in files:
        *folders, _ = unicodedata.normalize("NFC", file.name).split("/")  # accents are written in two ways
        split = SPLIT_FOLDERS[folders.pop(0).lower()] if has_splits else ""
        if not folders:
            raise FileError(file.path, "lies in no class folder", f"expected {folder}/CLASS/{file.path.name}")
        group = find_group(file) if group_by else "/".join(folders[1:])
        media = dict.fromkeys(("visual", "audio"), (file.path,))
        rows.append(RecordingRow(file.name, split, (folders[0],), group, where=str(file.path), media=media))
    classes = tuple(sorted({row.labels[0] for row in rows}))
    return RecordingIndex(tuple(rows), classes, folder)


def _group_finder(group_by: str) -> Callable[[MediaFile], str]:
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise InputError(f"--group-by {group_by}: not a regular expression ({error})") from error

    def find(file: MediaFile) -> str:
        match = pattern.search(file.name)
        if match is None:
            raise InputError(f"--group-by {group_by}: is not found in {file.name}")
        return match[1] if pattern.groups else match[0]

    return find


def normal_class(classes: tuple[str, ...], named: str, where: Path) -> str:
    """The class of recordings without events.

    Args:
        classes: All names.
        named: By the user, or empty.
        where: Names the data in errors.

    Raises:
        InputError: The user's name is no class.
        FileError: No class, or more than one, has such a name.

    Example:
        >>> normal_class(("fight", "noFight"), "", Path("videos"))
        'noFight'
    """
    if named:
        if named not in classes:
            raise InputError(f"--data.normal {named}: {where} has the classes {', '.join(classes)}")
        return named
    normal = normal_classes(classes)
    if len(normal) != 1:
        raise FileError(
            where,
            f"has the classes {', '.join(classes)}; which holds recordings without events is not clear",
            "name it by --data.normal CLASS",
        )
    return normal[0]


def normal_classes(classes: tuple[str, ...]) -> list[str]:
    """Those whose names say that nothing happens: normal, background, noFight beside fight.

    Example:
        >>> normal_classes(("Normal", "fall", "no-fall"))
        ['Normal', 'no-fall']
    """
    return [c for c in classes if c.lower() in NORMAL or _is_other_negated(c, classes)]


def _is_other_negated(name: str, classes: tuple[str, ...]) -> bool:
    """Is it "no", "non" or "not" before the name of another class: noFight, non-violence, no_fall?"""
    plain = {re.sub(r"[^a-z0-9]", "", c.lower()) for c in classes if c != name}
    text = re.sub(r"[^a-z0-9]", "", name.lower())
    return any(text.removeprefix(no) in plain for no in ("no", "non", "not") if text.startswith(no))
