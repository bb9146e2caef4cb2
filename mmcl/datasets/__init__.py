"""Data sets: a file each, named as its module.

A data set says where its recordings are (``index``), with which settings it is trained (``recipe``), how it is
evaluated (``evaluate``) and which metric counts (``primary_metric``). Other packages add data sets by the entry points
``mmcl.datasets``. What needs torch is imported when it is used first.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mmcl.config.registry import Registry

if TYPE_CHECKING:
    from mmcl.datasets._base import Dataset
    from mmcl.datasets._splits import DataSplits, load_splits

REGISTRY = Registry("mmcl.datasets", "mmcl.datasets", "data set")

_PLACES = {"DataSplits": "_splits", "Dataset": "_base", "load_splits": "_splits"}

__all__ = ["REGISTRY", "DataSplits", "Dataset", "get_dataset", "load_splits"]


def get_dataset(name: str) -> Dataset:
    """The data set of that name.

    Args:
        name: One of ``REGISTRY.names()``, or ``package.module:Class``.

    Raises:
        InputError: The name is unknown.

    Example:
        >>> get_dataset("utd-mhad").primary_metric
        'accuracy'
    """
    dataset: Dataset = REGISTRY.resolve(name)()
    dataset.name = name
    return dataset


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(f"mmcl.datasets.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'mmcl.datasets' has no attribute {name!r}")
