"""Batches: the same for any number of processes and workers, padded at the end."""

from __future__ import annotations

import pytest
import torch
from support import read_utd_mhad

from mmcl.data.bags import BagDataset
from mmcl.data.batch_sampler import BatchSampler
from mmcl.data.collate import collate
from mmcl.data.loader import bag_loader
from mmcl.errors import InputError
from mmcl.types import SnippetGrid

GRID = SnippetGrid(0.5, 1.0, {"skeleton": 8, "inertial": 16})


def test_batches_of_two_processes_are_those_of_one():
    one = BatchSampler(11, 4, shuffled=True, seed=3)
    two = [BatchSampler(11, 4, shuffled=True, seed=3, rank=r, n_ranks=2) for r in range(2)]
    for epoch in range(2):
        one.epoch = two[0].epoch = two[1].epoch = epoch
        for one_process, left, right in zip(one, *two, strict=True):
            assert one_process == left + right
    with pytest.raises(InputError, match="multiple of the 2 processes"):
        BatchSampler(11, 3, shuffled=True, n_ranks=2)


def test_workers_change_nothing(dataset_dir):
    data = BagDataset(read_utd_mhad(dataset_dir)[:6], GRID, insertion=0.5, shuffle_hops=2)
    batches = BatchSampler(6, 2, shuffled=True)
    for a, b in zip(bag_loader(data, batches, 0), bag_loader(data, batches, 2), strict=True):
        assert torch.equal(a.index, b.index)
        assert all(torch.equal(a.x[m], b.x[m]) for m in a.x)


def test_collate_pads_at_the_end(dataset_dir):
    data = BagDataset(read_utd_mhad(dataset_dir)[:5], GRID)
    bags = collate([data[-1, i] for i in range(5)])
    for i in range(5):
        n = int(bags.mask[i].sum())
        assert bags.mask[i, :n].all()
        assert (bags.x["inertial"][i, (n + 1) * 16 :] == 0).all()
