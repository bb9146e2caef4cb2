"""Recordings as bags: the data set, the batches, and how bags are padded together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from mmcl.data.augment import (
    Grid,
    augment,
    crop,
    insert,
    n_hops_of,
    perturb,
    repeat,
    retime,
    sample_down,
    shuffle,
    to_length,
)
from mmcl.data.clock import on_grid
from mmcl.data.prefetch import Prefetch
from mmcl.errors import InputError
from mmcl.packing import packing_of
from mmcl.types import Bags, Clock, Recording


@dataclass(frozen=True)
class Item:
    """One bag before padding."""

    x: Grid
    n_snippets: int
    label: np.ndarray
    index: int
    absent: frozenset[str] = frozenset()
    """Modalities that the network is not to see."""
    group: int = 0


class BagDataset(Dataset):
    """Recordings on the clock's grid. Asked by (epoch, index); epoch -1 leaves the bag as it is; a third
    number asks for another view of the same bag.

    A training bag's augmentation is a function of (seed, epoch, index, view) alone: it does not matter
    which worker or process makes it, nor what was made before.
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        clock: Clock,
        *,
        strength: float = 1.0,
        shuffle_hops: int = 0,
        crop: float = 1.0,
        insertion: float = 0.0,
        insertion_from: int = 0,
        max_snippets: int = 0,
        modality_dropout: float = 0.0,
        repetition: float = 0.0,
        seed: int = 0,
    ):
        if not recordings:
            raise InputError("recordings: expected at least one, got none")
        self.clock, self.strength, self.shuffle_hops, self.seed = clock, strength, shuffle_hops, seed
        self.insertion, self.insertion_from, self.max_snippets = insertion, insertion_from, max_snippets
        self.crop, self.modality_dropout, self.repetition = crop, modality_dropout, repetition
        self.names, self.groups = [r.name for r in recordings], [r.group for r in recordings]
        number = {name: i for i, name in enumerate(sorted(set(self.groups)))}
        self.group_numbers = [number[name] for name in self.groups]
        self.grids = [dict(on_grid(r, clock)) for r in recordings]
        self.labels = [np.zeros(1, np.float32) if r.label is None else r.label for r in recordings]
        self.normal = [i for i, label in enumerate(self.labels) if not label.any()]

    def __len__(self) -> int:
        return len(self.grids)

    def __getitem__(self, key: tuple[int, ...]) -> Item:
        epoch, index, *view = key
        grid = self.grids[index]
        absent: frozenset[str] = frozenset()
        if epoch >= 0:
            if self.strength > 0 or self.shuffle_hops:
                grid = {m: np.asarray(x) for m, x in grid.items()}
            rng = np.random.default_rng([self.seed, epoch, index, *view])
            if self.normal and epoch >= self.insertion_from and rng.random() < self.insertion:
                grid = insert(grid, self.grids[rng.choice(self.normal)], self.clock, rng)
            if self.clock.stretch_s:
                grid = (
                    retime(grid, rng, 0.25 * self.strength, self.crop)
                    if self.strength > 0 or self.crop < 1
                    else grid
                )
                grid = perturb(grid, self.clock, rng, self.strength) if self.strength > 0 else grid
                grid = shuffle(grid, self.clock, rng, self.shuffle_hops) if self.shuffle_hops else grid
            else:
                grid = augment(grid, self.clock, rng, self.strength, self.shuffle_hops)
                grid = crop(grid, self.clock, rng, self.crop) if self.crop < 1 else grid
            if self.repetition:
                whole = {m: np.asarray(x) for m, x in grid.items()}
                grid = repeat(whole, self.clock, rng, self.repetition)
                if self.clock.stretch_s:  # still played to that length
                    grid = {m: to_length(x, len(whole[m])) for m, x in grid.items()}
            if self.max_snippets:
                grid = sample_down(grid, self.clock, self.max_snippets)
            if self.modality_dropout and rng.random() < self.modality_dropout:
                absent = frozenset({sorted(grid)[rng.integers(len(grid))]})
        grid = finite(grid, self.names[index])
        return Item(grid, self.n_snippets(grid), self.labels[index], index, absent, self.group_numbers[index])

    def n_snippets(self, grid: Grid) -> int:
        return self.clock.n_snippets(n_hops_of(grid, self.clock))


def finite(grid: Mapping[str, np.ndarray], name: str) -> Grid:
    """The signals in float32, read from the disk where they lie there; InputError on NaN or infinity."""
    grid = {m: np.asarray(x, np.float32) for m, x in grid.items()}
    for m, x in grid.items():
        if not np.isfinite(x).all():
            raise InputError(f"{name}: NaN or infinity in its {m} signal; repair or remove it")
    return grid


def collate(items: Sequence[Item], per_group: int = 0) -> Bags:
    """Pad bags at the end with zeros to the longest; per_group: bags of like length that a network
    may compute together (``packing_of``), 0 = all."""
    x = {}
    for m in items[0].x:
        longest = max(len(i.x[m]) for i in items)
        padded = np.zeros((len(items), longest, *items[0].x[m].shape[1:]), np.float32)
        for row, item in zip(padded, items, strict=True):
            if m not in item.absent:
                row[: len(item.x[m])] = item.x[m]
        x[m] = torch.from_numpy(padded)
    lengths = [i.n_snippets for i in items]
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    label = torch.from_numpy(np.stack([i.label for i in items]))
    present = {m: torch.tensor([m not in i.absent for i in items]) for m in x}
    present = present if any(i.absent for i in items) else {}
    index, group = (torch.tensor([getattr(i, name) for i in items]) for name in ("index", "group"))
    return Bags(x, mask, label, index, present, packing_of(lengths, per_group), group)


class Batches(Sampler):
    """Batches of (epoch, index) for one process: its part of every global batch.

    Training (``shuffled``): each epoch in an order that is a function of (seed, epoch); the last
    incomplete batch is left out, its bags come in another epoch. Otherwise all bags in order, whole.

    repeats: times that an epoch goes through the bags, each time augmented anew. views: times that a bag
    is in its batch: the batch in one view, then the same bags in the next. groups: of each bag; every batch then is
    of one group, what is left of a group comes in another epoch.
    """

    def __init__(
        self,
        n_bags: int,
        batch_size: int,
        *,
        shuffled: bool,
        seed: int = 0,
        rank: int = 0,
        n_ranks: int = 1,
        repeats: int = 1,
        views: int = 1,
        groups: Sequence[str] | None = None,
    ):
        if shuffled and batch_size % n_ranks:
            raise InputError(f"batch_size: expected a multiple of the {n_ranks} processes, got {batch_size}")
        self.n_bags, self.shuffled, self.seed = n_bags, shuffled, seed
        self.repeats, self.views, self.groups = repeats, views, groups
        self.batch_size = min(batch_size, n_bags * repeats // n_ranks * n_ranks) if shuffled else batch_size
        if self.batch_size == 0:
            raise InputError(f"batch_size: {n_bags} bags are too few for {n_ranks} processes")
        self.rank, self.n_ranks = rank, n_ranks
        self.epoch = 0
        self._members = _members(groups, self.batch_size) if groups is not None and shuffled else []

    def __len__(self) -> int:
        if self._members:
            return self.repeats * sum(len(of) // self.batch_size for of in self._members)
        n = self.n_bags * self.repeats
        return n // self.batch_size if self.shuffled else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, ...]]]:
        order = self._order
        for b in range(len(self)):
            batch = order[b * self.batch_size : (b + 1) * self.batch_size]
            if self.shuffled:
                part = len(batch) // self.n_ranks
                batch = batch[self.rank * part : (self.rank + 1) * part]
            yield [(*bag, *view) for view in self._views for bag in batch]

    @property
    def _order(self) -> list[tuple[int, int]]:
        """(epoch, index) of all bags of this epoch; a repeat counts as an epoch of its own."""
        if not self.shuffled:
            return [(-1, i) for i in range(self.n_bags)]
        passes = range(self.epoch * self.repeats, (self.epoch + 1) * self.repeats)
        draw = self._by_group if self._members else lambda rng: rng.permutation(self.n_bags)
        return [(e, int(i)) for e in passes for i in draw(np.random.default_rng([self.seed, e]))]

    def _by_group(self, rng: np.random.Generator) -> np.ndarray:
        """Whole batches, each of one group, in random order."""
        n = self.batch_size
        batches = [b for of in self._members for b in rng.permutation(of)[: len(of) // n * n].reshape(-1, n)]
        return np.concatenate([batches[i] for i in rng.permutation(len(batches))])

    @property
    def _views(self) -> list[tuple[int, ...]]:
        return [(), *((v,) for v in range(1, self.views))]


def _members(groups: Sequence[str], batch_size: int) -> list[np.ndarray]:
    """The bags of each group. InputError where one would never make a batch."""
    named = np.asarray(groups)
    members = [np.flatnonzero(named == name) for name in sorted(set(groups))]
    few = min(members, key=len)
    if len(few) < batch_size:
        raise InputError(
            f"--bags.batches group: group '{named[few[0]]}' has {len(few)} recordings, fewer than a batch of "
            f"{batch_size}; lower --optim.batch-size or use --bags.batches mixed"
        )
    return members


def loader(dataset: BagDataset, batches: Batches, workers: int = 0, per_group: int = 0) -> Iterable[Bags]:
    """Batches of an epoch each time it is gone through, read ahead of their use."""
    reading: DataLoader = DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=partial(collate, per_group=per_group),
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
    return reading if workers else Prefetch(reading)  # workers read ahead themselves
