"""A kind of sensor: pressure in a shoe."""

from __future__ import annotations

import numpy as np

from mmcl.readers.kinds import Kind


class Pressure(Kind):
    """Pressure [kPa] of any number of cells."""

    encoder = "toy-mean"
    frames_per_hop = 4

    def normalize(self, x: np.ndarray) -> np.ndarray:
        """Shares of the recording's mean pressure, so that weight says nothing."""
        return (x / max(float(np.abs(x).mean()), 1e-6)).astype(np.float32)

    def augment(self, x: np.ndarray, segment: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
        """A little noise."""
        return x + (0.05 * strength * rng.standard_normal(x.shape)).astype(np.float32)
