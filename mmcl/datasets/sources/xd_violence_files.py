"""XD-Violence: names, labels, lists and frame-level truth, by the data set's own conventions.

Source: Wu et al., "Not only look, but also listen: learning multimodal violence detection under weak
supervision", ECCV 2020. A video's name ends in ``_label_`` and up to three codes in order of
importance, joined by ``-``, ``0`` filling up: ``_label_G-B2-B6``, ``_label_A``. Features are rows of 16
frames at 24 fps, in files ``NAME__C.npy`` (visual, crop C from 0 to 4) and ``NAME__vggish.npy`` (audio).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mmcl.errors import FileError, InputError
from mmcl.evaluation.annotated_frames import check_annotation_fits, event_frames
from mmcl.evaluation.frame_level import FrameTruth

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
AUDIO = "vggish"  # what files of audio features are named after, unless the folder says otherwise
FEATURE = re.compile(r"(.+)__(\d+|[A-Za-z][A-Za-z0-9.+-]*)(?:\.npy)?$")  # a crop, or an extractor of audio


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


def video_of(file_name: str) -> str:
    """The video's name from a feature file's: without folder, crop or audio extractor, and ``.npy``.

    Args:
        file_name: Of a feature file or a video.

    Example:
        >>> video_of("RGB/clip_label_A__0.npy"), video_of("clip_label_A__vggish.npy"), video_of("clip_label_A.mp4")
        ('clip_label_A', 'clip_label_A', 'clip_label_A')
    """
    name = file_name.replace("\\", "/").rsplit("/", 1)[-1]
    match = FEATURE.fullmatch(name)
    return match[1] if match else name.removesuffix(".mp4").removesuffix(".npy")


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


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except FileNotFoundError:
        raise FileError(path, "no such file", "check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(path, f"cannot be read ({error})", "expected a text file") from error
