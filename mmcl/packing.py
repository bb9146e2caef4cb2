"""Bags of like length side by side, so that padding is hardly computed. L0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmcl.errors import InputError


@dataclass(frozen=True)
class Packing:
    """Where the snippets of a padded batch lie in a packed tensor ``(row, ...)``.

    Bags are sorted by length and cut into groups; each group is one block of ``n_bags * n_snippets``
    rows, padded to the longest of its own bags only. What works on single snippets works on rows as
    they are; attention looks at each block by itself (``blocks``, views without copying).

    row: ``(row,)`` int, the position ``bag * n_snippets + snippet`` in the padded batch, no two alike.
    real: ``(row,)`` bool, False where a block is padded. groups: (n_bags, n_snippets) of each block,
    shape: that of the padded batch; plain numbers made on the host, so that nothing on a GPU waits.
    """

    row: Tensor
    real: Tensor
    groups: tuple[tuple[int, int], ...]
    shape: tuple[int, int]

    def pack(self, x: Tensor) -> Tensor:
        """``(bag, snippet, ...)`` -> ``(row, ...)``; InputError when x is of another batch's shape."""
        if x.shape[:2] != self.shape:
            raise InputError(f"packing: made for bags and snippets {self.shape}, got {tuple(x.shape[:2])}")
        return x.flatten(0, 1).index_select(0, self.row)

    def unpack(self, x: Tensor) -> Tensor:
        """``(row, ...)`` -> ``(bag, snippet, ...)``, zeros where padded."""
        flat = x.new_zeros(self.shape[0] * self.shape[1], *x.shape[1:])
        return flat.index_copy(0, self.row, x).unflatten(0, self.shape)

    def blocks(self, x: Tensor) -> list[Tensor]:
        """``(row, ...)`` -> for each group ``(bag, snippet, ...)``."""
        parts = x.split([n * longest for n, longest in self.groups])
        return [part.unflatten(0, group) for part, group in zip(parts, self.groups, strict=True)]

    def to(self, device) -> Packing:
        move = lambda t: t.to(device, non_blocking=True)
        return Packing(move(self.row), move(self.real), self.groups, self.shape)


def packing_of(
    lengths: Sequence[int], per_group: int, n_snippets: int = 0, worth: float = 0.9
) -> Packing | None:
    """Groups of ``per_group`` bags of like length; None where that would leave more than the part
    ``worth`` of the padded batch to compute, or ``per_group`` is 0.

    n_snippets: what the batch is padded to, 0 = its longest bag.
    """
    if per_group == 0:
        return None
    longest = n_snippets or max(lengths)
    order = np.argsort(lengths, kind="stable")
    members = [order[i : i + per_group] for i in range(0, len(order), per_group)]
    sizes = [int(max(lengths[bag] for bag in group)) for group in members]
    groups = tuple((len(group), n) for group, n in zip(members, sizes, strict=True))
    if sum(n_bags * n for n_bags, n in groups) > worth * len(order) * longest:
        return None
    row = [(group[:, None] * longest + np.arange(n)).ravel() for group, n in zip(members, sizes, strict=True)]
    real = [
        (np.arange(n) < np.asarray(lengths)[group][:, None]).ravel()
        for group, n in zip(members, sizes, strict=True)
    ]
    whole = lambda parts: torch.from_numpy(np.concatenate(parts))
    return Packing(whole(row), whole(real), groups, (len(order), longest))
