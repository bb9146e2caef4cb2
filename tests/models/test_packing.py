"""Packed bags give the results of padded ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support import network_of, recipe

from mmcl.config import override
from mmcl.data.collate import collate
from mmcl.errors import InputError
from mmcl.models.packing import pack_by_length
from mmcl.training.step_state import StepState
from mmcl.training.task import TrainingTask
from mmcl.types import Bags

CHANNELS = {"visual": 6, "audio": 4}


SHAPES = {m: (n,) for m, n in CHANNELS.items()}


def bags(lengths: list[int], bucket_size: int) -> Bags:
    g = torch.Generator().manual_seed(0)
    n, longest = len(lengths), max(lengths)
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    x = {m: torch.randn(n, longest, c, generator=g, dtype=torch.float64) * mask[..., None] for m, c in CHANNELS.items()}
    label = (torch.arange(n) % 2).double()[:, None]
    return Bags(x, mask, label, torch.arange(n), {}, pack_by_length(lengths, bucket_size, worth=2.0))


@pytest.mark.parametrize("bucket_size", [1, 3, 8, 100])
@pytest.mark.parametrize("lengths", [[5], [1, 1], [9, 1, 4, 4, 7, 2, 30], [3] * 5])
def test_packed_snippets_come_back(lengths, bucket_size):
    batch = bags(lengths, bucket_size)
    packing = batch.packing
    assert packing is not None
    assert sum(n for n, _ in packing.groups) == len(lengths)
    assert len(packing.position) == sum(n * longest for n, longest in packing.groups)
    assert int(packing.valid.sum()) == sum(lengths)
    there_and_back = packing.unpack(packing.pack(batch.x["visual"]))
    assert torch.equal(there_and_back, batch.x["visual"])
    for block, (n, longest) in zip(packing.blocks(packing.valid), packing.groups, strict=True):
        assert block.shape == (n, longest)
        assert block.any(0).all()  # no group is longer than its longest bag


def test_a_packing_of_another_batch():
    packing = pack_by_length([3, 9], 1, n_snippets=12)
    assert packing is not None
    assert packing.shape == (2, 12)
    with pytest.raises(InputError, match=r"made for bags and snippets \(2, 12\), got \(2, 9\)"):
        packing.pack(torch.zeros(2, 9, 4))


def test_not_worth_it():
    assert pack_by_length([10] * 16, 8) is None
    assert pack_by_length([10, 200], 0) is None
    assert pack_by_length([10, 200] * 8, 8) is not None


@pytest.mark.parametrize("bucket_size", [1, 3])
def test_packed_equals_padded(bucket_size):
    """Scores, all losses and all gradients, teacher included."""
    config = override(recipe("xd-violence"), {"model.dim": 8, "model.dropout": 0.0, "loss.mil.topk_divisor": 4})
    torch.manual_seed(1)
    student = network_of(config, shapes=SHAPES)
    teacher = network_of(config, 1, ("visual",), SHAPES)
    with torch.no_grad():
        student.classifier.weight.mul_(20)  # so that some bags are predicted violent
    task = TrainingTask(student, teacher, config.loss).double()
    packed = bags([9, 1, 4, 4, 7, 2, 30, 12, 3], bucket_size)
    results = []
    for batch in (packed, replace(packed, packing=None)):
        task.zero_grad()
        losses = task(batch, StepState(semibag_weight=1.0))
        losses["total"].backward()
        output = task.student(batch)
        real = {f"logit {m}": v[batch.mask] for m, v in output.logit.items()}
        real |= {f"embedding {m}": v[batch.mask] for m, v in output.embedding.items()}
        grads = {k: p.grad.clone() for k, p in task.named_parameters() if p.grad is not None}
        results.append({**losses, **grads, **real, "joint": output.joint_logit[batch.mask]})
    assert sum(v.item() > 0 for k, v in results[0].items() if "background" in k) == 2  # the contrast took part
    assert results[0].keys() == results[1].keys()
    for k, v in results[0].items():
        torch.testing.assert_close(v, results[1][k], atol=1e-9, rtol=1e-9, msg=k)


def test_padding_in_a_group_is_never_read():
    torch.manual_seed(0)
    config = override(recipe("xd-violence"), {"model.dim": 8})
    net = network_of(config, shapes=SHAPES).double().eval()
    batch = bags([9, 1, 4, 7, 2, 30], 3)
    dirty = {m: torch.where(batch.mask[..., None], x, 1e6) for m, x in batch.x.items()}
    a, b = net(batch).joint_logit, net(replace(batch, x=dirty)).joint_logit
    assert torch.equal(a[batch.mask], b[batch.mask])


def test_collate_packs_on_request():
    from mmcl.data.bags import BagDataset
    from mmcl.types import Recording, SnippetGrid

    recordings = [Recording(str(n), {"visual": torch.randn(n, 6).numpy()}, {"visual": 1.5}) for n in (3, 90, 4, 80)]
    data = BagDataset(recordings, SnippetGrid(2 / 3, 2 / 3, {"visual": 1}), strength=0.0)
    items = [data[-1, i] for i in range(4)]
    assert collate(items).packing is None
    packing = collate(items, 2).packing
    assert packing is not None
    assert packing.groups == ((2, 4), (2, 90))
