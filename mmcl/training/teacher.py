"""Teachers: a unimodal network that hands its parameters to the student, and a running average."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmcl.errors import InputError

Pairs = list[tuple[Tensor, Tensor]]


def parameter_pairs(student: nn.Module, teacher: nn.Module, modules: Mapping[str, str]) -> Pairs:
    """Explicit pairs (student's, teacher's) of parameters of like-named submodules.

    modules: submodule of the student -> submodule of the teacher, e.g. ``{"encoder.visual":
    "encoder.visual", "fusion.layer.visual": "fusion.layer.visual"}``. Raises InputError when the two
    differ in parameters or shapes.
    """
    pairs: Pairs = []
    for ours, theirs in modules.items():
        a, b = (
            dict(student.get_submodule(ours).named_parameters()),
            dict(teacher.get_submodule(theirs).named_parameters()),
        )
        if {k: v.shape for k, v in a.items()} != {k: v.shape for k, v in b.items()}:
            raise InputError(
                f"modules: student's '{ours}' and teacher's '{theirs}' differ in parameters or shapes"
            )
        pairs += [(a[k], b[k]) for k in a]
    return pairs


@torch.no_grad()
def transfer(pairs: Pairs, momentum: float) -> None:
    """student <- momentum * student + (1 - momentum) * teacher (MACIL-SD, section 3.4)."""
    if pairs and momentum < 1:
        ours, theirs = zip(*pairs, strict=True)
        torch._foreach_lerp_(list(ours), list(theirs), 1 - momentum)


class Average(nn.Module):
    """Running average of a network's weights (Tarvainen and Valpola 2017), in evaluation mode.

    The decay grows with the steps made, ``min(decay, (1 + n) / (10 + n))``, so that the random
    start is soon forgotten. Buffers of floats (running statistics) are averaged too, others copied.
    """

    n_steps: Tensor

    def __init__(self, network: nn.Module, decay: float):
        super().__init__()
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.register_buffer("n_steps", torch.zeros((), dtype=torch.long))
        self._n = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        n = int(self.n_steps) if self._n == 0 else self._n  # read the buffer once after loading
        decay = min(self.decay, (1 + n) / (10 + n))
        torch._foreach_lerp_(list(self.network.parameters()), list(network.parameters()), 1 - decay)
        for ours, theirs in zip(self.network.buffers(), network.buffers(), strict=True):
            if ours.is_floating_point():
                ours.lerp_(theirs, 1 - decay)
            else:
                ours.copy_(theirs)
        self._n = n + 1
        self.n_steps.fill_(self._n)

    def forward(self, bags):
        return self.network(bags)
