"""One entry: a run scores what it was trained on, be it videos, features, sensor recordings or a manifest of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mmcl.data.recording_index import RecordingRow, Source
from mmcl.errors import FileError, InputError
from mmcl.features.store import file_suffix, read_cards
from mmcl.inference.predictor import Predictor
from mmcl.inference.score_each import ScoredRecording
from mmcl.inference.sensors import (
    MANIFESTS,
    LazyRecording,
    check_shapes,
    find_sensor_recordings,
    recordings_of_manifest,
    score_recording,
)
from mmcl.inference.videos import VideoScorer
from mmcl.media.find import find_media, is_media
from mmcl.readers.lazy_array import open_npy
from mmcl.readers.recording_files import FILE_NAME
from mmcl.runs.run_dir import RunInfo
from mmcl.types import InputSpec, Recording


@dataclass(frozen=True)
class Job:
    """Recordings that are to be scored.

    Attributes:
        items: What is scored.
        score: Scores one.
        noun: What an item is ("video").
        name_of: Names an item in messages.
    """

    items: Sequence[Any]
    score: Callable[[Any], ScoredRecording]
    noun: str
    name_of: Callable[[Any], str]


def takes_media(info: RunInfo) -> bool:
    """Does a run score features of picture and sound, and with them videos?

    Args:
        info: Of the run.
    """
    return set(info.inputs) <= {"visual", "audio"} and all(s.kind == "features" for s in info.inputs.values())


def find_job(
    predictor: Predictor,
    info: RunInfo,
    paths: Sequence[Path],
    video_scorer: Callable[[], VideoScorer],
    rate_hz: Mapping[str, float | None],
    folder: Path | None = None,
) -> Job:
    """What paths name, and how it is scored; nothing but manifests is read yet.

    Args:
        predictor: Of the run.
        info: Of the run.
        paths: Videos and folders and patterns of them; a folder of features; pairs of sensor files; or one manifest.
        video_scorer: Makes the run's video_scorer of videos.
        rate_hz: Of CSV files without a time column, by modality [Hz].
        folder: Where results go, to check that no recording lies there.

    Raises:
        InputError: The run does not take what is there.
    """
    if len(paths) == 1 and paths[0].suffix in MANIFESTS and not FILE_NAME.fullmatch(paths[0].name):
        recordings = recordings_of_manifest(info, paths[0], predictor.device)
    elif not takes_media(info):
        recordings = find_sensor_recordings(info.inputs, paths, rate_hz)
    elif (store := feature_folder(paths)) is not None:
        recordings = recordings_of_store(info, store)
    else:
        files = find_media(paths)
        if folder is not None:
            check_not_inside([file.path for file in files], folder)
        return Job(files, video_scorer().score, "video", lambda file: str(file.path))
    score = partial(score_recording, predictor, info)
    return Job(recordings, score, "recording", lambda item: str(next(iter(item.files.values()))))


def check_not_inside(files: Sequence[Path], folder: Path) -> None:
    """No recording lies where the results go.

    Raises:
        InputError: One does.
    """
    for path in files:
        if path.resolve().parent == folder.resolve():
            raise InputError(f"--out {folder}: holds {path.name}, one of the videos; choose another")


def feature_folder(paths: Sequence[Path]) -> Path | None:
    """The folder, if paths are one folder that holds features (.npy) and no media files."""
    if len(paths) != 1 or not paths[0].is_dir():
        return None
    files = [p for p in paths[0].rglob("*") if p.is_file()]
    return paths[0] if any(p.suffix == ".npy" for p in files) and not any(is_media(p) for p in files) else None


def recordings_of_store(info: RunInfo, folder: Path) -> list[LazyRecording]:
    """The recordings of a folder of features, NAME__CROP.npy and NAME__EXTRACTOR.npy; crops are averaged over.

    Args:
        info: Of the run.
        folder: Of features, subfolders included.

    Raises:
        FileError: They were made by other extractors than the run's features, or there are none.
    """
    cards = read_cards(folder)
    for m, card in cards.items():
        if m in info.extractors and (difference := info.extractors[m].differs_from(card)):
            raise FileError(folder, f"holds {m} features of another extractor ({difference})", "extract them anew")
    suffix = file_suffix(cards["audio"]) if "audio" in cards else ""
    by_name: dict[str, dict[str, list[Path]]] = {}
    for path in sorted(folder.rglob("*.npy")):
        name, _, end = path.relative_to(folder).with_suffix("").as_posix().rpartition("__")
        if not name:
            raise FileError(path, "is not named as features are", "expected NAME__0.npy or NAME__EXTRACTOR.npy")
        m = "visual" if end.isdigit() else "audio"
        if m == "audio" and suffix and end != suffix:
            continue
        of_name = by_name.setdefault(name, {}).setdefault(m, [])
        if m == "audio" and of_name:
            what = f"{of_name[0].name} and {path.name} are both sound of {name}"
            raise FileError(folder, what, "keep the one that the model was trained on")
        of_name.append(path)
    rate_hz = 1 / info.grid.hop_s
    recordings = []
    for name, files in by_name.items():
        of_inputs = {m: files[m] for m in info.inputs if m in files}
        if not of_inputs:
            raise FileError(folder, f"{name} has no {' and no '.join(info.inputs)}", "leave it out")
        first = {m: paths[0] for m, paths in of_inputs.items()}
        recordings.append(LazyRecording(name, first, partial(_read_crops, name, of_inputs, info.inputs, rate_hz)))
    return recordings


def _read_crops(
    name: str, files: Mapping[str, Sequence[Path]], inputs: Mapping[str, InputSpec], rate_hz: float
) -> list[Recording]:
    n_crops = max(len(paths) for paths in files.values())
    n_rows = {m: [_open(path, rate_hz)[0].shape[0] for path in paths] for m, paths in files.items()}
    for m, paths in files.items():
        if unlike := [i for i, n in enumerate(n_rows[m]) if n != n_rows[m][0]]:
            what = f"holds {n_rows[m][unlike[0]]} rows, {paths[0].name} {n_rows[m][0]}"
            raise FileError(paths[unlike[0]], what, "crops of a recording are equally long; extract them anew")
    crops = []
    for c in range(n_crops):
        sources = {
            m: Source("features", (path,), partial(_open, path, rate_hz))
            for m, paths in files.items()
            for path in (paths[min(c, len(paths) - 1)],)
        }
        row = RecordingRow(name, sources=sources, align="rows", where=os.fspath(next(iter(files.values()))[0]))
        crops.append(check_shapes(row, row.load(tuple(sources), ()), inputs))
    return crops


def _open(path: Path, rate_hz: float) -> tuple[Any, float]:
    x = open_npy(path, "extract it again")
    if x.dtype.kind not in "fiu" or x.ndim < 2:
        raise FileError(path, f"holds shape {x.shape} of {x.dtype}", "expected numbers, (row, channel)")
    return x, rate_hz
