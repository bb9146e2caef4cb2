"""From a network and recordings to timelines of snippet scores; memory stays bounded."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mmcl.data.augment import n_hops_of
from mmcl.data.bags import Item, collate, finite
from mmcl.data.clock import on_grid
from mmcl.errors import InputError
from mmcl.models.pooling import topk_pool
from mmcl.training.step import to_score
from mmcl.types import Clock, Encoded, Recording, Timeline

CHUNK = 512  # snippets that the network sees at once
BATCH = 16
PER_GROUP = 4  # of these, of like length


@dataclass(frozen=True)
class Scorer:
    """A trained network with what its scores mean.

    ``score(recordings)`` yields one Timeline each, in order. A recording may lack some of the network's
    modalities; it is scored by those it has. A recording longer than ``CHUNK``
    snippets is scored in chunks that overlap by the network's context, which gives the scores of
    the whole; a network without bounded context sees it whole.
    """

    network: nn.Module
    clock: Clock
    classes: tuple[str, ...]
    divisor: int
    exclusive: bool
    device: torch.device | str = "cpu"

    @torch.no_grad()
    def score(self, recordings: Sequence[Recording]) -> Iterator[Timeline]:
        was_training = self.network.training
        self.network.eval()
        try:
            for part in _alike(recordings):
                grids = [finite(on_grid(r, self.clock), r.name) for r in part]
                for recording, logits in zip(part, self._logits(grids), strict=True):
                    yield self._timeline(recording, logits)
        finally:
            self.network.train(was_training)

    def _logits(self, grids: Sequence[Mapping[str, np.ndarray]]) -> list[dict[str, Tensor]]:
        """Per recording ``{"joint" or modality: (snippet, class)}`` on the CPU."""
        sizes = [self.clock.n_snippets(n_hops_of(dict(g), self.clock)) for g in grids]
        context = getattr(self.network, "context", None)
        if context is None or max(sizes) <= CHUNK:
            return self._forward([_cut(dict(g), self.clock, 0, n) for g, n in zip(grids, sizes, strict=True)])
        whole = []
        for grid, n in zip(grids, sizes, strict=True):
            parts: list[dict[str, Tensor]] = []
            for start in range(0, n, CHUNK):
                low, high = max(start - context, 0), min(start + CHUNK + context, n)
                (logits,) = self._forward([_cut(dict(grid), self.clock, low, high)])
                parts.append({k: v[start - low : min(start + CHUNK, n) - low] for k, v in logits.items()})
            whole.append({k: torch.cat([p[k] for p in parts]) for k in parts[0]})
        return whole

    def _forward(self, items: list[Item]) -> list[dict[str, Tensor]]:
        encoded: Encoded = self.network(collate(items, PER_GROUP).to(self.device))
        seen = {m: logit for m, logit in encoded.logit.items() if m in items[0].x}  # not what stands in
        logits = {"joint": encoded.joint_logit, **seen}
        at_home = {k: v.float().cpu() for k, v in logits.items()}
        return [{k: v[i, : item.n_snippets] for k, v in at_home.items()} for i, item in enumerate(items)]

    def _timeline(self, recording: Recording, logits: Mapping[str, Tensor]) -> Timeline:
        n = len(logits["joint"])
        if not all(v.isfinite().all() for v in logits.values()):
            raise InputError(
                f"{recording.name}: its scores are not finite; the signal holds values far out of range"
            )
        pace = recording.duration_s / self.clock.stretch_s if self.clock.stretch_s else 1.0
        start = np.arange(n) * self.clock.hop_s * pace
        real = torch.ones(1, n, dtype=torch.bool)
        bag = {k: topk_pool(v[None], real, self.divisor)[0] for k, v in logits.items()}
        score = {k: to_score(v, self.exclusive).numpy() for k, v in logits.items()}
        return Timeline(
            recording.name,
            start,
            start + self.clock.window_s * pace,
            score.pop("joint"),
            score,
            to_score(bag["joint"], self.exclusive).numpy(),
            {k: to_score(v, self.exclusive).numpy() for k, v in bag.items() if k != "joint"},
            self.classes,
            recording.intervals,
        )


def _alike(recordings: Sequence[Recording]) -> Iterator[list[Recording]]:
    """Batches in order, each of recordings with the same modalities."""
    for _, group in itertools.groupby(recordings, lambda r: frozenset(r.signal)):
        alike = list(group)
        for start in range(0, len(alike), BATCH):
            yield alike[start : start + BATCH]


def _cut(grid: dict[str, np.ndarray], clock: Clock, low: int, high: int) -> Item:
    """Snippets low to high (exclusive) of a recording as a bag of their own."""
    hops = slice(low, high + clock.hops_per_window - 1)
    x = {
        m: v[hops.start * clock.frames_per_hop[m] : hops.stop * clock.frames_per_hop[m]]
        for m, v in grid.items()
    }
    return Item(x, high - low, np.zeros(1, np.float32), 0)
