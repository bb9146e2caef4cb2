"""Skeletons in the picture: two coordinates a joint."""

from __future__ import annotations

from mmcl.readers.kinds.skeleton import Skeleton

__all__ = ["Skeleton2d"]


class Skeleton2d(Skeleton):
    """Joints ``(frame, joint, 2)``.

    Example:
        >>> Skeleton2d().n_coordinates
        2
    """

    n_coordinates = 2
