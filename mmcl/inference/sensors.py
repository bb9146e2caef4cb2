"""Snippet scores of sensor recordings: pairs of files, or the rows of a manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mmcl.data.recording_index import RecordingIndex, RecordingRow
from mmcl.datasets.sources.manifest import read_manifest
from mmcl.errors import FileError, InputError
from mmcl.inference.predictor import Predictor
from mmcl.inference.score_each import ScoredRecording, ScoreWriter, score_each
from mmcl.readers.recording_files import FILE_NAME, SHAPES, find_recordings, read_recording
from mmcl.types import InputSpec, Recording

MANIFESTS = (".csv", ".parquet", ".jsonl")


@dataclass(frozen=True)
class LazyRecording:
    """A recording that is read when its turn comes.

    Attributes:
        files: The file of each modality.
        read: Reads them.
    """

    files: Mapping[str, Path]
    read: Callable[[], Recording]


def score_sensors(
    predictor: Predictor,
    inputs: Mapping[str, InputSpec],
    paths: Sequence[Path],
    writer: ScoreWriter,
    rate_hz: Mapping[str, float | None],
) -> None:
    """Score sensor recordings; each one's results are written at once.

    Args:
        predictor: Of a run.
        inputs: What its network takes of each modality.
        paths: Files, folders of files, or one manifest.
        writer: Gets the results.
        rate_hz: Of CSV files without a time column, by modality [Hz].

    Raises:
        InputError: A path is not as expected; at the end, naming the recordings that failed.
    """
    items = find_sensor_recordings(inputs, paths, rate_hz)

    def score(item: LazyRecording) -> ScoredRecording:
        (scores,) = predictor.predict([item.read()])
        return ScoredRecording(scores, {"files": {m: path.name for m, path in item.files.items()}})

    score_each(items, score, writer, "recording", lambda item: str(next(iter(item.files.values()))))


def find_sensor_recordings(
    inputs: Mapping[str, InputSpec], paths: Sequence[Path], rate_hz: Mapping[str, float | None]
) -> list[LazyRecording]:
    """The recordings that paths name; no signal is read.

    Args:
        inputs: What the network takes of each modality.
        paths: Files, folders of files, or one manifest.
        rate_hz: Of CSV files without a time column, by modality [Hz].

    Raises:
        InputError: A path is not as expected.
    """
    is_manifest = len(paths) == 1 and paths[0].suffix in MANIFESTS and not FILE_NAME.fullmatch(paths[0].name)
    # files of other sensors are not told apart by their names
    if is_manifest or any(spec.shape != SHAPES.get(m) for m, spec in inputs.items()):
        return list(_of_manifest(inputs, paths))
    return [
        LazyRecording(pair, partial(read_recording, pair, rate_hz)) for pair in find_recordings(paths, tuple(inputs))
    ]


def _of_manifest(inputs: Mapping[str, InputSpec], paths: Sequence[Path]) -> Iterator[LazyRecording]:
    if len(paths) != 1 or paths[0].suffix not in MANIFESTS:
        raise InputError(
            f"the model takes {', '.join(inputs)} of a manifest; give one, a CSV file that names the recordings"
        )
    index = read_manifest(paths[0], has_labels=False)
    if missing := [m for m in inputs if m not in index.kinds]:
        raise FileError(paths[0], f"has no column {missing[0]}", f"the model takes {', '.join(inputs)}")
    for row in index.rows:
        files = {m: row.sources[m].files[0] for m in inputs if m in row.sources}
        yield LazyRecording(files, partial(_read_row, index, row, inputs))


def _read_row(index: RecordingIndex, row: RecordingRow, inputs: Mapping[str, InputSpec]) -> Recording:
    recording = row.load(tuple(inputs), index.classes)
    for m, x in recording.signal.items():
        if x.shape[1:] != inputs[m].shape:
            raise FileError(
                row.sources[m].files[0],
                f"holds {x.shape[1:]} a frame",
                f"the model was trained on {inputs[m].shape}",
            )
    return recording
