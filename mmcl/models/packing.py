"""Bags of like length side by side, so that padding is hardly computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmcl.types import Packing


def pack_by_length(lengths: Sequence[int], bucket_size: int, n_snippets: int = 0, worth: float = 0.9) -> Packing | None:
    """Groups of bags of like length.

    Args:
        lengths: Snippets of each bag.
        bucket_size: Bags of a group, 0 = no packing.
        n_snippets: What the batch is padded to, 0 = its longest bag.
        worth: No packing where more than this share of the padded batch would be left to compute.

    Returns:
        None where packing is not worth it.

    Example:
        >>> pack_by_length([1, 1, 9, 9], 2).groups
        ((2, 1), (2, 9))
        >>> pack_by_length([9, 9, 9, 9], 2) is None
        True
    """
    if bucket_size == 0:
        return None
    longest = n_snippets or max(lengths)
    order = np.argsort(lengths, kind="stable")
    members = [order[i : i + bucket_size] for i in range(0, len(order), bucket_size)]
    sizes = [int(max(lengths[bag] for bag in group)) for group in members]
    groups = tuple((len(group), n) for group, n in zip(members, sizes, strict=True))
    if sum(n_bags * n for n_bags, n in groups) > worth * len(order) * longest:
        return None
    position = [(group[:, None] * longest + np.arange(n)).ravel() for group, n in zip(members, sizes, strict=True)]
    valid = [
        (np.arange(n) < np.asarray(lengths)[group][:, None]).ravel() for group, n in zip(members, sizes, strict=True)
    ]

    def joined(blocks: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.concatenate(blocks))

    return Packing(joined(position), joined(valid), groups, (len(order), longest))
