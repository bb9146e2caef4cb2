"""Kinds of modalities: a file a kind, named as its module.

A kind says how a signal is shaped, normalized, resampled and augmented, and which encoder it takes by default. Other
packages add kinds by the entry points ``mmcl.kinds``.
"""

from __future__ import annotations

from mmcl.config.registry import Registry
from mmcl.readers.kinds._base import Kind

REGISTRY = Registry("mmcl.readers.kinds", "mmcl.kinds", "kind of modality")

__all__ = ["REGISTRY", "Kind", "get_kind"]


def get_kind(name: str) -> Kind:
    """The kind of that name.

    Raises:
        InputError: The name is unknown.

    Example:
        >>> get_kind("inertial").frames_per_hop
        16
    """
    kind = REGISTRY.resolve(name)()
    return kind
