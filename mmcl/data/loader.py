"""Batches of an epoch, read ahead of their use."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import torch
from torch.utils.data import DataLoader

from mmcl.data.bags import BagDataset
from mmcl.data.batch_sampler import BatchSampler
from mmcl.data.collate import collate
from mmcl.data.prefetch import Prefetch
from mmcl.types import Bags


def bag_loader(
    dataset: BagDataset, sampler: BatchSampler, num_workers: int = 0, bucket_size: int = 0
) -> Iterable[Bags]:
    """Batches of the sampler's epoch each time it is iterated over.

    Args:
        dataset: The bags.
        sampler: Which bags are in each batch.
        num_workers: Processes that prepare bags; 0 = a thread.
        bucket_size: Bags of like length that a network computes together, 0 = all of a batch.

    Returns:
        ``Bags``, one a step.
    """
    reading: DataLoader = DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=partial(collate, bucket_size=bucket_size),
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
    return reading if num_workers else Prefetch(reading)  # workers read ahead themselves
