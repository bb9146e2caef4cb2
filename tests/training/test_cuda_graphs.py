"""Steps replayed from CUDA graphs are those that are launched kernel by kernel."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import recipe

from mmcl.config import override
from mmcl.experiments.ablation import ablation_names, with_components
from mmcl.models.encoders.linear import LinearEncoder
from mmcl.models.network import MultimodalNetwork
from mmcl.training.cuda_graphs import N_EAGER_STEPS, GraphedGradients, is_recordable
from mmcl.training.step_state import StepState
from mmcl.training.task import TrainingTask
from mmcl.training.trainer import Trainer
from mmcl.types import Bags

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def task_of(name: str, seed: int = 0) -> tuple[Any, TrainingTask]:
    config = override(with_components(recipe("utd-mhad-streams"), name), {"trainer.tracker": "none"})
    torch.manual_seed(seed)
    encoders = {"a": LinearEncoder(5, 8), "b": LinearEncoder(4, 8)}
    student = MultimodalNetwork(encoders, 8, 1, joint=config.model.joint, projection=8, n_heads=2, dropout=0.2)
    return config, TrainingTask(student, None, config.loss, False, 8)


def draw_bags(seed: int, longest: int) -> Bags:
    g = torch.Generator().manual_seed(seed)
    mask = torch.arange(longest) < torch.randint(3, longest + 1, (8, 1), generator=g)
    label = (torch.arange(8) % 2).float()[:, None]
    x = {m: torch.randn(8, longest, n, generator=g) for m, n in (("a", 5), ("b", 4))}
    return Bags(x, mask, label, torch.randperm(8, generator=g), group=torch.arange(8) // 4)


@needs_gpu
@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("name", ablation_names())
def test_the_same_losses(name, precision, tmp_path):
    """Of twelve steps of two shapes, with dropout, and of the weights after them."""
    total, is_used = [], False
    for graphs in (False, True):
        config, task = task_of(name)
        config = override(config, {"trainer.cuda_graphs": graphs, "trainer.precision": precision})
        dataset: Any = type("Features", (), {"groups": None, "__len__": lambda _: 8})()
        trainer = Trainer(config, task, [], dataset, tmp_path)
        trainer.wrapped, trainer.optimizer = trainer.accelerator.prepare(task, trainer.optimizer)
        losses = []
        for i in range(12):
            torch.manual_seed(i)
            losses.append(trainer._step(draw_bags(i, 20 if i % 3 else 13).pin_memory(), i // 4, True))
            trainer.progress.step += 1
        total.append(torch.stack([x["total"] for x in losses]))
        if isinstance(trainer.gradients, GraphedGradients):
            assert not trainer.gradients.is_given_up
            is_used = bool(trainer.gradients.recorded)
    torch.testing.assert_close(*total, rtol=1e-3, atol=1e-4)
    assert is_used == is_recordable(config.trainer, 1, task, trainer.accelerator)


@needs_gpu
def test_what_cannot_be_recorded_is_computed(capsys):
    weight = torch.nn.Parameter(torch.ones(3, device="cuda"))

    def compute(bags: Bags, state) -> dict:
        x = bags.to("cuda").x["a"]
        kept = torch.nn.functional.dropout(torch.ones(3, device="cuda"), 0.0)
        total = (kept * weight).sum() * float(x.sum())  # waits for the GPU
        total.backward()
        return {"total": total.detach()}

    graphed = GraphedGradients(compute, [weight], torch.device("cuda"))
    bags = draw_bags(0, 20)
    for _ in range(N_EAGER_STEPS + 2):
        weight.grad = None
        graphed(bags, StepState())
        torch.testing.assert_close(weight.grad, bags.x["a"].sum().cuda().expand(3))
    assert "one kernel at a time" in capsys.readouterr().err
    torch.rand(3, device="cuda")


@needs_gpu
def test_other_threads_go_on():
    """Memory that another thread pins while a step is recorded."""
    weight, is_over = torch.nn.Parameter(torch.ones(3, device="cuda")), threading.Event()
    n_pinned = 0

    def pin() -> None:
        nonlocal n_pinned
        while not is_over.is_set():
            torch.ones(1 << 16).pin_memory().to("cuda", non_blocking=True)
            n_pinned += 1

    def compute(bags: Bags, state) -> dict:
        total = (torch.rand(3, device="cuda") * weight).sum() * bags.to("cuda").x["a"].sum()
        total.backward()
        return {"total": total.detach()}

    thread = threading.Thread(target=pin)
    thread.start()
    try:
        graphed = GraphedGradients(compute, [weight], torch.device("cuda"))
        for longest in range(5, 15):
            for _ in range(N_EAGER_STEPS + 1):
                weight.grad = None
                graphed(draw_bags(0, longest), StepState())
    finally:
        is_over.set()
        thread.join()
    assert n_pinned
    assert not graphed.is_given_up
    assert len(graphed.recorded) == 10


class OfAnotherPackage(torch.nn.Module):
    """Nothing says that it is alike at every step."""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"cuda_graphs": False}, False),
        ({"compile": True}, False),
        ({"precision": "fp16"}, False),
        ({"accumulated": 2}, False),
        ({"num_processes": 2}, False),
        ({"device": "cpu"}, False),
        ({"component": "bad-pairs"}, False),
        ({"component": "direct-predictor"}, False),
        ({"component": "cluster-count"}, True),
        ({"module": True}, False),
    ],
)
def test_when_steps_are_recorded(changes, expected):
    config, task = task_of(changes.get("component", "info-nce"))
    if changes.get("module"):
        task.student.extra = OfAnotherPackage()
        OfAnotherPackage.capturable = True
        assert is_recordable(config.trainer, 1, task, fake_accelerator({}))
        del OfAnotherPackage.capturable
    named = {k: v for k, v in changes.items() if k in ("cuda_graphs", "compile", "precision")}
    trainer = replace(config.trainer, **named)
    assert is_recordable(trainer, changes.get("accumulated", 1), task, fake_accelerator(changes)) == expected


def fake_accelerator(changes: dict) -> Any:
    device = torch.device(changes.get("device", "cuda"))
    return SimpleNamespace(device=device, num_processes=changes.get("num_processes", 1))
