"""From a network and recordings to snippet scores; memory stays bounded."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mmcl.data.augmentation import n_hops_of
from mmcl.data.collate import BagSample, collate, require_finite
from mmcl.data.snippet_grid import resample_to_grid
from mmcl.distributed import gather_parts, share_out
from mmcl.errors import InputError
from mmcl.losses.mil import to_score, topk_pool
from mmcl.runs.model import load_model, resolve_device
from mmcl.types import ModelOutput, Recording, SnippetGrid, SnippetScores

CHUNK = 512  # snippets that the network sees at once
BATCH = 16
BUCKET_SIZE = 4  # of these, of like length


@dataclass(frozen=True)
class Predictor:
    """A trained network with what its scores mean.

    Attributes:
        network: In the form ``Bags -> ModelOutput``.
        grid: How recordings are cut into snippets.
        classes: Names of the classes.
        topk_divisor: Of the pooling.
        multiclass: Classes exclude each other.
        device: Where to compute.

    Example:
        >>> from mmcl.models.encoders.linear import LinearEncoder
        >>> from mmcl.models.network import MultimodalNetwork
        >>> network = MultimodalNetwork({"clip": LinearEncoder(8, 16)}, 16, 1)
        >>> grid = SnippetGrid(1.0, 1.0, {"clip": 1}, kinds={"clip": "features"})
        >>> predictor = Predictor(network, grid, ("fall",), 16, False)
        >>> recording = Recording("r", {"clip": np.zeros((5, 8), np.float32)}, {"clip": 1.0})
        >>> next(predictor.predict([recording])).score.shape
        (5, 1)
    """

    network: nn.Module
    grid: SnippetGrid
    classes: tuple[str, ...]
    topk_divisor: int
    multiclass: bool
    device: torch.device | str = "cpu"

    @classmethod
    def from_run(cls, run: Path | str, device: torch.device | str = "cpu") -> Predictor:
        """The predictor of a run, or of an imported or shared model.

        Args:
            run: Its folder.
            device: Where to compute.

        Raises:
            InputError: The run is not readable, or has no scores.
        """
        network, info = load_model(Path(run))
        mil = info.config.loss.mil
        return cls(network.to(device), info.grid, info.classes, mil.topk_divisor, mil.multiclass, device)

    def predict(self, recordings: Sequence[Recording]) -> Iterator[SnippetScores]:
        """The snippet scores of each recording, in order.

        A recording may lack some of the network's modalities; it is scored by those it has. One longer than ``CHUNK``
        snippets is scored in chunks that overlap by the network's context, which gives the same scores; a network
        without bounded context sees it whole.

        Args:
            recordings: Raw signals.

        Raises:
            InputError: A recording has an unknown modality, or its signals or scores are not finite.
        """
        for batch in _of_same_modalities(recordings):
            yield from self._scores([recordings[i] for i in batch])

    def predict_shared(self, recordings: Sequence[Recording]) -> list[SnippetScores]:
        """The same of all recordings, shared out over the processes of a training, which all have to ask for it.

        Batches are those of one process, and so are the scores.

        Args:
            recordings: The same on all processes.

        Raises:
            InputError: See ``predict``.
        """
        batches = list(_of_same_modalities(recordings))
        own = [self._scores([recordings[i] for i in batch]) for batch in share_out(batches)]
        return [scores for batch in gather_parts(own, len(batches)) for scores in batch]

    def scored_by(self, held: Collection[str]) -> tuple[str, ...]:
        """The modalities that a recording's joint score depends on.

        Args:
            held: Those that it has.

        Example:
            >>> Predictor(nn.Identity(), SnippetGrid(1.0, 1.0, {"clip": 1}), ("fall",), 16, False).scored_by(["clip"])
            ('clip',)
        """
        taken = getattr(self.network, "joint_modalities", held)
        return tuple(m for m in held if m in taken) or tuple(held)

    @torch.no_grad()
    def _scores(self, batch: Sequence[Recording]) -> list[SnippetScores]:
        was_training = self.network.training
        self.network.eval()
        try:
            logits = self._logits([require_finite(resample_to_grid(r, self.grid), r.name) for r in batch])
            more = (self.grid, self.classes, self.topk_divisor, self.multiclass)
            return [scores_of_logits(r, x, *more) for r, x in zip(batch, logits, strict=True)]
        finally:
            self.network.train(was_training)

    def _logits(self, signals: Sequence[Mapping[str, np.ndarray]]) -> list[dict[str, Tensor]]:
        """Per recording ``{"joint" or modality: (snippet, class)}`` on the CPU."""
        sizes = [self.grid.n_snippets(n_hops_of(dict(x), self.grid)) for x in signals]
        context = getattr(self.network, "context", None)
        if context is None or max(sizes) <= CHUNK:
            return self._forward([_cut(x, self.grid, 0, n) for x, n in zip(signals, sizes, strict=True)])
        joined = []
        for x, n in zip(signals, sizes, strict=True):
            chunks: list[dict[str, Tensor]] = []
            for start in range(0, n, CHUNK):
                low, high = max(start - context, 0), min(start + CHUNK + context, n)
                (logits,) = self._forward([_cut(x, self.grid, low, high)])
                chunks.append({k: v[start - low : min(start + CHUNK, n) - low] for k, v in logits.items()})
            joined.append({k: torch.cat([c[k] for c in chunks]) for k in chunks[0]})
        return joined

    def _forward(self, samples: list[BagSample]) -> list[dict[str, Tensor]]:
        output: ModelOutput = self.network(collate(samples, BUCKET_SIZE).to(self.device))
        of_modality = {m: logit for m, logit in output.logit.items() if m in samples[0].x}  # not what is imputed
        logits = {k: v.float().cpu() for k, v in {"joint": output.joint_logit, **of_modality}.items()}
        return [{k: v[i, : s.n_snippets] for k, v in logits.items()} for i, s in enumerate(samples)]


def scores_of_logits(
    recording: Recording,
    logits: Mapping[str, Tensor],
    grid: SnippetGrid,
    classes: tuple[str, ...],
    topk_divisor: int,
    multiclass: bool,
) -> SnippetScores:
    """The scores that logits make.

    Args:
        recording: Whose they are.
        logits: ``{"joint" or modality: (snippet, class)}``.
        grid: How it was cut into snippets.
        classes: Names of the classes.
        topk_divisor: Of the pooling.
        multiclass: Classes exclude each other.

    Raises:
        InputError: A logit is not finite.
    """
    n = len(logits["joint"])
    if not all(v.isfinite().all() for v in logits.values()):
        raise InputError(f"{recording.name}: its scores are not finite; the signal holds values far out of range")
    pace = recording.duration_s / grid.stretch_s if grid.stretch_s else 1.0
    start = np.arange(n) * grid.hop_s * pace
    mask = torch.ones(1, n, dtype=torch.bool)
    bag = {k: to_score(topk_pool(v[None], mask, topk_divisor)[0], multiclass).numpy() for k, v in logits.items()}
    score = {k: to_score(v, multiclass).numpy() for k, v in logits.items()}
    return SnippetScores(
        recording.name,
        start,
        start + grid.window_s * pace,
        score.pop("joint"),
        score,
        bag.pop("joint"),
        bag,
        classes,
        recording.intervals,
    )


def _of_same_modalities(recordings: Sequence[Recording]) -> Iterator[list[int]]:
    """Numbers of recordings in order, in batches that have the same modalities."""
    for _, group in itertools.groupby(enumerate(recordings), lambda pair: frozenset(pair[1].signal)):
        numbers = (i for i, _ in group)
        while batch := list(itertools.islice(numbers, BATCH)):
            yield batch


def _cut(signals: Mapping[str, np.ndarray], grid: SnippetGrid, low: int, high: int) -> BagSample:
    """Snippets low to high (exclusive) of a recording as a bag of their own."""
    first, last = low, high + grid.hops_per_window - 1
    x = {m: v[first * grid.frames_per_hop[m] : last * grid.frames_per_hop[m]] for m, v in signals.items()}
    return BagSample(x, high - low, np.zeros(1, np.float32), 0)


def load_predictor(run: Path | str, device: str = "auto") -> Predictor:
    """The predictor of a run.

    Args:
        run: Folder of a run, or of an imported or shared model.
        device: "auto", "cpu" or a GPU.

    Raises:
        InputError: The run is not readable, or has no scores.

    Example:
        >>> load_predictor("no/run", "cpu")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        mmcl.errors.FileError: no/run/config.json: no such file; ...
    """
    return Predictor.from_run(run, resolve_device(device))


def mean_scores(scores: Sequence[SnippetScores]) -> SnippetScores:
    """The mean of several scores of one recording.

    Args:
        scores: One or more, of the same snippets.
    """
    first = scores[0]
    return replace(
        first,
        score=np.mean([s.score for s in scores], axis=0),
        modality_score={m: np.mean([s.modality_score[m] for s in scores], axis=0) for m in first.modality_score},
        bag_score=np.mean([s.bag_score for s in scores], axis=0),
        modality_bag_score={
            m: np.mean([s.modality_bag_score[m] for s in scores], axis=0) for m in first.modality_bag_score
        },
    )
