"""Snippet scores of raw videos: extractors from the model's card, then the network."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from mmcl.errors import FileError, InputError
from mmcl.features.extract import extract_file
from mmcl.features.extractor_set import ExtractorSet, create_extractors
from mmcl.inference.predictor import Predictor, mean_scores
from mmcl.inference.score_each import ScoredRecording
from mmcl.inference.sensors import extractor_names, notes_of_missing
from mmcl.media.find import MediaFile
from mmcl.media.timing import FPS, FRAMES_PER_SNIPPET, SNIPPET_S
from mmcl.runs.run_dir import RunInfo
from mmcl.types import Recording, SnippetGrid, SnippetScores


@dataclass(frozen=True)
class ExtractorOptions:
    """Which extractors, where the model's card does not know them.

    Example:
        >>> ExtractorOptions().timeout_s
        60.0
    """

    visual: str = ""
    """Extractor of the picture, where the model's card does not know it (features from elsewhere)."""
    audio: str = ""
    """The same for the sound."""
    visual_weights: str = ""
    """Weights of the extractor: a file, or an address with #sha256=HEX; the public ones by default."""
    audio_weights: str = ""
    """The same for the sound."""
    pca: Path | None = None
    """VGGish's PCA parameters, for models trained on features that were made with them."""
    audio_track: str = ""
    """Which sound track is heard: default (the one that a file marks so, else the first), mix, or its number; as the
    model's training features by default."""
    growing: bool = False
    """Score what there is of a file that is being written or cut off, and mark it."""
    timeout_s: float = 60.0
    """Seconds without progress after which a video's decoder is given up."""


@dataclass(frozen=True)
class VideoScorer:
    """Scores video and audio files.

    Attributes:
        predictor: Of a run.
        extractors: That made its training features.
        info: Of the run.
        model: Names the run in the results.
        timeout_s: Seconds without progress after which a decoder is given up.
        growing: Score what there is of incomplete files.
    """

    predictor: Predictor
    extractors: ExtractorSet
    info: RunInfo
    model: str = ""
    timeout_s: float = 60.0
    growing: bool = False

    def score(self, file: MediaFile, on_scores: Callable[[np.ndarray], object] | None = None) -> ScoredRecording:
        """Scores of a file, a stream that it lacks left out.

        Args:
            file: A media file.
            on_scores: Gets the joint scores so far, ``(snippet, class)``, while features are made; those near the end
                change with what follows.

        Raises:
            FileError: It cannot be decoded, changes while it is, or holds no stream that the model takes.
        """
        path = file.path
        started, before = time.perf_counter(), _state(path)
        with tqdm(desc=path.name, unit="s", leave=False, disable=None, delay=1) as bar:

            def show(n: int) -> None:
                bar.update(n * SNIPPET_S)
                speed = bar.n / max(time.perf_counter() - started, 1e-9)
                bar.set_postfix_str(f"{speed:.1f}x real time")

            extracted = extract_file(
                path,
                self.extractors,
                timeout_s=self.timeout_s,
                progress=show,
                growing=self.growing,
                on_features=None if on_scores is None else partial(self._score_so_far, [], on_scores),
            )
        if not self.growing and _state(path) != before:
            raise FileError(path, "changed while it was read", "wait until it is written, or give --growing")
        scores = score_features(file.name, extracted.features, self.predictor)
        notes = [*notes_of_missing(str(path), self.predictor, self.info, extracted.parts), *extracted.notes]
        seconds, spent = scores.end_s[-1], time.perf_counter() - started
        speed = f"{path}: {seconds:.0f} s in {spent:.1f} s, {seconds / spent:.1f}x real time"
        metadata: dict[str, Any] = {
            "file": path.name,
            "model": self.model,
            "scored by": list(self.predictor.scored_by(extracted.parts)),
            "grid": f"{FRAMES_PER_SNIPPET} frames at {FPS} fps a snippet; 0 s is where the file begins",
        }
        if self.growing:
            metadata["growing"] = True
        return ScoredRecording(scores, metadata, path, extracted.media.video is not None, tuple(notes), speed)

    def _score_so_far(
        self,
        so_far: list[dict[str, np.ndarray]],
        on_scores: Callable[[np.ndarray], object],
        features: dict[str, np.ndarray],
    ) -> None:
        so_far.append(features)
        n = sum(len(next(iter(f.values()))) for f in so_far)
        if n & (n - 1) and n % 256:  # seldom enough that it costs little: scored anew are all of them
            return
        joined = {m: np.concatenate([f[m] for f in so_far]) for m in features}
        on_scores(score_features("so far", joined, self.predictor).score)


def _state(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def create_video_scorer(predictor: Predictor, info: RunInfo, run: Path, options: ExtractorOptions) -> VideoScorer:
    """The scorer of a run.

    Args:
        predictor: Of the run.
        info: Of the run.
        run: Its folder, for messages.
        options: Which extractors.

    Raises:
        InputError: The run does not score videos, or its extractors are not known.
    """
    check_video_grid(info.grid, run)
    extractors = extractors_of_run(info, run, options).to(predictor.device)
    return VideoScorer(predictor, extractors, info, os.fspath(run), options.timeout_s, options.growing)


def check_video_grid(grid: SnippetGrid, run: Path) -> None:
    """The run was trained on the snippets that videos are cut into.

    Raises:
        InputError: It was not.
    """
    if abs(grid.hop_s - SNIPPET_S) > 1e-6 or abs(grid.window_s - SNIPPET_S) > 1e-6:
        raise InputError(
            f"{run}: was trained on snippets of {grid.window_s:g} s every {grid.hop_s:g} s; "
            f"videos are cut into snippets of {SNIPPET_S:.3f} s"
        )


def extractors_of_run(info: RunInfo, run: Path, options: ExtractorOptions) -> ExtractorSet:
    """The extractors that made the run's training features.

    Args:
        info: Of the run.
        run: Its folder, for messages.
        options: Names them where the run's card does not.

    Raises:
        InputError: They are not known, others are asked for, or they come with other weights.
    """
    known, inputs = info.extractors, info.inputs
    strange = [m for m in inputs if m not in ("visual", "audio")]
    if strange:
        raise InputError(f"{run}: scores {strange[0]} recordings, not videos")
    given = {"visual": options.visual, "audio": options.audio}
    names = {"visual": "none", "audio": "none"}
    for m in inputs:
        card = known.get(m)
        if card is None and not given[m]:
            raise InputError(f"{run}: its card does not say what made its {m} features; say so with --{m} NAME")
        if card is not None and given[m] not in ("", card.name):
            raise InputError(f"--{m} {given[m]}: {run} was trained on {m} features of {card.name}")
        names[m] = given[m] or "+".join(extractor_names(info, m))
    extractors = create_extractors(
        names["visual"],
        names["audio"],
        visual_weights=options.visual_weights,
        audio_weights=options.audio_weights,
        n_crops=known["visual"].crops if "visual" in known else 1,
        pca=options.pca,
        audio_track=options.audio_track or (known["audio"].track if "audio" in known else "default"),
    )
    for m, card in extractors.cards.items():
        expected = known.get(m, replace(card, dim=inputs[m].shape[0]))
        if difference := expected.differs_from(card):
            raise InputError(f"{run}: was trained on {m} features of another extractor ({difference} of this one)")
    return extractors


def score_features(name: str, features: Mapping[str, np.ndarray], predictor: Predictor) -> SnippetScores:
    """Scores of a file's features, averaged over crops of the picture.

    Args:
        name: Of the recording.
        features: By modality, visual ``(snippet, crop, channel)``, audio ``(snippet, channel)``.
        predictor: Of a run.
    """
    rate = FPS / FRAMES_PER_SNIPPET
    visual = features.get("visual")
    crops = [{}] if visual is None else [{"visual": visual[:, c]} for c in range(visual.shape[1])]
    sound = {"audio": features["audio"]} if "audio" in features else {}
    taken = predictor.grid.frames_per_hop
    signals = [{m: x for m, x in {**crop, **sound}.items() if m in taken} for crop in crops]
    recordings = [Recording(name, s, dict.fromkeys(s, rate)) for s in signals]
    with torch.inference_mode():
        return mean_scores(list(predictor.predict(recordings)))
