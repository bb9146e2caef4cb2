"""Recordings as bags, augmented on the fly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from mmcl.data.augmentation import (
    Signals,
    augment,
    crop,
    insert,
    n_hops_of,
    perturb,
    repeat,
    retime,
    sample_down,
    shuffle,
)
from mmcl.data.collate import BagSample, require_finite
from mmcl.data.snippet_grid import resample_to_grid
from mmcl.data.stored_index import StoredRecordings
from mmcl.errors import InputError
from mmcl.readers.resample import to_length
from mmcl.types import Recording, SnippetGrid


class SignalsOf(Sequence[Signals]):
    """Signals of recordings on the grid, made when they are asked for.

    Args:
        recordings: That stay on the disk.
        grid: How they are cut into snippets.
    """

    def __init__(self, recordings: Sequence[Recording], grid: SnippetGrid):
        self.recordings, self.grid = recordings, grid

    def __len__(self) -> int:
        return len(self.recordings)

    def __getitem__(self, i: Any) -> Any:
        return dict(resample_to_grid(self.recordings[i], self.grid))


class BagDataset(Dataset):
    """Recordings on the snippet grid. Asked by (epoch, index); epoch -1 leaves the bag as it is; a third number asks
    for another view of the same bag.

    A training bag's augmentation is a function of (seed, epoch, index, view) alone: neither workers nor processes nor
    what was made before change it.

    Args:
        recordings: At least one.
        grid: How they are cut into snippets.
        strength: Of rotation, scale, speed and noise, 0 = none.
        shuffle_hops: Hops of the segments that are shuffled, 0 = none.
        crop: Smallest share of a recording that is kept.
        insertion: Probability that a segment of a recording without events is inserted.
        insertion_start: Epoch from which on that happens.
        max_snippets: Longer bags are sampled down, 0 = never.
        modality_dropout: Probability that a bag loses a modality.
        repetition: Largest share of hops that are repeated.
        seed: Everything random is a function of it.

    Raises:
        InputError: There is no recording.

    Example:
        >>> grid = SnippetGrid(0.5, 0.5, {"clip": 1}, kinds={"clip": "features"})
        >>> recording = Recording("r", {"clip": np.ones((4, 3), np.float32)}, {"clip": 2.0})
        >>> BagDataset([recording], grid)[-1, 0].n_snippets
        4
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        grid: SnippetGrid,
        *,
        strength: float = 1.0,
        shuffle_hops: int = 0,
        crop: float = 1.0,
        insertion: float = 0.0,
        insertion_start: int = 0,
        max_snippets: int = 0,
        modality_dropout: float = 0.0,
        repetition: float = 0.0,
        seed: int = 0,
    ):
        if not recordings:
            raise InputError("recordings: expected at least one, got none")
        self.grid, self.strength, self.shuffle_hops, self.seed = grid, strength, shuffle_hops, seed
        self.insertion, self.insertion_start, self.max_snippets = insertion, insertion_start, max_snippets
        self.crop, self.modality_dropout, self.repetition = crop, modality_dropout, repetition
        self.signals: Sequence[Signals]
        self.groups: Any
        self.name: Callable[[int], str]
        if isinstance(recordings, StoredRecordings):
            self.signals, self.groups, self.labels = SignalsOf(recordings, grid), recordings.groups, recordings.labels
            self.name, self.group_numbers, has = recordings.name, self.groups, recordings.has
            self.shapes = {m: recordings.columns.store.modalities[m].shape for m, of in has.items() if of.any()}
            lacks = any(not has[m].all() for m in self.shapes)
        else:
            self.signals = [dict(resample_to_grid(r, grid)) for r in recordings]
            self.name = [r.name for r in recordings].__getitem__
            self.groups = [r.group for r in recordings]
            self.labels = np.stack([np.zeros(1, np.float32) if r.label is None else r.label for r in recordings])
            number = {name: i for i, name in enumerate(sorted(set(self.groups)))}
            self.group_numbers = [number[name] for name in self.groups]
            self.shapes = {m: x.shape[1:] for signals in self.signals for m, x in signals.items()}
            lacks = any(len(signals) < len(self.shapes) for signals in self.signals)
        self.may_lack = modality_dropout > 0 or lacks
        self.normal = np.flatnonzero(~self.labels.any(1))

    def __len__(self) -> int:
        return len(self.signals)

    def __getitem__(self, key: tuple[int, ...]) -> BagSample:
        epoch, index, *view = key
        signals, absent = self.signals[index], frozenset[str]()
        if epoch >= 0:
            rng = np.random.default_rng([self.seed, epoch, index, *view])
            signals = self._augmented(signals, epoch, rng)
            if self.modality_dropout and rng.random() < self.modality_dropout and len(signals) > 1:
                absent = frozenset({sorted(signals)[rng.integers(len(signals))]})
        signals = require_finite(signals, self.name(index))
        n_hops = n_hops_of(signals, self.grid)
        n_snippets = self.grid.n_snippets(n_hops)
        lacking = [m for m in self.shapes if m not in signals]
        for m in lacking:  # every batch has all modalities, so that all processes compute the same
            signals[m] = np.zeros((n_hops * self.grid.frames_per_hop[m], *self.shapes[m]), np.float32)
        absent = absent.union(lacking)
        group, label = int(self.group_numbers[index]), self.labels[index]
        return BagSample(signals, n_snippets, label, index, absent, group, self.may_lack and epoch >= 0)

    def _augmented(self, signals: Signals, epoch: int, rng: np.random.Generator) -> Signals:
        grid = self.grid
        if self.strength > 0 or self.shuffle_hops:
            signals = {m: np.asarray(x) for m, x in signals.items()}
        if len(self.normal) and epoch >= self.insertion_start and rng.random() < self.insertion:
            donor = self.signals[rng.choice(self.normal)]
            if donor.keys() >= signals.keys():
                signals = insert(signals, donor, grid, rng)
        if grid.stretch_s:
            if self.strength > 0 or self.crop < 1:
                signals = retime(signals, rng, 0.25 * self.strength, self.crop)
            signals = perturb(signals, grid, rng, self.strength) if self.strength > 0 else signals
            signals = shuffle(signals, grid, rng, self.shuffle_hops) if self.shuffle_hops else signals
        else:
            signals = augment(signals, grid, rng, self.strength, self.shuffle_hops)
            signals = crop(signals, grid, rng, self.crop) if self.crop < 1 else signals
        if self.repetition:
            loaded = {m: np.asarray(x) for m, x in signals.items()}
            signals = repeat(loaded, grid, rng, self.repetition)
            if grid.stretch_s:  # still of that length
                signals = {m: to_length(x, len(loaded[m])) for m, x in signals.items()}
        return sample_down(signals, grid, self.max_snippets) if self.max_snippets else signals
