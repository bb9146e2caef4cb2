"""Rotations for the augmentation of sensors."""

from __future__ import annotations

import numpy as np


def rotation(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rotation matrices by Rodrigues' formula.

    Args:
        axis: ``(n, 3)`` of unit length.
        angle: ``(n,)`` [rad].

    Returns:
        ``(n, 3, 3)``.

    Example:
        >>> rotation(np.array([[0.0, 0, 1]]), np.array([np.pi / 2])).round()[0, 0].tolist()
        [0.0, -1.0, 0.0]
    """
    x, y, z = axis.T
    zero = np.zeros_like(x)
    k = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
    s, c = np.sin(angle)[:, None, None], 1 - np.cos(angle)[:, None, None]
    return np.eye(3) + s * k + c * (k @ k)


def random_axes(rng: np.random.Generator, n: int) -> np.ndarray:
    """Axes of random rotations, ``(n, 3)``, unit length."""
    axis = rng.standard_normal((n, 3))
    return axis / np.linalg.norm(axis, axis=1, keepdims=True)
