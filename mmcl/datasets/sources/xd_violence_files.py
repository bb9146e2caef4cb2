"""XD-Violence: names, labels, lists and frame-level truth, by the data set's own conventions.

Source: Wu et al., "Not only look, but also listen: learning multimodal violence detection under weak
supervision", ECCV 2020. A video's name ends in ``_label_`` and up to three codes in order of
importance, joined by ``-``, ``0`` filling up: ``_label_G-B2-B6``, ``_label_A``. Features are rows of 16
frames at 24 fps, in files ``NAME__C.npy`` (visual, crop C from 0 to 4) and ``NAME__vggish.npy`` (audio).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmcl.errors import FileError, InputError
from mmcl.evaluation.annotated_frames import check_annotation_fits, event_frames
from mmcl.evaluation.frame_level import FrameTruth
from mmcl.io import read_json
from mmcl.readers.lazy_array import LazyArray, open_npy

CLASSES = {
    "B1": "fighting",
    "B2": "shooting",
    "B4": "riot",
    "B5": "abuse",
    "B6": "car accident",
    "G": "explosion",
}
NORMAL = "A"
FRAMES_PER_SNIPPET = 16
FPS = 24.0

LABEL = re.compile(r"_label_([A-Za-z0-9-]+)$")
AUDIO = ("vggish", "log-mel")  # what files of audio features are named after
FEATURE = re.compile(rf"(.+)__(?:\d+|{'|'.join(AUDIO)})(?:\.npy)?$")


def codes_of(name: str) -> tuple[str, ...]:
    """The video's class codes, the most important first; empty for a normal video.

    Args:
        name: Of a video, ``clip_label_B1-0-0``.

    Raises:
        InputError: The name ends in no known code.

    Example:
        >>> codes_of("clip_label_B1-0-0"), codes_of("clip_label_A")
        (('B1',), ())
    """
    match = LABEL.search(name)
    codes = tuple(c for c in match[1].split("-") if c != "0") if match else ()
    wrong = [c for c in codes if c != NORMAL and c not in CLASSES]
    if not codes or wrong or (NORMAL in codes and len(codes) > 1):
        raise InputError(
            f"{name}: expected a name that ends in _label_ and codes of {NORMAL}, {', '.join(CLASSES)}"
            f" joined by '-'; got {repr(wrong[0]) if wrong else 'none'}"
        )
    return tuple(c for c in codes if c != NORMAL)


def video_of(file_name: str, audio: str = "") -> str:
    """The video's name from a feature file's: without folder, crop or audio extractor, and ``.npy``.

    Args:
        file_name: Of a feature file or a video.
        audio: An audio extractor other than the known ones.

    Example:
        >>> video_of("RGB/clip_label_A__0.npy"), video_of("clip_label_A__vggish.npy")
        ('clip_label_A', 'clip_label_A')
    """
    name = file_name.replace("\\", "/").rsplit("/", 1)[-1]
    if audio and name.endswith(f"__{audio}.npy"):
        return name.removesuffix(f"__{audio}.npy")
    match = FEATURE.fullmatch(name)
    return match[1] if match else name.removesuffix(".mp4")


def read_list(path: Path) -> list[str]:
    """Video names of a list of feature files, in its order, crops taken together."""
    names = list(dict.fromkeys(video_of(line) for line in _lines(path)))
    if not names:
        raise FileError(path, "is empty", "expected one feature file a line")
    for name in names:
        try:
            codes_of(name)
        except InputError as error:
            raise FileError(path, str(error), "is this a list of XD-Violence's files?") from error
    return names


def read_annotations(path: Path) -> dict[str, list[tuple[int, int]]]:
    """Events of each violent video as half-open intervals of frames at 24 fps.

    Args:
        path: A line is ``NAME start end [start end ...]``, with or without ``.mp4`` and class codes between.

    Raises:
        FileError: A line is not as expected.
    """
    files: dict[str, list[tuple[int, int]]] = {}
    for number, line in enumerate(_lines(path), 1):
        name, *rest = line.split()
        try:
            frames = [int(float(w)) for w in rest if w not in CLASSES]
        except ValueError:
            frames = []
        pairs = list(zip(frames[::2], frames[1::2]))
        if not pairs or len(frames) % 2 or any(start < 0 or end <= start for start, end in pairs):
            raise FileError(path, f"line {number}: expected NAME and pairs start end, start < end", "repair the line")
        files.setdefault(video_of(name), []).extend(pairs)
    return files


def read_frame_counts(path: Path) -> dict[str, int]:
    """``{video: frames}`` of a CSV with the columns ``name`` and ``frames``."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if not {"name", "frames"} <= set(rows.fieldnames or ()):
                raise FileError(path, "lacks the columns name and frames", "check the header")
            return {row["name"]: int(row["frames"]) for row in rows}
    except FileError:
        raise
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise FileError(path, f"cannot be read ({error})", "expected name,frames,... a line") from error


def n_snippets(n_frames: int) -> int:
    """How many rows of features a video of so many frames (24 fps) has."""
    return (n_frames - 1) // FRAMES_PER_SNIPPET


def frame_truth(
    names: Sequence[str],
    lengths: Mapping[str, int],
    annotations: Mapping[str, Sequence[tuple[int, int]]],
    frames_per_row: int = FRAMES_PER_SNIPPET,
) -> FrameTruth:
    """Truth from annotations and each video's number of snippets, never from a stored array: another feature set has
    other lengths.

    Args:
        names: Of videos, in order.
        lengths: Snippets of each video.
        annotations: Event frames of each violent video.
        frames_per_row: Frames that a snippet stands for.

    Raises:
        InputError: A length or a violent video's annotation is missing, a normal video has one, or one ends far behind
            the features.
    """
    codes = tuple(codes_of(name) for name in names)
    for name, files in zip(names, codes, strict=True):
        if lengths.get(name, 1) < 1:
            raise InputError(f"{name}: has {lengths[name]} snippets; a video shorter than one cannot be evaluated")
        if name not in lengths:
            raise InputError(f"{name}: its length is unknown; add its features or its line of frame counts")
        if bool(files) != (name in annotations):
            kind = "violent, but has no" if files else "normal, but has an"
            raise InputError(f"{name}: {kind} annotation; are the annotations those of this list?")
    n = np.array([lengths[name] for name in names])
    for name in names:
        check_annotation_fits(name, annotations.get(name, ()), lengths[name], frames_per_row)
    positive = [event_frames(annotations.get(name, ()), lengths[name], frames_per_row) for name in names]
    return FrameTruth(tuple(names), n, np.concatenate(positive), codes, frames_per_row)


@dataclass(frozen=True)
class Features:
    """One video's feature files. ``visual``: by crop, in order; ``audio``: shared by the crops, None where it has no
    sound."""

    name: str
    visual: tuple[Path, ...]
    audio: Path | None


def find_features(
    folder: Path, n_crops: int = 5, audio: str = "", needs_audio: bool = True
) -> dict[str, list[Features]]:
    """The videos whose features lie in the folder and below.

    The lists ``visual_train.list`` and ``visual_test.list`` say what belongs to which split, and in which order,
    where the folder has them; otherwise a file whose path holds the word "test" (as ``RGBTest``) is of the test
    split, and videos are sorted, the violent first.

    Args:
        folder: Of features.
        n_crops: Crops that each video must have.
        audio: Audio extractor other than the known ones.
        needs_audio: A video whose info does not say that it has no sound must have audio features.

    Returns:
        ``{"train": [...], "test": [...]}``.

    Raises:
        FileError: A half, crop or folder is missing, a name has no label code, or a file is there twice.
    """
    if not folder.is_dir():
        raise FileError(folder, "no such folder", "give the folder that holds the feature files")
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.npy")):
        if FEATURE.fullmatch(path.name) or (audio and path.name.endswith(f"__{audio}.npy")):
            if not LABEL.search(video_of(path.name, audio)):
                raise FileError(path, "its name has no label code", f"expected NAME_label_{NORMAL}, say")
            if path.name in files:
                raise FileError(path, f"also lies in {files[path.name].parent}", "keep one of the two")
            files[path.name] = path
    if not files:
        raise FileError(folder, "holds no features", "expected NAME_label_CODES__0.npy and ..__vggish.npy")
    lists = {split: folder / f"visual_{split}.list" for split in ("train", "test")}
    names: dict[str, list[str]] = {}
    for split, path in lists.items():
        if path.exists():
            names[split] = read_list(path)
        else:
            of_split = {video_of(n, audio) for n, p in files.items() if is_test(p, folder) == (split == "test")}
            names[split] = sorted(of_split, key=lambda n: (not codes_of(n), n))
    if both := set(names["train"]) & set(names["test"]):
        raise FileError(folder, f"{min(both)} is in the train and in the test split", "remove it from one")
    audio = audio or audio_kind(files, folder)
    return {
        split: [_files_of(name, files, folder, n_crops, audio, needs_audio) for name in of]
        for split, of in names.items()
    }


def is_test(path: Path, folder: Path) -> bool:
    """Does a folder on the way to the file say that it is of the test split?"""
    return any("test" in split.lower() for split in path.relative_to(folder).parts[:-1])


def file_names(name: str, n_crops: int, audio: str = "vggish") -> list[str]:
    """A video's feature files: its visual crops in order, then its audio."""
    return [f"{name}__{c}.npy" for c in range(n_crops)] + [f"{name}__{audio}.npy"]


def is_audio(file_name: str) -> bool:
    """Is it a file of audio features, by its name?"""
    return file_name.removesuffix(".npy").endswith(tuple(f"__{kind}" for kind in AUDIO))


def audio_kind(file_names: Iterable[str], folder: Path) -> str:
    """Which audio features the folder holds; FileError when it holds two kinds."""
    kinds = {name.removesuffix(".npy").rsplit("__", 1)[1] for name in file_names if is_audio(name)}
    if len(kinds) > 1:
        raise FileError(folder, f"holds {' and '.join(sorted(kinds))} features", "keep one kind in a folder")
    return kinds.pop() if kinds else AUDIO[0]


def _files_of(
    name: str, files: Mapping[str, Path], folder: Path, n_crops: int, audio: str, needs_audio: bool
) -> Features:
    *visual, sound = file_names(name, n_crops, audio)
    missing = [w for w in visual if w not in files]
    if sound not in files and needs_audio and not missing and not is_silent(files[visual[0]], name):
        missing = [sound]
    if missing:
        raise FileError(folder / missing[0], "is missing", "mmcl check xd-violence lists all that is wrong")
    return Features(name, tuple(files[w] for w in visual), files.get(sound))


def is_silent(visual: Path, name: str) -> bool:
    """Does the info beside a video's features, which ``mmcl extract`` writes, say that it has no sound?"""
    info = visual.parent / f"{name}__info.json"
    return info.exists() and "audio" not in read_json(info).get("streams", ["audio"])


def open_features(path: Path, n_columns: int | None = None) -> LazyArray:
    """The features of one file, left in it; values are checked when they are used.

    Args:
        path: A ``.npy`` file.
        n_columns: Channels that are expected.

    Returns:
        ``(snippet, channel)``.

    Raises:
        FileError: The file is unreadable, has another shape or width, or no rows.
    """
    x = open_npy(path)
    width = "channels" if n_columns is None else str(n_columns)
    if x.ndim != 2 or not np.issubdtype(x.dtype, np.floating) or (n_columns and x.shape[1] != n_columns):
        raise FileError(path, f"holds {x.dtype} of shape {x.shape}, expected floats (snippets, {width})", "check it")
    if len(x) == 0:
        raise FileError(path, "holds no rows", "the video is shorter than a snippet; leave it out of the list")
    return x


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except FileNotFoundError:
        raise FileError(path, "no such file", "check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(path, f"cannot be read ({error})", "expected a text file") from error
