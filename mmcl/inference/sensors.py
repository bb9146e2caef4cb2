"""Snippet scores of sensor recordings: pairs of files, or the rows of a manifest."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from mmcl.config.schema import FeaturesConfig
from mmcl.config.specs import parse_spec
from mmcl.data.media import extract_media, keep_streams, probe_rows
from mmcl.data.recording_index import SPLITS, RecordingRow
from mmcl.data.signal_ranges import describe_unlike
from mmcl.datasets.sources.manifest import read_manifest
from mmcl.errors import FileError, InputError
from mmcl.features.extractor_set import split_names
from mmcl.inference.predictor import Predictor, mean_scores
from mmcl.inference.score_each import ScoredRecording
from mmcl.readers.recording_files import SHAPES, find_recordings, read_recording
from mmcl.runs.run_dir import RunInfo
from mmcl.types import InputSpec, Recording

MANIFESTS = (".csv", ".parquet", ".jsonl")


@dataclass(frozen=True)
class LazyRecording:
    """A recording that is read when its turn comes.

    Attributes:
        name: Of the recording.
        files: The file of each modality.
        read: Reads it; several crops of it are averaged over.
        media: Its media file, if it was made of one.
    """

    name: str
    files: Mapping[str, Path]
    read: Callable[[], Recording | list[Recording]]
    media: Path | None = None


def score_recording(predictor: Predictor, info: RunInfo, item: LazyRecording) -> ScoredRecording:
    """Scores of a recording, the mean over its crops.

    Args:
        predictor: Of the run.
        info: Of the run.
        item: Is read now.

    Raises:
        InputError: It cannot be read, or is not as the model expects.
    """
    read = item.read()
    crops = read if isinstance(read, list) else [read]
    scores = mean_scores(list(predictor.predict(crops)))
    held = scores.modality_score
    files = {m: path.name for m, path in item.files.items()}
    metadata = {"files": files, "scored by": list(predictor.scored_by(held))}
    notes = (*notes_of_missing(item.name, predictor, info, held), *_notes_of_signals(crops[0], info))
    return ScoredRecording(scores, metadata, item.media, "visual" in scores.modality_score, notes)


def _notes_of_signals(recording: Recording, info: RunInfo) -> list[str]:
    """Lines for channels that are named or sized otherwise than in training."""
    notes = describe_unlike(recording, info.ranges, info.inputs)
    for m, names in recording.channels.items():
        known = info.inputs[m].channels if m in info.inputs else ()
        if known and names != known:
            notes.append(f"{recording.name}: its {m} channels {', '.join(names)} are taken for {', '.join(known)}")
    return notes


def notes_of_missing(name: str, predictor: Predictor, info: RunInfo, held: Collection[str]) -> tuple[str, ...]:
    """A line for each modality that a recording lacks.

    Args:
        name: Of the recording or its file.
        predictor: Of the run.
        info: Of the run.
        held: Modalities that it has.
    """
    lacking = [m for m in info.inputs if m not in held]
    if not lacking:
        return ()
    scored_by = predictor.scored_by(held)
    is_as_all = set(scored_by) == set(predictor.scored_by(info.inputs))
    notes = []
    for m in lacking:
        note = f"{name}: has no {m} stream, scored by {' and '.join(scored_by)} alone"
        if is_as_all:
            note += ", as all recordings are"
        elif not info.n_lacking.get(m) and not info.config.augment.modality_dropout:
            note += f"; the model never saw a recording without {m}, so do not compare its scores with those of others"
        notes.append(note)
    return tuple(notes)


def find_sensor_recordings(
    inputs: Mapping[str, InputSpec], paths: Sequence[Path], rate_hz: Mapping[str, float | None]
) -> list[LazyRecording]:
    """The pairs of sensor files that paths name; no signal is read.

    Args:
        inputs: What the network takes of each modality.
        paths: Files, or folders of files.
        rate_hz: Of CSV files without a time column, by modality [Hz].

    Raises:
        InputError: A path is not as expected, or files of these sensors are not told apart by their names.
    """
    if any(spec.shape != SHAPES.get(m) for m, spec in inputs.items()):
        raise InputError(
            f"the model takes {', '.join(inputs)} of a manifest; give one, a CSV file that names the recordings"
        )
    return [
        LazyRecording(str(next(iter(pair.values()))), pair, partial(read_recording, pair, rate_hz))
        for pair in find_recordings(paths, tuple(inputs))
    ]


def recordings_of_manifest(info: RunInfo, path: Path, device: torch.device | str) -> list[LazyRecording]:
    """The recordings of a manifest; features of media files are made, or taken from the cache.

    Args:
        info: Of the run.
        path: The manifest; labels may be left out.
        device: Where extractors compute.

    Raises:
        InputError: It lacks all of the run's modalities, or a media file is unreadable.
    """
    inputs = info.inputs
    index = read_manifest(path, has_labels=False)
    media, failures = probe_rows([row for row in index.rows if row.media])
    reason_of = dict(failures)
    refused: dict[str, FileError] = {}
    for row in index.rows:
        file = row.url or str(next(iter(row.media_files), ""))
        if file in reason_of:
            refused[row.name] = FileError(file, reason_of[file], "see above")
    index = keep_streams(index, media)
    if missing := [m for m in inputs if m not in index.kinds]:
        if len(missing) == len(inputs):
            raise FileError(path, f"has no column {missing[0]}", f"the model takes {', '.join(inputs)}")
        print(f"{path}: has no column {missing[0]}; recordings are scored by what they have", flush=True)
    needed = [m for m in inputs if any(m in row.media for row in index.rows)]
    features = features_of_run(info, needed, path) if needed else info.config.features
    media_of = {row.name: row.media_files[0] for row in index.rows if row.media}
    failed: dict[Path, str] = {}
    index = extract_media(index, features, tuple(inputs), ("", *SPLITS), device, info.extractors, failed)
    recordings = []
    for row in index.rows:
        media_file = media_of.get(row.name)
        if media_file is not None and media_file in failed:
            refused[row.name] = FileError(row.url or media_file, failed[media_file], "see above")
        files = {m: row.sources[m].files[0] for m in inputs if m in row.sources}
        if not files:
            refused.setdefault(
                row.name, FileError(path, f"{row.name} has no {' and no '.join(inputs)}", "leave it out")
            )
        if row.name in refused:
            recordings.append(LazyRecording(row.name, {"manifest": path}, partial(_refuse, refused[row.name])))
        else:
            recordings.append(LazyRecording(row.name, files, partial(_read_row, row, inputs), media_of.get(row.name)))
    return recordings


def features_of_run(info: RunInfo, modalities: Sequence[str], path: Path) -> FeaturesConfig:
    """Settings of the extractors that made a run's features.

    Args:
        info: Of the run.
        modalities: Of which media files are there.
        path: Of the manifest, for errors.

    Raises:
        FileError: The run's card does not say what made them.
    """
    unknown = [m for m in modalities if m not in info.extractors]
    if unknown:
        raise FileError(
            path,
            f"names media files, but the model does not know what made its {unknown[0]} features",
            "score the files themselves, with --visual and --audio, or a manifest of features",
        )
    names = {m: tuple(extractor_names(info, m)) for m in modalities}
    track = info.extractors["audio"].track if "audio" in info.extractors else "default"
    return replace(info.config.features, audio_track=track, **names)  # type: ignore[arg-type]


def extractor_names(info: RunInfo, modality: str) -> list[str]:
    """As the run's settings name them, with their options, where they made the features; else as its card does."""
    from_settings = split_names(getattr(info.config.features, modality))
    of_card = split_names(info.extractors[modality].name)
    return from_settings if [parse_spec(n).name for n in from_settings] == of_card else of_card


def _refuse(error: FileError) -> Recording:
    raise error


def _read_row(row: RecordingRow, inputs: Mapping[str, InputSpec]) -> Recording:
    return check_shapes(row, row.load(tuple(inputs), ()), inputs)


def check_shapes(row: RecordingRow, recording: Recording, inputs: Mapping[str, InputSpec]) -> Recording:
    """The recording, whose signals have the shapes that the model takes.

    Raises:
        FileError: One has another.
    """
    for m, x in recording.signal.items():
        if tuple(x.shape[1:]) != tuple(inputs[m].shape):
            raise FileError(
                row.sources[m].files[0],
                f"holds {tuple(x.shape[1:])} a frame",
                f"the model was trained on {tuple(inputs[m].shape)}",
            )
        names, known = recording.channels.get(m, ()), inputs[m].channels
        if names != known and sorted(names) == sorted(known):
            raise FileError(
                row.sources[m].files[0],
                f"has its channels in the order {', '.join(names)}",
                f"the model was trained on {', '.join(known)}",
            )
    return recording
