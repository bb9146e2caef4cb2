"""Ten training steps of the real loop against MACIL-SD in plain loops, teacher included."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import reference
import safetensors.torch
import torch
from support import grid_of, network_of, recipe

from mmcl.config import override
from mmcl.data.bags import BagDataset
from mmcl.data.batch_sampler import BatchSampler
from mmcl.datasets import get_dataset
from mmcl.losses.mil import topk_pool
from mmcl.models.build import teacher_modules
from mmcl.models.packing import pack_by_length
from mmcl.training.step_state import StepState
from mmcl.training.task import TrainingTask
from mmcl.training.trainer import Trainer
from mmcl.training.unimodal_teacher import parameter_pairs
from mmcl.types import Bags, Recording

CHANNELS = {"visual": 7, "audio": 5}
EPOCHS = 5
SHAPES = {m: (n,) for m, n in CHANNELS.items()}


def recordings(n: int = 12) -> list[Recording]:
    rng = np.random.default_rng(0)
    items = []
    for i in range(n):
        length = int(rng.integers(1, 14))
        x = {m: rng.standard_normal((length, c)).astype(np.float32) for m, c in CHANNELS.items()}
        items.append(Recording(f"r{i}", x, dict.fromkeys(x, 1.5), np.array([i % 2], np.float32)))
    return items


def to_double(module, args):
    bags, *rest = args
    return (
        Bags({m: x.double() for m, x in bags.x.items()}, bags.mask, bags.label.double(), bags.index),
        *rest,
    )


@pytest.mark.parametrize("as_code", [False, True])
def test_ten_steps(as_code, tmp_path):
    """Losses of every epoch and all weights at the end, to 1e-5 (float64: rounding is not the point); as in the paper,
    and as the authors' code has it."""
    torch.manual_seed(0)
    departures = get_dataset("xd-violence").presets()["macil-sd-code"].settings
    config = override(
        recipe("xd-violence"),
        {
            **(departures if as_code else {}),
            "snippets.max_snippets": 0,
            "model.dim": 8,
            "model.dropout": 0.0,
            "loss.mil.topk_divisor": 4,
            "loss.semibag.weight": 0.25,
            "optim.epochs": EPOCHS,
            "loader.batch_size": 6,
            "optim.decay_epochs": 6,
            "optim.learning_rate": 4e-3,
            "trainer.tracker": "none",
        },
    )
    student = network_of(config, shapes=SHAPES).double()
    teacher = network_of(config, 1, ("visual",), SHAPES).double()
    with torch.no_grad():
        student.classifier.weight.mul_(4)  # so that some bags are predicted violent from the start
    start = {k: v.detach().clone().requires_grad_() for k, v in student.named_parameters()}
    start_teacher = {k: v.detach().clone().requires_grad_() for k, v in teacher.named_parameters()}
    task = TrainingTask(student, teacher, config.loss)
    task.register_forward_pre_hook(to_double)
    pairs = parameter_pairs(student, teacher, teacher_modules("visual", config.model))
    dataset = BagDataset(recordings(), grid_of(config), strength=0.0)
    Trainer(config, task, pairs, dataset, tmp_path).fit()
    history = json.loads((tmp_path / "history.json").read_text())
    weights = safetensors.torch.load_file(tmp_path / "last.safetensors")

    ours = reference.TwoStream(start, ("visual", "audio"))
    theirs = reference.TwoStream(start_teacher, ("visual",))
    adam = torch.optim.Adam([{"params": list(start.values())}, {"params": list(start_teacher.values())}])
    batches, step, n_events = BatchSampler(12, 6, shuffled=True), 0, 0
    for epoch in range(EPOCHS):
        batches.epoch = epoch
        sums: dict[str, float] = {}
        for batch in batches:
            for group, peak in zip(adam.param_groups, (4e-3, 0.2 * 4e-3), strict=True):
                group["lr"] = peak * (1 + math.cos(math.pi * step / (2 * 6))) / 2
            items = [dataset[-1, i] for _, i in batch]
            bags = [{m: torch.from_numpy(np.array(x)).double() for m, x in item.x.items()} for item in items]
            labels = [bool(item.label[0]) for item in items]
            weight = min(0.25, 0.1 * epoch)
            losses = reference.macil_sd_losses(ours, theirs, bags, labels, weight, 4, 0.1, as_code)
            adam.zero_grad()
            sum(losses.values()).backward()
            adam.step()
            step += 1
            sums = {k: sums.get(k, 0.0) + v.item() / 2 for k, v in losses.items()}
            n_events += sum(v.item() > 0 for k, v in losses.items() if k.startswith("contrast"))
        m = 1 - (1 - 0.91) * (math.cos(math.pi * epoch / EPOCHS) + 1) / 2
        with torch.no_grad():
            for name, value in start_teacher.items():
                start[name].mul_(m).add_((1 - m) * value)
        losses = history[epoch]
        names = {"mil": "loss mil joint", "teacher": "loss teacher mil joint"}
        for k, v in sums.items():
            assert losses[names.get(k, f"loss {k}")] == pytest.approx(v, abs=1e-5), (epoch, k)
    assert step == 10
    assert n_events > 10  # the contrast took part
    for k, v in start.items():
        torch.testing.assert_close(weights[k], v.detach(), atol=1e-5, rtol=0, msg=lambda text, k=k: f"{k}: {text}")


def test_the_loop_that_we_are_timed_against_computes_the_same():
    """One step's losses and gradients at the benchmark's shapes, lengths and settings, without dropout."""
    torch.manual_seed(0)
    config = override(recipe("xd-violence"), {"model.dropout": 0.0, "loss.semibag.bag_weight": "snippets"})
    widths = {"visual": 24, "audio": 16}
    student = network_of(config, shapes={m: (n,) for m, n in widths.items()}).double()
    teacher = network_of(config, 1, ("visual",), {"visual": (24,)}).double()
    lengths = torch.randint(20, 201, (16,))
    mask = torch.arange(200) < lengths[:, None]
    x = {m: torch.randn(16, 200, n).double() for m, n in widths.items()}
    label = (torch.arange(16) % 2).double()[:, None]
    bags = Bags(x, mask, label, torch.arange(16), {}, pack_by_length(lengths.tolist(), 4, 200))
    with torch.no_grad():  # half of the bags are predicted violent
        student.classifier.bias -= topk_pool(student(bags).joint_logit, mask).median() / 2
    task = TrainingTask(student, teacher, config.loss)
    ours = task(bags, StepState(semibag_weight=0.7))
    ours["total"].backward()
    slow = reference.LoopMacilSd(widths, dropout=0.0).double().take_weights(student)
    slow_teacher = reference.LoopMacilSd({"visual": 24}, dropout=0.0).double().take_weights(teacher)
    theirs = reference.loop_losses(slow, slow_teacher, x, mask, label[:, 0], 0.7)
    sum(theirs.values()).backward()
    names = {"mil": "mil joint", "teacher": "teacher mil joint"}
    for k, v in theirs.items():
        torch.testing.assert_close(ours[names.get(k, k)], v, atol=1e-9, rtol=1e-9, msg=k)
    assert sum(v.item() > 0 for v in theirs.values()) == 6
    for m in widths:
        torch.testing.assert_close(
            student.encoder[m].project.weight.grad, slow.project[m].weight.grad, atol=1e-9, rtol=1e-7
        )
