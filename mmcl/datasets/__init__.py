"""Data sets: a file each, named as its module.

A data set says where its recordings are (``index``), with which settings it is trained (``recipe``), how it is
evaluated (``evaluate``) and which metric counts (``primary_metric``). Other packages add data sets by the entry points
``mmcl.datasets``.
"""

from mmcl.config.registry import Registry
from mmcl.datasets._base import Dataset
from mmcl.datasets._splits import DataSplits, load_splits

REGISTRY = Registry("mmcl.datasets", "mmcl.datasets", "data set")

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
    dataset = REGISTRY.resolve(name)()
    dataset.name = name
    return dataset
