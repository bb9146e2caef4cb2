"""Published features by their lists: one file a line, as text or as CSV, whatever machine's paths they name.

Abuse/Abuse001_x264__5.npy                       a line a crop, or a line a video with all crops in one array
path,label                                       VadCLIP's
path,audio_path,label                            AVadCLIP's
test_videos/NAME_label_A.mp4 0                   the video's own name, of XD-Violence's mirror
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from mmcl.errors import FileError
from mmcl.readers.lazy_array import LazyArray, LazyCrop, open_npy

CROP = re.compile(r"__(\d+)$")
VIDEO = re.compile(r"(?:\.(?:mp4|avi|mkv))?(?:\s+\d+)?$")  # what may follow the name of an entry
SUFFIXES = ("_i3d", "_clip", "_c3d")  # of names, beside the video's own
HEADER = ("path", "audio_path", "label")


@dataclass(frozen=True)
class ListedVideo:
    """A video of a list.

    Attributes:
        name: Of the video, without crop and extractor.
        visual: A file a crop, in order, or one with all of them.
        audio: The file of its sound, if the list names one.
        label: As the list says, empty where it does not.
    """

    name: str
    visual: tuple[Path, ...]
    audio: Path | None = None
    label: str = ""


def find_list(folder: Path, split: str, named: str = "") -> Path:
    """The list of a split.

    Args:
        folder: Of the data set.
        split: "train" or "test".
        named: By the user, relative to the folder.

    Raises:
        FileError: There is none, or more than one and none is named.
    """
    if named:
        if Path(named).is_absolute() or ".." in Path(named).parts:
            raise FileError(folder / named, "is not below the data set's folder", f"name a file in {folder}")
        if not os.path.isfile(folder / named):
            raise FileError(folder / named, "no such file", f"--data.{split}-list names a file in {folder}")
        return folder / named
    files = lists_of(folder, split)
    if len(files) != 1:
        names = ", ".join(str(p.relative_to(folder)) for p in files) or "none"
        raise FileError(folder, f"holds the {split} lists: {names}", f"name one by --data.{split}-list")
    return files[0]


def lists_of(folder: Path, split: str) -> list[Path]:
    """Lists of feature files below a folder that are of a split by their names.

    A list of the test split has "test" in its name; one of the training split "train", or, where none has, no "test".

    Args:
        folder: Of the data set.
        split: "train" or "test".
    """
    features = {file.name for file in folder.rglob("*.npy")}
    lists = [p for p in sorted(folder.rglob("*")) if p.suffix in (".csv", ".txt", ".list")]
    lists = [p for p in lists if "annotation" not in p.name.lower() and _lists_features(p, features)]
    named = [p for p in lists if split in p.name.lower()]
    if split == "test" or named:
        return named
    return [p for p in lists if "test" not in p.name.lower()]


def _lists_features(path: Path, features: Collection[str]) -> bool:
    """Is what its first line names a file of features?"""
    try:
        with open(path, encoding="utf-8-sig") as file:
            first = next((line for line in file if line.strip() and line.split(",")[0].strip() not in HEADER), "")
    except (OSError, UnicodeDecodeError):
        return False
    cell = first.split(",")[0].strip()
    return cell.endswith(".npy") or _feature_path(cell).name in features


def read_feature_list(path: Path, folder: Path) -> list[ListedVideo]:
    """The videos of a list, crops taken together, in its order.

    Args:
        path: The list.
        folder: Files are looked for below it by their names where the list's own paths lead nowhere.

    Raises:
        FileError: The list is not as expected, or a file that it names is not there.
    """
    lines = _table(path)
    by_name: dict[str, list[Path]] = {}
    for file in folder.rglob("*.npy"):
        by_name.setdefault(file.name, []).append(file)
    videos: dict[str, ListedVideo] = {}
    crops: dict[str, dict[int, Path]] = {}
    for number, cells in lines:
        file = _locate(cells["path"], folder, by_name, path, number)
        audio = _locate(cells["audio_path"], folder, by_name, path, number) if cells.get("audio_path") else None
        name, crop = video_and_crop(file.name)
        videos[name] = ListedVideo(name, (), audio, cells.get("label", ""))
        if crop in crops.setdefault(name, {}):
            raise FileError(path, f"line {number}: names {file.name} again", "remove the line")
        crops[name][crop] = file
    return [
        ListedVideo(v.name, tuple(f for _, f in sorted(crops[n].items())), v.audio, v.label) for n, v in videos.items()
    ]


def video_and_crop(file_name: str) -> tuple[str, int]:
    """A video's name and the crop, 0 where the name tells none.

    Example:
        >>> video_and_crop("Abuse001_x264__5.npy"), video_and_crop("Abuse001_x264_i3d.npy")
        (('Abuse001_x264', 5), ('Abuse001_x264', 0))
    """
    stem = file_name.removesuffix(".npy")
    match = CROP.search(stem)
    stem = stem[: match.start()] if match else stem
    for suffix in SUFFIXES:
        stem = stem.removesuffix(suffix)
    return stem, int(match[1]) if match else 0


def _table(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [(n, [v.strip() for v in row]) for n, row in enumerate(csv.reader(file), 1) if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(path, f"cannot be read ({error})", "expected one feature file a line") from error
    header = rows[0][1] if rows and set(rows[0][1]) <= set(HEADER) and "path" in rows[0][1] else None
    if header:
        rows = rows[1:]
    if not rows:
        raise FileError(path, "is empty", "expected one feature file a line")
    if header is None:
        widths = {len(row) for _, row in rows}
        header = {1: ["path"], 2: ["path", "label"], 3: ["path", "audio_path", "label"]}.get(max(widths), [])
    wrong = [n for n, row in rows if len(row) != len(header)]
    if wrong:
        raise FileError(path, f"line {wrong[0]}: expected path, or path,label, or path,audio_path,label", "repair it")
    return [(n, dict(zip(header, row, strict=True))) for n, row in rows]


def _feature_path(text: str) -> PurePosixPath:
    """The file of features that a list's entry means, which may be that of its video, and a number behind it."""
    path = PurePosixPath(VIDEO.sub("", text.replace("\\", "/")))
    return path if path.suffix == ".npy" else path.with_name(path.name + ".npy")


def _locate(text: str, folder: Path, by_name: Mapping[str, Sequence[Path]], where: Path, number: int) -> Path:
    name = _feature_path(text)
    for place in (folder / name, where.parent / name):
        if place.is_file():
            return place
    same = by_name.get(name.name, [])
    if len(same) > 1:  # the one whose path ends most alike
        ends = [f for f in same if f.parts[-2:] == name.parts[-2:]]
        same = ends or same
    if len(same) != 1:
        problem = "is not there" if not same else f"is there {len(same)} times"
        raise FileError(where, f"line {number}: {name.name} {problem}", f"expected it below {folder}")
    return same[0]


def open_crops(files: Sequence[Path], n_crops: int, width: int | None = None) -> list[LazyArray | LazyCrop]:
    """The crops of a video's features, left on the disk.

    Args:
        files: A file a crop ``(row, channel)``, or one with all, ``(row, crop, channel)``.
        n_crops: At most so many are used.
        width: Channels that are expected.

    Raises:
        FileError: A file is unreadable, or has another shape or width.
    """
    arrays: list[LazyArray | LazyCrop] = []
    for path in files:
        x = open_npy(path, "download it again")
        expected = f"floats (rows, {width or 'channels'}) or (rows, crops, {width or 'channels'})"
        is_right = x.ndim in (2, 3) and np.issubdtype(x.dtype, np.floating) and len(x) > 0
        if not is_right or (width and x.shape[-1] != width) or (x.ndim == 3 and len(files) > 1):
            raise FileError(path, f"holds {x.dtype} of shape {x.shape}, expected {expected}", "check it")
        arrays += [x] if x.ndim == 2 else [LazyCrop(x, c) for c in range(x.shape[1])]
    return arrays[:n_crops]
