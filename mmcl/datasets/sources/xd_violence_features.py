"""XD-Violence's files of features: which belong to a video, which videos to a split, by lists or folders.

``NAME_label_CODES__C.npy`` (crop C), or ``NAME_label_CODES.npy`` with all crops ``(snippet, crop, channel)``, and
``NAME_label_CODES__EXTRACTOR.npy`` (sound), anywhere below a folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mmcl.datasets.sources.feature_lists import ListedVideo, find_list, lists_of, read_feature_list
from mmcl.datasets.sources.xd_violence_files import AUDIO, FEATURE, LABEL, NORMAL, codes_of, read_list, video_of
from mmcl.errors import FileError, InputError
from mmcl.io import print_once, read_json
from mmcl.readers.lazy_array import LazyArray, LazyCrop, open_npy


@dataclass(frozen=True)
class Features:
    """One video's feature files.

    Attributes:
        name: Of the video.
        visual: The file of each crop, in order.
        audio: Shared by the crops, None where it has no sound.
        in_one: The crops' files are one and the same, which holds all of them.
    """

    name: str
    visual: tuple[Path, ...]
    audio: Path | None
    in_one: bool = False


def find_features(
    folder: Path, n_crops: int = 5, audio: str = "", needs_audio: bool = True, lists: Mapping[str, str] | None = None
) -> dict[str, list[Features]]:
    """The videos whose features lie in the folder and below.

    Lists say what belongs to which split, and in which order, where the folder has them: ``visual_train.list`` and
    ``visual_test.list``, or others that name files of features (``feature_lists``). Otherwise a file whose path holds
    the word "test" (as ``RGBTest``) is of the test split, and videos are sorted, the violent first.

    Args:
        folder: Of features.
        n_crops: At most so many crops are taken; all videos of a split have the same number.
        audio: Audio extractor, where the folder holds several.
        needs_audio: A video whose info does not say that it has no sound must have audio features.
        lists: ``{split: file below the folder}``, as the user named them.

    Returns:
        ``{"train": [...], "test": [...]}``.

    Raises:
        FileError: A half, crop or folder is missing, a name has no label code, or a file is there twice.
    """
    if not folder.is_dir():
        raise FileError(folder, "no such folder", "give the folder that holds the feature files")
    chosen = {split: _list_of(folder, split, (lists or {}).get(split, "")) for split in ("train", "test")}
    files = gather(folder, may_repeat=all(chosen.values()))
    if not files:
        raise FileError(folder, "holds no features", "expected NAME_label_CODES__0.npy and ..__vggish.npy")
    kind = audio or audio_kind(files, folder)
    crops: dict[str, dict[int, Path]] = {}
    for name, path in files.items():
        if not is_audio(name):
            crops.setdefault(video_of(name), {})[crop_of(name)] = path
    videos: dict[str, list[Features]] = {}
    for split, at in chosen.items():
        listed: dict[str, ListedVideo] = {}
        if at is None:
            of_split = {video_of(n) for n, p in files.items() if is_test(p, folder) == (split == "test")}
            names = sorted(of_split, key=lambda n: (not codes_of(n), n))
        elif at == folder / f"visual_{split}.list":
            names = read_list(at)
        else:
            listed = {v.name: v for v in read_feature_list(at, folder)}
            names = list(listed)
            _check_labels(at, listed.values())
        own = {n: dict(enumerate(listed[n].visual)) if n in listed else crops.get(n, {}) for n in names}
        expected = sorted({c for of in own.values() for c in of})
        videos[split] = [
            _features_of(n, own[n], expected[:n_crops] or [0], files, listed.get(n), folder, kind, needs_audio)
            for n in names
        ]
        n_there = len(expected)
        if names and n_there == 1 and (first := open_npy(videos[split][0].visual[0])).ndim == 3:
            n_there = first.shape[1]
            n_used = min(n_there, n_crops)
            videos[split] = [replace(v, visual=v.visual * n_used, in_one=True) for v in videos[split]]
        if names and n_there != n_crops:
            used = f"{min(n_there, n_crops)} used (--data.crops {n_crops})"
            print_once(f"{folder}: crops of each {split} video: {n_there} there, {used}")
    if both := {v.name for v in videos["train"]} & {v.name for v in videos["test"]}:
        raise FileError(folder, f"{min(both)} is in the train and in the test split", "remove it from one")
    return videos


def gather(folder: Path, may_repeat: bool = False) -> dict[str, Path]:
    """Files of features below a folder by their names, ``NAME_label_CODES``, a crop or an extractor of audio behind.

    Args:
        folder: Of features.
        may_repeat: Lists say which of two files of one name is meant.

    Raises:
        FileError: A crop's name has no label code, or a file is there twice.
    """
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.npy")):
        match = FEATURE.fullmatch(path.name)
        if not LABEL.search(video_of(path.name)):
            if match and (match[2].isdigit() or match[2] == AUDIO):
                raise FileError(path, "its name has no label code", f"expected NAME_label_{NORMAL}, say")
            continue
        if path.name in files and not may_repeat:
            raise FileError(path, f"also lies in {files[path.name].parent}", "keep one of the two")
        files[path.name] = path
    return files


def _list_of(folder: Path, split: str, named: str) -> Path | None:
    usual = folder / f"visual_{split}.list"
    if not named and usual.exists():
        return usual
    of_split = [p for p in lists_of(folder, split) if not p.name.startswith("audio_")]
    return find_list(folder, split, named) if named or len(of_split) > 1 else of_split[0] if of_split else None


def _check_labels(path: Path, videos: Iterable[ListedVideo]) -> None:
    for video in videos:
        try:
            ours = codes_of(video.name)
        except InputError as error:
            raise FileError(path, str(error), "is this a list of XD-Violence's files?") from error
        theirs = tuple(c for c in video.label.split("-") if c not in ("0", NORMAL, ""))
        if video.label and set(theirs) != set(ours) and video.label.casefold() != "normal" * (not ours):
            raise FileError(
                path, f"{video.name}: is labelled {video.label}", "its name says otherwise; repair the list"
            )


def is_test(path: Path, folder: Path) -> bool:
    """Does a folder on the way to the file say that it is of the test split?"""
    return any("test" in split.lower() for split in path.relative_to(folder).parts[:-1])


def file_names(name: str, n_crops: int, audio: str = "vggish") -> list[str]:
    """A video's feature files: its visual crops in order, then its audio."""
    return [f"{name}__{c}.npy" for c in range(n_crops)] + [f"{name}__{audio}.npy"]


def is_audio(file_name: str) -> bool:
    """Is it a file of audio features, by its name: an extractor's name, no crop, behind the video's?"""
    match = FEATURE.fullmatch(file_name)
    return match is not None and not match[2].isdigit()


def crop_of(file_name: str) -> int:
    """The crop of a file of visual features, 0 where its name tells none.

    Example:
        >>> crop_of("clip_label_A__3.npy"), crop_of("clip_label_A.npy")
        (3, 0)
    """
    match = FEATURE.fullmatch(file_name)
    return int(match[2]) if match else 0


def audio_kind(file_names: Iterable[str], folder: Path) -> str:
    """Which audio features the folder holds; FileError when it holds two kinds."""
    kinds = {name.removesuffix(".npy").rsplit("__", 1)[1] for name in file_names if is_audio(name)}
    if len(kinds) > 1:
        raise FileError(folder, f"holds {' and '.join(sorted(kinds))} features", "keep one kind in a folder")
    return kinds.pop() if kinds else AUDIO


def _features_of(
    name: str,
    crops: Mapping[int, Path],
    expected: Sequence[int],
    files: Mapping[str, Path],
    listed: ListedVideo | None,
    folder: Path,
    audio: str,
    needs_audio: bool,
) -> Features:
    remedy = "mmcl check xd-violence lists all that is wrong"
    missing = next((c for c in expected if c not in crops), None)
    if missing is not None:
        raise FileError(folder / f"{name}__{missing}.npy", "is missing", remedy)
    visual = tuple(crops[c] for c in expected)
    of_name = files.get(f"{name}__{audio}.npy")
    sound = listed.audio if listed and listed.audio else of_name
    if sound is None and needs_audio and not is_silent(visual[0], name):
        if not any(map(is_audio, files)):
            raise FileError(folder, "holds no features of the sound", "--data.modalities visual leaves it out")
        raise FileError(folder / f"{name}__{audio}.npy", "is missing", remedy)
    return Features(name, visual, sound)


def is_silent(visual: Path, name: str) -> bool:
    """Does the info beside a video's features, which ``mmcl extract`` writes, say that it has no sound?"""
    info = visual.parent / f"{name}__info.json"
    return info.exists() and "audio" not in read_json(info).get("streams", ["audio"])


def open_features(path: Path, n_columns: int | None = None, crop: int | None = None) -> LazyArray | LazyCrop:
    """The features of one file, left in it; values are checked when they are used.

    Args:
        path: A ``.npy`` file.
        n_columns: Channels that are expected.
        crop: Of a file that holds all of them ``(snippet, crop, channel)``; None of a file that holds one.

    Returns:
        ``(snippet, channel)``.

    Raises:
        FileError: The file is unreadable, has another shape or width, or no rows.
    """
    x = open_npy(path)
    axes = ("snippets", *(() if crop is None else (f"at least {crop + 1} crops",)), str(n_columns or "channels"))
    is_right = x.ndim == len(axes) and (crop is None or crop < x.shape[1]) and n_columns in (None, x.shape[-1])
    if not is_right or not np.issubdtype(x.dtype, np.floating):
        expected = f"floats ({', '.join(axes)})"
        raise FileError(path, f"holds {x.dtype} of shape {x.shape}, expected {expected}", "check it")
    if len(x) == 0:
        raise FileError(path, "holds no rows", "the video is shorter than a snippet; leave it out of the list")
    return x if crop is None else LazyCrop(x, crop)
