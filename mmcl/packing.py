"""Bags of like length side by side, so that padding is hardly computed. L0: imports nothing of mmcl."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """Where the snippets of a padded batch lie in a packed tensor ``(row, ...)``.

    Bags are sorted by length and cut into groups; each group is one block of ``n_bags * n_snippets``
    rows, padded to the longest of its own bags only. What works on single snippets works on rows as
    they are; attention looks at each block by itself (``blocks``, views without copying).

    row: ``(row,)`` int, the position ``bag * n_snippets + snippet`` in the padded batch, no two alike.
    real: ``(row,)`` bool, False where a block is padded. groups: (n_bags, n_snippets) of each block,
    plain numbers made on the host, so that nothing on a GPU waits for them.
    """

    row: Tensor
    real: Tensor
    groups: tuple[tuple[int, int], ...]

    def pack(self, x: Tensor) -> Tensor:
        """``(bag, snippet, ...)`` -> ``(row, ...)``."""
        return x.flatten(0, 1).index_select(0, self.row)

    def unpack(self, x: Tensor, shape: torch.Size) -> Tensor:
        """``(row, ...)`` -> ``(bag, snippet, ...)``, zeros where padded; shape: (bag, snippet)."""
        flat = x.new_zeros(shape.numel(), *x.shape[1:]).index_copy(0, self.row, x)
        return flat.unflatten(0, shape)

    def blocks(self, x: Tensor) -> list[Tensor]:
        """``(row, ...)`` -> for each group ``(bag, snippet, ...)``."""
        parts = x.split([n * longest for n, longest in self.groups])
        return [part.unflatten(0, group) for part, group in zip(parts, self.groups, strict=True)]

    def to(self, device) -> Packing:
        move = lambda t: t.to(device, non_blocking=True)
        return Packing(move(self.row), move(self.real), self.groups)


def packing_of(lengths: Sequence[int], per_group: int, worth: float = 0.9) -> Packing | None:
    """Groups of ``per_group`` bags of like length; None where that would leave more than the part
    ``worth`` of the padded batch to compute, or ``per_group`` is 0."""
    if per_group == 0:
        return None
    longest = max(lengths)
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
    return Packing(torch.from_numpy(np.concatenate(row)), torch.from_numpy(np.concatenate(real)), groups)
