"""Skeletons: joint positions over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmcl.errors import FileError, InputError
from mmcl.readers.kinds._base import Kind
from mmcl.readers.kinds._rotation import random_axes, rotation

__all__ = ["Skeleton"]

MAX_JOINTS = 50  # of a recording of fewer frames

# By the number of joints: the joints whose mean is the body's centre, and the two ends of the torso, each a mean.
# 20: UTD-MHAD's (Kinect v1): spine; shoulder centre, hip centre. 17: COCO's: hips; shoulders, hips.
BODIES: dict[int, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {
    20: ((2,), (1,), (3,)),
    17: ((11, 12), (5, 6), (11, 12)),
}


class Skeleton(Kind):
    """Joints ``(frame, joint, 3)``, centred on the body and scaled by it.

    Attributes:
        n_coordinates: Coordinates of a joint.

    Example:
        >>> Skeleton().shaped(np.zeros((5, 60)), Path("x.csv")).shape
        (5, 20, 3)
    """

    has_units = False  # it is scaled by the body
    encoder = "skeleton"
    frames_per_hop = 8
    n_coordinates = 3

    def shaped(self, x: np.ndarray, path: Path) -> np.ndarray:
        """``(frame, joint, 3)`` of an array as files hold it."""
        n = self.n_coordinates
        joints = x if x.ndim == 3 else x.reshape(len(x), -1, n) if x.ndim == 2 and x.shape[1] % n == 0 else x
        if joints.ndim != 3 or joints.shape[2] != n or joints.shape[1] < 2:
            raise FileError(path, f"holds shape {x.shape}", f"expected {n} coordinates of two joints or more")
        if joints.shape[1] > max(len(joints), MAX_JOINTS):
            raise FileError(
                path,
                f"holds {len(joints)} frames of {joints.shape[1]} joints, fewer frames than joints",
                "save it transposed, as (frame, joint, coordinate)",
            )
        return joints

    def normalize(self, x: np.ndarray) -> np.ndarray:
        """In the body's own frame."""
        return body_frame(x)

    def augment(self, x: np.ndarray, segment: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
        """Turn about the vertical by up to 30 degrees, tilt a little, stretch by a tenth, jitter."""
        n, n_coordinates = int(segment[-1]) + 1, x.shape[-1]
        turn = rotation(np.tile([0.0, 1.0, 0.0], (n, 1)), rng.uniform(-1, 1, n) * np.radians(30) * strength)
        tilt = rotation(random_axes(rng, n), rng.standard_normal(n) * np.radians(8) * strength)
        stretch = 1 + 0.1 * strength * rng.standard_normal((n, 1, 3)).clip(-2, 2)
        linear = ((turn @ tilt).transpose(0, 2, 1) * stretch).astype(np.float32)
        linear = linear[:, :n_coordinates, :n_coordinates]  # of a picture's skeleton: what a camera sees of it
        noise = rng.standard_normal(x.shape, np.float32) * np.float32(0.01 * strength)
        return x @ linear[segment] + noise


def body_frame(skeleton: np.ndarray) -> np.ndarray:
    """A skeleton centred on the body, in its own lengths.

    With 20 (UTD-MHAD) or 17 joints (COCO) the centre is the spine or the hips' middle; otherwise the mean of the
    joints.

    Args:
        skeleton: ``(frame, joint, coordinate)``.

    Raises:
        InputError: All joints coincide.
    """
    known = BODIES.get(skeleton.shape[1])
    if known is None:
        centre = skeleton.mean(1, keepdims=True)
        lengths = np.linalg.norm(skeleton - centre, axis=-1).mean(1)
        what = "all joints coincide in most frames"
    else:
        middle, top, bottom = known
        centre = skeleton[:, middle].mean(1, keepdims=True)
        lengths = np.linalg.norm(skeleton[:, top].mean(1) - skeleton[:, bottom].mean(1), axis=-1)
        what = "shoulder centre and hip centre coincide in most frames"
    length = float(np.median(lengths))
    if length <= 0:
        raise InputError(f"skeleton: {what}; expected joints at different places")
    return (skeleton - centre) / length
