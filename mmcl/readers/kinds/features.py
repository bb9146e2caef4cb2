"""Precomputed features: a row a hop."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmcl.errors import FileError
from mmcl.readers.kinds._base import Kind

__all__ = ["Features"]


class Features(Kind):
    """Rows ``(hop, channel)`` of a feature extractor. Nothing is known that would change them and not what they say.

    Example:
        >>> Features().frames_per_hop
        1
    """

    has_units = False
    encoder = "features"
    frames_per_hop = 1

    def shaped(self, x: np.ndarray, path: Path) -> np.ndarray:
        """See ``Kind.shaped``; crops are not channels."""
        if x.ndim != 2:
            raise FileError(
                path,
                f"holds shape {x.shape}, expected (row, channel)",
                "of several crops save each as a recording of the same group, or their mean",
            )
        return x
