"""Which bags each process computes in each step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from mmcl.errors import InputError


class BatchSampler(Sampler):
    """Batches of (epoch, index) for one process: its share of every global batch.

    Args:
        n_bags: Bags of the data set.
        batch_size: Bags of a global batch.
        shuffled: Each epoch in an order that is a function of (seed, epoch), without the last incomplete batch;
            otherwise all bags in order.
        seed: Of the order.
        rank: Of this process.
        n_ranks: Processes.
        repeats: Times that an epoch goes through the bags, each time augmented anew.
        views: Times that a bag is in its batch: the batch in one view, then the same bags in the next.
        groups: Of each bag; every batch then is of one group.

    Attributes:
        epoch: Which epoch.
        start: Batches of the epoch that are left out, where a training goes on in the middle of it.

    Raises:
        InputError: The batch cannot be shared by the processes, or a group is smaller than a batch.

    Example:
        >>> [len(batch) for batch in BatchSampler(10, 4, shuffled=True)]
        [4, 4]
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
        self.start = 0
        self._members = _members(groups, self.batch_size) if groups is not None and shuffled else []

    def __len__(self) -> int:
        if self._members:
            return self.repeats * sum(len(members) // self.batch_size for members in self._members)
        n = self.n_bags * self.repeats
        return n // self.batch_size if self.shuffled else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, ...]]]:
        passes, order = self._order
        for b in range(self.start, len(self)):
            chosen = slice(b * self.batch_size, (b + 1) * self.batch_size)
            batch = list(zip(passes[chosen].tolist(), order[chosen].tolist(), strict=True))
            if self.shuffled:
                n = len(batch) // self.n_ranks
                batch = batch[self.rank * n : (self.rank + 1) * n]
            yield [(*bag, *view) for view in self._views for bag in batch]

    @property
    def _order(self) -> tuple[np.ndarray, np.ndarray]:
        """Epochs and indices of all bags of this epoch; a repeat counts as an epoch of its own."""
        if not self.shuffled:
            return np.full(self.n_bags, -1), np.arange(self.n_bags)
        passes = range(self.epoch * self.repeats, (self.epoch + 1) * self.repeats)
        orders = []
        for e in passes:
            rng = np.random.default_rng([self.seed, e])
            orders.append(self._by_group(rng) if self._members else rng.permutation(self.n_bags))
        return np.repeat(passes, [len(order) for order in orders]), np.concatenate(orders)

    def _by_group(self, rng: np.random.Generator) -> np.ndarray:
        """Whole batches, each of one group, in random order."""
        n = self.batch_size
        batches = [
            b for members in self._members for b in rng.permutation(members)[: len(members) // n * n].reshape(-1, n)
        ]
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
            f"--loader.sampling group: group '{named[few[0]]}' has {len(few)} recordings, fewer than a batch of "
            f"{batch_size}; lower --loader.batch-size or use --loader.sampling mixed"
        )
    return members
