"""Inertial sensors, and any other samples over time."""

from __future__ import annotations

import numpy as np

from mmcl.readers.kinds._base import Kind
from mmcl.readers.kinds._rotation import random_axes, rotation

__all__ = ["Inertial"]


class Inertial(Kind):
    """Samples ``(frame, channel)``.

    Example:
        >>> Inertial().augment(np.ones((4, 6)), np.zeros(4, int), np.random.default_rng(0), 1.0).shape
        (4, 6)
    """

    encoder = "inertial"
    frames_per_hop = 16

    def augment(self, x: np.ndarray, segment: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
        """Turn the sensor by some 15 degrees, scale both its kinds of channels, jitter.

        Six channels are two triples of axes, acceleration and angular rate of one sensor; what others are is not
        known, so they are scaled (by triples, where they are such) but not turned. Noise is 3 % of a channel's spread
        in this recording.
        """
        n, n_channels = int(segment[-1]) + 1, x.shape[1]
        axes = 3 if n_channels % 3 == 0 else 1
        axes_of = x.reshape(len(x), -1, axes)
        if n_channels == 6:
            turn = rotation(random_axes(rng, n), rng.standard_normal(n) * np.radians(15) * strength)
            axes_of = axes_of @ turn.transpose(0, 2, 1).astype(np.float32)[segment]
        scale = 1 + 0.15 * strength * rng.standard_normal((n, axes_of.shape[1], 1)).clip(-2, 2)
        noise = rng.standard_normal(x.shape, np.float32) * (x.std(0) * np.float32(0.03 * strength))
        return (axes_of * scale.astype(np.float32)[segment]).reshape(x.shape) + noise
