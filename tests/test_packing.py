"""Packed bags give the results of padded ones, and the cheap dropout is a dropout."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mmcl.data.bags import collate
from mmcl.errors import InputError
from mmcl.models.build import clock_of, network
from mmcl.models.dropout import Dropout, dropout
from mmcl.packing import packing_of
from mmcl.presets import changed, xd_violence
from mmcl.training.step import Learner
from mmcl.types import Bags

CHANNELS = {"visual": 6, "audio": 4}


def bags(lengths: list[int], per_group: int) -> Bags:
    g = torch.Generator().manual_seed(0)
    n, longest = len(lengths), max(lengths)
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    x = {
        m: torch.randn(n, longest, c, generator=g, dtype=torch.float64) * mask[..., None]
        for m, c in CHANNELS.items()
    }
    label = (torch.arange(n) % 2).double()[:, None]
    return Bags(x, mask, label, torch.arange(n), {}, packing_of(lengths, per_group, worth=2.0))


@pytest.mark.parametrize("per_group", [1, 3, 8, 100])
@pytest.mark.parametrize("lengths", [[5], [1, 1], [9, 1, 4, 4, 7, 2, 30], [3] * 5])
def test_packed_rows_come_back(lengths, per_group):
    batch = bags(lengths, per_group)
    packing = batch.packing
    assert packing is not None
    assert sum(n for n, _ in packing.groups) == len(lengths)
    assert len(packing.row) == sum(n * longest for n, longest in packing.groups)
    assert int(packing.real.sum()) == sum(lengths)
    there_and_back = packing.unpack(packing.pack(batch.x["visual"]))
    assert torch.equal(there_and_back, batch.x["visual"])
    for block, (n, longest) in zip(packing.blocks(packing.real), packing.groups, strict=True):
        assert block.shape == (n, longest)
        assert block.any(0).all()  # no group is longer than its longest bag


def test_a_packing_of_another_batch():
    packing = packing_of([3, 9], 1, n_snippets=12)
    assert packing is not None
    assert packing.shape == (2, 12)
    with pytest.raises(InputError, match=r"made for bags and snippets \(2, 12\), got \(2, 9\)"):
        packing.pack(torch.zeros(2, 9, 4))


def test_not_worth_it():
    assert packing_of([10] * 16, 8) is None
    assert packing_of([10, 200], 0) is None
    assert packing_of([10, 200] * 8, 8) is not None


@pytest.mark.parametrize("per_group", [1, 3])
def test_packed_equals_padded(per_group):
    """Scores, all losses and all gradients, teacher included."""
    config = changed(xd_violence(), model={"dim": 8, "dropout": 0.0}, objective={"divisor": 4})
    torch.manual_seed(1)
    student = network(config, clock_of(config), 1, n_channels=CHANNELS)
    teacher = network(config, clock_of(config), 1, ("visual",), CHANNELS)
    with torch.no_grad():
        student.classifier.weight.mul_(20)  # so that some bags are predicted violent
    learner = Learner(student, teacher, config.objective).double()
    packed = bags([9, 1, 4, 4, 7, 2, 30, 12, 3], per_group)
    results = []
    for batch in (packed, replace(packed, packing=None)):
        learner.zero_grad()
        losses = learner(batch, 1.0, 0.0)
        losses["total"].backward()
        encoded = learner.student(batch)
        real = {f"logit {m}": v[batch.mask] for m, v in encoded.logit.items()}
        real |= {f"embedding {m}": v[batch.mask] for m, v in encoded.embedding.items()}
        grads = {k: p.grad.clone() for k, p in learner.named_parameters() if p.grad is not None}
        results.append({**losses, **grads, **real, "joint": encoded.joint_logit[batch.mask]})
    assert (
        sum(v.item() > 0 for k, v in results[0].items() if "background" in k) == 2
    )  # the contrast took part
    assert results[0].keys() == results[1].keys()
    for k, v in results[0].items():
        torch.testing.assert_close(v, results[1][k], atol=1e-9, rtol=1e-9, msg=k)


def test_padding_in_a_group_is_never_looked_at():
    torch.manual_seed(0)
    config = changed(xd_violence(), model={"dim": 8})
    net = network(config, clock_of(config), 1, n_channels=CHANNELS).double().eval()
    batch = bags([9, 1, 4, 7, 2, 30], 3)
    dirty = {m: torch.where(batch.mask[..., None], x, 1e6) for m, x in batch.x.items()}
    a, b = net(batch).joint_logit, net(replace(batch, x=dirty)).joint_logit
    assert torch.equal(a[batch.mask], b[batch.mask])


def test_collate_packs_on_request():
    from mmcl.data.bags import BagDataset
    from mmcl.types import Clock, Recording

    made = [Recording(str(n), {"visual": torch.randn(n, 6).numpy()}, {"visual": 1.5}) for n in (3, 90, 4, 80)]
    data = BagDataset(made, Clock(2 / 3, 2 / 3, {"visual": 1}), strength=0.0)
    items = [data[-1, i] for i in range(4)]
    assert collate(items).packing is None
    packing = collate(items, 2).packing
    assert packing is not None
    assert packing.groups == ((2, 4), (2, 90))


@pytest.mark.parametrize("p", [0.1, 0.5])
@pytest.mark.parametrize("shape", [(100_001,), (40, 50, 51), (3,)])
def test_dropout(p, shape):
    """Shares, scale, reproducibility, gradient; neighbours are independent."""
    x = torch.full(shape, 2.0, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(3)
    y = dropout(x, p)
    torch.manual_seed(3)
    assert torch.equal(y, dropout(x, p))
    values = y.detach().unique()
    assert all(v == 0 or abs(v - 2 / (1 - p)) < 1e-3 for v in values)
    (grad,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(grad * 2, y.detach())
    n = y.numel()
    if n > 1000:
        dropped = (y.detach() == 0).flatten().double()
        se = (p * (1 - p) / n) ** 0.5
        assert abs(dropped.mean() - p) < 4 * se + 2**-17
        for gap in (1, 2, 3, 4):  # four share a draw
            both = (dropped[gap:] * dropped[:-gap]).mean()
            assert abs(both - p * p) < 5 * (p * p / n) ** 0.5 + 2**-16


def test_no_dropout_in_evaluation():
    x = torch.ones(10)
    assert torch.equal(Dropout(0.9).eval()(x), x)
    assert torch.equal(dropout(x, 1.0), torch.zeros(10))
