"""A trained model that scores whatever it was trained on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np

from mmcl.api.scores import Scores
from mmcl.errors import FileError, InputError
from mmcl.features.extract import extract_snippets
from mmcl.features.weights import cache_folder
from mmcl.inference.any_source import Job, find_job, takes_media
from mmcl.inference.arrays import check_recording, recording_of_arrays
from mmcl.inference.predictor import Predictor, load_predictor
from mmcl.inference.score_each import ScoredRecording
from mmcl.inference.sensors import LazyRecording, notes_of_missing, score_recording
from mmcl.inference.videos import ExtractorOptions, VideoScorer, create_video_scorer, score_features
from mmcl.interop.hub import find_model
from mmcl.interop.onnx import onnx_predictor
from mmcl.media.arrays import MediaArrays
from mmcl.media.fetch import fetch, is_url, place_of_url
from mmcl.runs.run_dir import RunInfo, read_run
from mmcl.types import Recording

Rate = float | Mapping[str, float] | None


@dataclass(frozen=True, repr=False)
class Model:
    """A trained model, what ``mmcl.load`` returns.

    Attributes:
        folder: Of the run, or of the imported or shared model.
        predictor: Its network, with what its scores mean.
        info: Its settings.
        options: Of the extractors of videos.

    Example:
        >>> load("no/run")
        Traceback (most recent call last):
        mmcl.errors.FileError: no/run: no such folder; give a run's folder, or hub:OWNER/NAME
    """

    folder: Path
    predictor: Predictor
    info: RunInfo
    options: ExtractorOptions = field(default_factory=ExtractorOptions)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.info.classes

    @property
    def modalities(self) -> tuple[str, ...]:
        """What it takes; a recording may lack some."""
        return tuple(self.info.inputs)

    @cached_property
    def video_scorer(self) -> VideoScorer:
        """Extractors and network; the extractors' weights are loaded when a video is scored first."""
        return create_video_scorer(self.predictor, self.info, self.folder, self.options)

    @overload
    def score(self, source: str | os.PathLike[str], *, rate_hz: Rate = None, name: str = "") -> Scores: ...

    @overload
    def score(self, source: Mapping[str, Any] | Recording, *, rate_hz: Rate = None, name: str = "") -> Scores: ...

    @overload
    def score(self, source: Any, *, rate_hz: Rate = None, name: str = "") -> Any: ...

    def score(self, source: Any, *, rate_hz: Rate = None, name: str = "") -> Any:
        """Snippet scores of a recording, or of each of several.

        Args:
            source: A media file or its address; a folder with the files of one sensor recording; a ``Recording``; a
                table (``pandas.DataFrame``) of a model's one sensor; or arrays by modality. Sensor arrays are
                ``(frame, ...)``, as the model was trained on. Of a model of videos, ``visual`` is ``(frame, height,
                width, 3)`` uint8 RGB and ``audio`` ``(sample,)`` or ``(sample, channel)``, or both are features
                ``(snippet, channel)``. A list or iterator of such: the result is an iterator, which scores one when it
                is asked for it, and goes on behind one that failed.
            rate_hz: Samples a second, of all arrays or by modality; not needed for features, files and tables with a
                column time_s.
            name: Of the recording, for arrays.

        Returns:
            Its scores.

        Raises:
            InputError: The recording cannot be read, or is not what the model takes.
        """
        if isinstance(source, str | os.PathLike):
            job = self._job(source, rate_hz)
            if len(job.items) != 1:
                raise InputError(f"{source}: names {len(job.items)} recordings; use score_each")
            return self._scores(job.score(job.items[0]))
        if isinstance(source, Recording):
            check_recording(source, self.info)
            return self._scores(self._score_recording(source))
        if isinstance(source, Mapping) or hasattr(source, "columns") or isinstance(source, np.ndarray):
            return self._scores(self._score_arrays(self._by_modality(source), rate_hz, name or "recording"))
        if isinstance(source, Iterable):
            return map(lambda one: self.score(one, rate_hz=rate_hz), source)
        raise InputError(f"score: expected a path, arrays or a table, got {type(source).__name__}")

    def score_each(
        self, source: str | os.PathLike[str], *, rate_hz: Rate = None, failed: dict[str, str] | None = None
    ) -> Iterator[Scores]:
        """Scores of all recordings that a path names: a folder, a pattern ('videos/*.mp4'), or a manifest.

        Args:
            source: The path.
            rate_hz: Of CSV files without a time column, by modality [Hz].
            failed: Is filled with what is wrong with each recording that cannot be read, by file; others are scored.

        Returns:
            An iterator, which goes on behind a recording that failed.

        Raises:
            InputError: The path names nothing that the model takes; a recording cannot be read, without ``failed``.
        """
        job = self._job(source, rate_hz)
        if failed is None:
            return map(lambda item: self._scores(job.score(item)), job.items)
        return self._readable(job, failed)

    def _readable(self, job: Job, failed: dict[str, str]) -> Iterator[Scores]:
        for item in job.items:
            try:
                scored = job.score(item)
            except InputError as error:
                failed[job.name_of(item)] = str(error)
            else:
                yield self._scores(scored)

    def _scores(self, scored: ScoredRecording) -> Scores:
        return Scores(scored, self.predictor.multiclass)

    def _job(self, source: str | os.PathLike[str], rate_hz: Rate) -> Job:
        path = Path(source)
        if is_url(os.fspath(source)):
            path = place_of_url(os.fspath(source), cache_folder() / "fetched")
            fetch(os.fspath(source), path)
        rates = _rates_of(rate_hz, self.modalities)
        return find_job(self.predictor, self.info, [path], lambda: self.video_scorer, rates)

    def _score_recording(self, recording: Recording) -> ScoredRecording:
        item = LazyRecording(recording.name, dict.fromkeys(recording.signal, Path(recording.name)), lambda: recording)
        return score_recording(self.predictor, self.info, item)

    def _by_modality(self, source: Any) -> Mapping[str, Any]:
        if isinstance(source, Mapping):
            if unknown := [m for m in source if m not in self.info.inputs]:
                raise InputError(f"score: the model takes {', '.join(self.modalities)}, got {unknown[0]}")
            if not source:
                raise InputError(f"score: expected arrays of {', '.join(self.modalities)}, got none")
            return source
        if len(self.modalities) > 1:
            raise InputError(f"score: the model takes {', '.join(self.modalities)}; give arrays by modality, in a dict")
        return {self.modalities[0]: source}

    def _score_arrays(self, arrays: Mapping[str, Any], rate_hz: Rate, name: str) -> ScoredRecording:
        rates = _rates_of(rate_hz, tuple(arrays))
        raw = {m for m, x in arrays.items() if takes_media(self.info) and not self._is_features(m, x)}
        if not raw:
            return self._score_recording(recording_of_arrays(arrays, rates, name, self.info))
        if raw != set(arrays):
            raise InputError(f"score: {min(raw)} is no array of features, but others are; give one kind of all")
        visual, audio = (None if m not in arrays else np.asarray(arrays[m]) for m in ("visual", "audio"))
        media = MediaArrays(visual, rates.get("visual"), audio, rates.get("audio"))
        extracted = extract_snippets(media.read, self.video_scorer.extractors, Path(name))
        scores = score_features(name, extracted.features, self.predictor)
        notes = notes_of_missing(name, self.predictor, self.info, extracted.parts)
        metadata = {"model": os.fspath(self.folder), "scored by": list(self.predictor.scored_by(extracted.parts))}
        return ScoredRecording(scores, metadata, notes=notes)

    def _is_features(self, modality: str, x: Any) -> bool:
        return tuple(np.shape(x)[1:]) == tuple(self.info.inputs[modality].shape)

    def __repr__(self) -> str:
        takes, grid = " + ".join(self.modalities), self.predictor.grid
        return f"Model({self.folder}: {takes}, snippets of {grid.window_s:.3g} s, {', '.join(self.classes)})"


def _rates_of(rate_hz: Rate, modalities: Sequence[str]) -> dict[str, float | None]:
    """The rate of each modality [Hz], None where none is given."""
    of_each = rate_hz if isinstance(rate_hz, Mapping) else dict.fromkeys(modalities, rate_hz)
    rates: dict[str, float | None] = {}
    for m, rate in of_each.items():
        try:
            rates[m] = None if rate is None else float(rate)
        except (TypeError, ValueError):
            raise InputError(
                f"rate_hz: expected samples a second, or a dict of them by modality, got {rate!r}"
            ) from None
    return rates


def load(
    model: str | os.PathLike[str],
    device: str = "auto",
    *,
    runtime: str = "torch",
    options: ExtractorOptions | None = None,
) -> Model:
    """A trained model.

    Args:
        model: Folder of a run, or of an imported or shared model; or ``hub:OWNER/NAME``.
        device: "auto" (a GPU where there is one), "cpu", "cuda" or another of PyTorch's.
        runtime: "torch", or "onnx": ONNX Runtime with the folder's model.onnx, which ``mmcl export`` writes.
        options: Extractors of videos, where the model does not know its own.

    Raises:
        InputError: There is no such model, it is not readable, or has no scores.

    Example:
        >>> load("no/run")
        Traceback (most recent call last):
        mmcl.errors.FileError: no/run: no such folder; give a run's folder, or hub:OWNER/NAME
    """
    if runtime not in ("torch", "onnx"):
        raise InputError(f"runtime: expected torch or onnx, got {runtime}")
    text = os.fspath(model)
    folder = find_model(text.removeprefix("hub:")) if text.startswith("hub:") else Path(model)
    if not folder.is_dir():
        raise FileError(folder, "no such folder", "give a run's folder, or hub:OWNER/NAME")
    predictor = load_predictor(folder, device) if runtime == "torch" else onnx_predictor(folder)
    return Model(folder, predictor, read_run(folder), options or ExtractorOptions())
