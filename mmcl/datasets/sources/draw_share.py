"""The same share of each of several pools."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np


def draw_share(pools: Iterable[Sequence[str]], share: float, rng: np.random.Generator) -> frozenset[str]:
    """Names drawn from each pool.

    Args:
        pools: Names; their order does not matter, that of the pools does.
        share: Of each pool, rounded to whole names.
        rng: Draws them.

    Example:
        >>> len(draw_share([["a", "b"], ["c", "d", "e", "f"]], 0.5, np.random.default_rng(0)))
        3
    """
    chosen: set[str] = set()
    for pool in pools:
        names = sorted(pool)
        chosen |= {names[i] for i in rng.permutation(len(names))[: round(share * len(names))]}
    return frozenset(chosen)
