"""Precomputed features: a row a hop."""

from __future__ import annotations

from mmcl.readers.kinds._base import Kind

__all__ = ["Features"]


class Features(Kind):
    """Rows ``(hop, channel)`` of a feature extractor. Nothing is known that would change them and not what they say.

    Example:
        >>> Features().frames_per_hop
        1
    """

    encoder = "features"
    frames_per_hop = 1
