"""Check an XD-Violence folder: every fault of its files, lists and annotations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mmcl.datasets.sources.xd_violence_features import audio_kind, file_names, is_audio, is_test, open_features
from mmcl.datasets.sources.xd_violence_files import (
    FEATURE,
    FRAMES_PER_SNIPPET,
    codes_of,
    frame_truth,
    n_snippets,
    read_annotations,
    read_frame_counts,
    read_list,
    video_of,
)
from mmcl.errors import FileError, InputError
from mmcl.features.store import read_cards
from mmcl.readers.lazy_array import LazyArray, LazyCrop

CHUNK = 4096  # rows looked at at once, so that memory stays bounded


@dataclass(frozen=True)
class Finding:
    """What was found; ``is_wrong``: it is a fault."""

    text: str
    is_wrong: bool = True


def examine(folder: Path, n_crops: int = 0, values: bool = True) -> Iterator[Finding]:
    """Findings one after the other, the summary last. Nothing stops at the first fault."""
    if not folder.is_dir():
        raise FileError(folder, "no such folder", "give the folder that holds the feature files")
    if not 0 <= n_crops <= 100:
        raise InputError(f"--crops: expected 1 to 100, or 0 for those of the store's card, got {n_crops}")
    cards = read_cards(folder)
    n_crops = n_crops or (cards["visual"].crops if "visual" in cards else 5)
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.npy")):
        if not FEATURE.fullmatch(path.name):
            yield Finding(f"{path}: belongs to nothing; expected NAME__0.npy to __4.npy or NAME__vggish.npy")
        elif path.name in files:
            yield Finding(f"{path}: also lies in {files[path.name].parent}; keep one of the two")
        else:
            files[path.name] = path
    videos = sorted({video_of(name) for name in files})
    for name in videos:
        try:
            codes_of(name)
        except InputError as error:
            yield Finding(str(error))
    try:
        audio = audio_kind(files, folder)
    except FileError as error:
        yield Finding(str(error))
        audio = "vggish"
    lengths: dict[str, int] = {}
    widths: dict[str, Counter[int]] = {"visual": Counter(), "audio": Counter()}
    width_of: dict[Path, int] = {}
    n_trimmed = 0
    for name in tqdm(videos, unit="video", disable=None):
        rows: dict[str, int] = {}
        for file in file_names(name, n_crops, audio):
            if file not in files:
                yield Finding(f"{name}: {file} is missing")
                continue
            try:
                x = open_features(files[file])
            except FileError as error:
                yield Finding(str(error))
                continue
            rows[file] = len(x)
            width_of[files[file]] = x.shape[1]
            widths["audio" if is_audio(file) else "visual"][x.shape[1]] += 1
            if values and (bad := first_bad_row(x)) is not None:
                yield Finding(f"{files[file]}: NaN or infinity in row {bad}")
        if rows:
            gap = max(rows.values()) - min(rows.values())
            if gap > 1:
                longest, shortest = max(rows, key=rows.__getitem__), min(rows, key=rows.__getitem__)
                yield Finding(f"{name}: {longest} has {rows[longest]} rows, {shortest} {rows[shortest]}")
            n_trimmed += gap == 1
            lengths[name] = min(rows.values())
    for modality, count in widths.items():
        usual = count.most_common(1)[0][0] if count else 0
        for path, width in width_of.items():
            if is_audio(path.name) == (modality == "audio") and width != usual:
                yield Finding(f"{path}: has {width} channels, the other {modality} features {usual}")
    yield from _against_frames(folder, lengths)
    for split in ("train", "test"):
        if (folder / f"visual_{split}.list").exists():
            yield from _against_list(folder, split, lengths)
    if (folder / "annotations.txt").exists():
        of_test = sorted({video_of(n) for n, p in files.items() if is_test(p, folder)})
        yield from _truth(folder, lengths, of_test)
    kinds = Counter("violent" if _is_violent(name) else "normal" for name in videos)
    shape = ", ".join(f"{m} {count.most_common(1)[0][0] if count else '-'}" for m, count in widths.items())
    yield Finding(
        f"{len(videos)} videos ({kinds['violent']} violent, {kinds['normal']} normal), {len(files)} files, "
        f"{sum(lengths.values())} snippets, channels: {shape}; {n_trimmed} videos differ by one row, which is trimmed",
        is_wrong=not videos,
    )


def first_bad_row(x: LazyArray | LazyCrop) -> int | None:
    """Number of the first row that holds NaN or infinity, or None."""
    for start in range(0, len(x), CHUNK):
        bad = ~np.isfinite(x[start : start + CHUNK]).all(1)
        if bad.any():
            return start + int(bad.argmax())
    return None


def _is_violent(name: str) -> bool:
    try:
        return bool(codes_of(name))
    except InputError:
        return False


def _against_frames(folder: Path, lengths: dict[str, int]) -> Iterator[Finding]:
    for path in sorted(folder.glob("*_frames.csv")):
        try:
            counts = read_frame_counts(path)
        except FileError as error:
            yield Finding(str(error))
            continue
        for name in sorted(counts.keys() & lengths.keys()):
            expected = n_snippets(counts[name])
            if abs(lengths[name] - expected) > 1:
                yield Finding(f"{name}: has {lengths[name]} rows, {counts[name]} frames make {expected} ({path.name})")


def _against_list(folder: Path, split: str, lengths: dict[str, int]) -> Iterator[Finding]:
    path = folder / f"visual_{split}.list"
    try:
        names = read_list(path)
    except FileError as error:
        yield Finding(str(error))
        return
    for name in names:
        if name not in lengths:
            yield Finding(f"{path}: {name} has no features in this folder")
    is_violent = [_is_violent(name) for name in names]
    if is_violent != sorted(is_violent, reverse=True):
        yield Finding(f"{path}: not in the usual order, the violent first; scores in another order fit another list")
    audio = folder / f"audio_{split}.list"
    if audio.exists() and read_list(audio) != names:
        yield Finding(f"{audio}: not the videos of {path.name} in its order")


def _truth(folder: Path, lengths: dict[str, int], of_test: list[str]) -> Iterator[Finding]:
    """Annotations against features; against a stored truth, where there is one beside them."""
    try:
        annotations = read_annotations(folder / "annotations.txt")
    except FileError as error:
        yield Finding(str(error))
        return
    path = folder / "visual_test.list"
    names = read_list(path) if path.exists() else of_test
    known = [name for name in names if name in lengths]
    for name in known:
        try:
            frame_truth([name], lengths, annotations)
        except InputError as error:
            yield Finding(str(error))
    for name in sorted(annotations.keys() - set(names)):
        yield Finding(f"annotations.txt: {name} is no test video of this folder")
    usable = [n for n in known if _is_violent(n) == (n in annotations) and lengths[n] > 0]
    if not usable:
        return
    truth = frame_truth(usable, lengths, annotations)
    share = truth.positive.sum() / (FRAMES_PER_SNIPPET * len(truth.positive))
    yield Finding(
        f"truth of {len(usable)} test videos: {len(truth.positive)} snippets, {truth.positive.sum()} positive "
        f"frames ({share:.2%})",
        is_wrong=False,
    )
    stored = folder / "gt.npy"
    if stored.exists():
        official = np.load(stored, allow_pickle=False).reshape(-1)
        n = FRAMES_PER_SNIPPET * len(truth.positive)
        if len(official) != n:
            yield Finding(f"{stored}: holds {len(official)} frames, these features make {n}; do not use it with them")
        elif (official.reshape(-1, FRAMES_PER_SNIPPET).sum(1) != truth.positive).any():
            yield Finding(f"{stored}: differs from what the annotations make; is its order that of the list?")
