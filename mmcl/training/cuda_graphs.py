"""Losses and gradients of a batch as CUDA graphs: recorded once for each shape, replayed by a single launch.

A step of these networks is some two thousand small kernels, and launching them takes longer than computing them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from mmcl.config.schema import TrainerConfig
from mmcl.training.step_state import StepState
from mmcl.training.task import Losses, TrainingTask
from mmcl.types import Bags

Gradients = Callable[[Bags, StepState], Losses]  # -> detached losses; gradients are left in the parameters
N_EAGER_STEPS = 3  # of a shape before it is recorded: libraries set themselves up in the first ones
N_GRAPHS = 16  # shapes that are recorded at most
WEIGHTS = ("semibag_weight", "snippet_weight", "distill_weight")


@dataclass(frozen=True)
class _Recorded:
    """A graph, where it reads its batch and where it leaves its results."""

    graph: torch.cuda.CUDAGraph
    bags: Bags
    weights: dict[str, Tensor]
    losses: Losses
    gradients: list[Tensor | None]


class GraphedGradients:
    """Computes the losses and gradients of batches, from CUDA graphs where shapes repeat.

    The numbers are those of ``compute`` itself, random ones included. What it computes must depend on the tensors of
    the batch, the shapes, the weights of the losses and the state of the modules' own tensors only (``is_recordable``).

    Args:
        compute: bags, on the host or the GPU, and a ``StepState`` -> losses; leaves gradients in the parameters.
        parameters: All parameters that get gradients.
        device: The GPU.
    """

    def __init__(self, compute: Gradients, parameters: Sequence[nn.Parameter], device: torch.device):
        self.compute, self.parameters, self.device = compute, list(parameters), device
        self.n_seen: dict[tuple, int] = {}
        self.recorded: dict[tuple, _Recorded] = {}
        self.pool = torch.cuda.graph_pool_handle()
        self.is_given_up = False

    def __call__(self, bags: Bags, state: StepState) -> Losses:
        """Losses of a batch, which may be on the host still.

        Args:
            bags: The batch.
            state: Where the training stands.
        """
        key = _key(bags, state)
        seen = self.n_seen.get(key, 0)
        self.n_seen[key] = seen + 1
        is_new = key not in self.recorded
        if self.is_given_up or (is_new and (seen < N_EAGER_STEPS or len(self.recorded) == N_GRAPHS)):
            return self.compute(bags, state)
        if is_new:
            generator = torch.cuda.default_generators[self.device.index or 0]
            random_state = generator.clone_state()
            try:
                self.recorded[key] = self._record(bags.to(self.device), state)
            except RuntimeError as error:
                generator.graphsafe_set_state(random_state)  # its own takes itself to be recorded still
                self.is_given_up = True
                reason = str(error).strip().splitlines()[0]
                print(f"CUDA graphs: not used, steps are computed one kernel at a time ({reason})", file=sys.stderr)
                return self.compute(bags, state)
        recorded = self.recorded[key]
        for kept, new in zip(_tensors(recorded.bags), _tensors(bags), strict=True):
            kept.copy_(new, non_blocking=True)
        for name, weight in recorded.weights.items():
            weight.fill_(getattr(state, name))
        recorded.graph.replay()
        for parameter, gradient in zip(self.parameters, recorded.gradients, strict=True):
            parameter.grad = gradient
        return {name: loss.clone() for name, loss in recorded.losses.items()}

    def _record(self, bags: Bags, state: StepState) -> _Recorded:
        weights = {name: torch.zeros((), device=self.device) for name in WEIGHTS}
        for parameter in self.parameters:
            parameter.grad = None
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize(self.device)
        # the thread that pins batches goes on meanwhile
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            losses = self.compute(bags, replace(state, tensors=weights))
        return _Recorded(graph, bags, weights, losses, [p.grad for p in self.parameters])


def is_recordable(
    trainer: TrainerConfig, gradient_accumulation_steps: int, task: TrainingTask, accelerator: Accelerator
) -> bool:
    """Is there a GPU, and is a step of a shape always the same graph?

    A module or a component of another package says so by ``capturable = True``; one of ours that reads the training's
    progress or waits for the device says by ``capturable = False`` that it is not.

    Args:
        trainer: How the training runs.
        gradient_accumulation_steps: Batches of an update.
        task: What is computed.
        accelerator: Where.
    """
    if not trainer.cuda_graphs or accelerator.device.type != "cuda" or accelerator.num_processes > 1 or trainer.compile:
        return False
    if trainer.precision == "fp16" or gradient_accumulation_steps > 1:
        return False  # the scale of fp16's losses changes, and replayed gradients do not add up
    objects: list[object] = list(task.modules())
    for name in task.contrasts:
        objective = task.objective(name)
        objects += [*objective.transforms, *objective.negatives, *objective.anchor_weights, objective.pair_loss]
        objects += [objective.target] if objective.target is not None else []
        objects += [term for _, _, term in objective.regularizers]
    objects += [term for _, term in task.plain_sequence_terms.values()]
    return all(_is_capturable(x) for x in objects)


def _is_capturable(x: object) -> bool:
    own = type(x).__module__.split(".")[0] in ("mmcl", "torch")
    return getattr(x, "capturable", own)


def _tensors(bags: Bags) -> list[Tensor]:
    tensors: list[Tensor] = []
    bags.map(lambda x: tensors.append(x) or x)  # type: ignore[func-returns-value]
    return tensors


def _key(bags: Bags, state: StepState) -> tuple:
    """What a graph is recorded for: shapes, and which losses there are."""
    shapes = tuple(tuple(x.shape) for x in _tensors(bags))
    used = tuple(getattr(state, name) > 0 for name in WEIGHTS)
    return (*bags.x, *bags.present, bags.group is None), shapes, used, state.find_false_negatives
