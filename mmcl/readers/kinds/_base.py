"""Base of all kinds of modalities."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmcl.errors import FileError


class Kind:
    """What a modality's signal is. A subclass is one file in ``readers/kinds``, or in another package.

    Attributes:
        has_units: Its size means something, and depends on the unit that it was recorded in.
        encoder: Name of the encoder it takes by default (``mmcl.models.encoders``).
        frames_per_hop: Samples a hop after resampling, where the settings name none; 1 = a row a snippet, which is
            left as it is.

    Example:
        >>> Kind().normalize(np.ones((3, 2))).shape
        (3, 2)
    """

    has_units: bool = True
    encoder: str = "inertial"
    frames_per_hop: int = 16

    def shaped(self, x: np.ndarray, path: Path) -> np.ndarray:
        """The signal of a file as ``(frame, ...)``.

        Args:
            x: ``(frame, ...)`` as read.
            path: The file, for errors.

        Raises:
            FileError: The signal cannot be of this kind.
        """
        if x.ndim < 2:
            raise FileError(path, f"holds shape {x.shape}", "expected (frame, channel)")
        flat = x.reshape(len(x), -1)
        if self.has_units and flat.shape[1] > len(flat):
            raise FileError(
                path,
                f"holds {len(flat)} frames of {flat.shape[1]} channels, fewer frames than channels",
                "save it transposed, as (frame, channel)",
            )
        return flat

    def normalize(self, x: np.ndarray) -> np.ndarray:
        """The signal of a whole recording without what says nothing of what happens (place, size).

        Args:
            x: ``(frame, ...)``.

        Raises:
            InputError: The signal is degenerate.
        """
        return x

    def augment(self, x: np.ndarray, segment: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
        """The signal changed so that what happens stays the same.

        Args:
            x: ``(frame, ...)`` on the snippet grid.
            segment: ``(frame,)`` int, rising from 0: the change is constant in each segment.
            rng: Of all that is random.
            strength: Above 0, 1 = usual.
        """
        return x
