"""The unimodal teacher of MACIL-SD: a network of one modality whose parameters update the student's with momentum."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmcl.errors import InputError

ParameterPairs = list[tuple[Tensor, Tensor]]


def parameter_pairs(student: nn.Module, teacher: nn.Module, modules: Mapping[str, str]) -> ParameterPairs:
    """Explicit pairs (student's, teacher's) of parameters.

    Args:
        student: The network that is updated.
        teacher: The network whose parameters update it.
        modules: Submodules of the student and those of the teacher, ``{"encoder.visual": "encoder.visual"}``.

    Raises:
        InputError: Two submodules differ in parameters or shapes.

    Example:
        >>> a, b = nn.ModuleDict({"x": nn.Linear(2, 2)}), nn.ModuleDict({"y": nn.Linear(2, 2)})
        >>> len(parameter_pairs(a, b, {"x": "y"}))
        2
    """
    pairs: ParameterPairs = []
    for ours, theirs in modules.items():
        a = dict(student.get_submodule(ours).named_parameters())
        b = dict(teacher.get_submodule(theirs).named_parameters())
        if {k: v.shape for k, v in a.items()} != {k: v.shape for k, v in b.items()}:
            raise InputError(f"modules: student's '{ours}' and teacher's '{theirs}' differ in parameters or shapes")
        pairs += [(a[k], b[k]) for k in a]
    return pairs


@torch.no_grad()
def momentum_update(pairs: ParameterPairs, momentum: float) -> None:
    """student <- momentum * student + (1 - momentum) * teacher.

    Args:
        pairs: Of ``parameter_pairs``.
        momentum: In [0, 1]; 1 changes nothing.

    Reference:
        MACIL-SD (arXiv 2207.05500), section 3.4.

    Example:
        >>> student, teacher = torch.zeros(1), torch.ones(1)
        >>> momentum_update([(student, teacher)], 0.75)
        >>> student
        tensor([0.2500])
    """
    if pairs and momentum < 1:
        ours, theirs = zip(*pairs, strict=True)
        torch._foreach_lerp_(list(ours), list(theirs), 1 - momentum)
