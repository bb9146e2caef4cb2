"""No training step waits for the device: nothing in it brings a value of a tensor to the host.

Where there is a GPU, PyTorch's own debug mode watches; elsewhere a tracer names every operation that would wait.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack, contextmanager

import numpy as np
import pytest
import torch
from support import grid_of, network_of, recipe
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from mmcl.config import override
from mmcl.data.bags import BagDataset
from mmcl.experiments.ablation import ablation_names, with_components
from mmcl.models.encoders.linear import LinearEncoder
from mmcl.models.network import MultimodalNetwork
from mmcl.models.packing import pack_by_length
from mmcl.training.step_state import StepState
from mmcl.training.task import TrainingTask
from mmcl.training.trainer import Trainer
from mmcl.training.unimodal_teacher import parameter_pairs
from mmcl.types import Bags

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TO_HOST = ("item", "tolist", "cpu", "numpy", "__bool__", "__int__", "__float__", "__index__", "__contains__")
SHAPED_BY_VALUES = ("nonzero", "masked_select", "unique", "_unique2", "equal", "is_nonzero")
READ_BY_HOST = ("_local_scalar_dense", "_linalg_eigh")
EIGEN = ("direct-predictor", "group-whitening")  # an eigendecomposition says on the host whether it converged


class Waited(AssertionError):
    """An operation that waits for the device."""


class _OfPython(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in TO_HOST or (name == "to" and "cpu" in (a for a in args[1:] if isinstance(a, str))):
            raise Waited(f"Tensor.{name} in a step")
        return func(*args, **(kwargs or {}))


class _OfDispatcher(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.__name__.split(".")[0]
        waits = name in (*SHAPED_BY_VALUES, *READ_BY_HOST) or func.__name__ == "repeat_interleave.Tensor"
        if name in ("index", "index_put", "index_put_"):
            is_bool = any(i is not None and i.dtype == torch.bool for i in args[1])
            # a scalar is written to masked places without counting them
            waits = is_bool and not (name != "index" and args[2].numel() == 1)
        if waits:
            raise Waited(f"{func.__name__} in a step")
        return func(*args, **(kwargs or {}))


@contextmanager
def _cuda_debug_mode():
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@contextmanager
def nothing_waits():
    """Fails where anything in it waits for the device."""
    modes: list[AbstractContextManager] = [_OfPython(), _OfDispatcher()]
    if DEVICE == "cuda":
        modes = [_cuda_debug_mode()]
    with ExitStack() as stack:
        for mode in modes:
            stack.enter_context(mode)
        yield


def draw_bags(widths: dict[str, int], packed: bool = False, hops_per_window: int = 1) -> Bags:
    torch.manual_seed(0)
    lengths = [20, 12, 7, 20, 1, 9, 15, 20]
    mask = torch.arange(20) < torch.tensor(lengths)[:, None]
    label = torch.tensor([1, 0, 1, 0, 1, 0, 1, 0.0])[:, None]
    x = {m: torch.randn(8, 19 + hops_per_window, n) for m, n in widths.items()}
    present = {"a": torch.ones(8, dtype=torch.bool), "b": torch.arange(8) != 3} if "a" in widths else {}
    packing = pack_by_length(lengths, 2, 20) if packed else None
    return Bags(x, mask, label, torch.arange(8), present, packing, torch.arange(8) // 4).to(DEVICE)


WAITS = [
    lambda x: x.sum().item(),
    lambda x: x.sum().cpu(),
    lambda x: x.to("cpu"),
    lambda x: x[x > 0],
    lambda x: x.nonzero(),
    lambda x: bool(x.any()),
    lambda x: torch.zeros(4, device=x.device)[x[:, 0].sum().long().clamp(0, 0) :],
    lambda x: torch.repeat_interleave(x, torch.ones(len(x), dtype=torch.long, device=x.device), 0),
    lambda x: x.masked_select(x > 0),
    lambda x: x.index_put_((x > 0,), x[0]),
]


@pytest.mark.parametrize("operation", WAITS)
def test_what_waits_is_caught(operation):
    x = torch.ones(3, 3, device=DEVICE)
    with pytest.raises((Waited, RuntimeError)), nothing_waits():
        operation(x)


@pytest.mark.parametrize("name", [n for n in ablation_names() if n not in EIGEN])
def test_no_component_waits(name):
    config = with_components(recipe("utd-mhad-streams"), name)
    bags = draw_bags({"a": 5, "b": 4})
    encoders = {"a": LinearEncoder(5, 8), "b": LinearEncoder(4, 8)}
    student = MultimodalNetwork(encoders, 8, 1, joint=config.model.joint, projection=8, n_heads=2)
    task = TrainingTask(student, None, config.loss, False, 8).to(DEVICE)
    state = StepState(0.1, config.loss.snippet.weight, 0.5, config.loss.recording.false_negatives != "none", 0.9)
    for _ in range(2):  # the second time with what the first one remembered
        with nothing_waits():
            losses = task(bags, state, student(bags))
            losses["total"].backward()


class _Features:
    """What a trainer needs to know of a data set."""

    groups = np.zeros(8, np.int64)

    def __len__(self) -> int:
        return 8


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("xd-violence", {}),
        ("xd-violence", {"loss.distill.weight": 1.0, "loss.semibag.clustering": "2-means", "optim.max_grad_norm": 1.0}),
        ("events", {"trainer.precision": "bf16"}),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_no_update_waits(name, changes, packed, tmp_path):
    """Forward, losses, gradients, clipping, optimizer, both teachers, by the trainer's own step."""
    widths = {"visual": 1024, "audio": 128}
    config = override(recipe(name), {"trainer.tracker": "none", **changes})
    student = network_of(config, 1, widths)
    unimodal = network_of(config, 1, ["visual"])
    same = {"encoder.visual": "encoder.visual"}
    task = TrainingTask(student, unimodal, config.loss, False, 8)
    bags = draw_bags(widths, packed, grid_of(config, widths).hops_per_window)
    dataset: BagDataset = _Features()  # type: ignore[assignment]
    trainer = Trainer(config, task, parameter_pairs(student, unimodal, same), dataset, tmp_path)
    trainer.wrapped, trainer.optimizer = trainer.accelerator.prepare(task, trainer.optimizer)

    def update() -> dict[str, Tensor]:
        losses = trainer._step(bags, 1, True)
        trainer._update_from_teacher(0.5)
        return losses

    update()  # the optimizer makes its state
    with nothing_waits():
        losses = update()
    assert losses["total"].isfinite()
