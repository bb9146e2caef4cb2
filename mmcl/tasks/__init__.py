"""The jobs, from a data folder to recordings by part and the figures that judge them.

A task says which recordings train, validate and test, and how timelines are judged. Nothing below
these files knows which data set it works on.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from mmcl.config import Config
from mmcl.models.build import clock_of
from mmcl.scoring import Scorer
from mmcl.tasks.mmact import mmact
from mmcl.tasks.own import events, recordings
from mmcl.tasks.task import Task
from mmcl.tasks.utd_mhad import utd_mhad, utd_mhad_streams
from mmcl.tasks.xd_violence import xd_violence

__all__ = ["TASKS", "Task", "scorer"]

TASKS: dict[str, Callable[..., Task]] = {  # (data, config, parts) -> Task
    "utd-mhad": utd_mhad,
    "utd-mhad-streams": utd_mhad_streams,
    "xd-violence": xd_violence,
    "mmact": mmact,
    "recordings": recordings,
    "events": events,
}


def scorer(
    network: nn.Module, config: Config, classes: tuple[str, ...], device: torch.device | str = "cpu"
) -> Scorer:
    o = config.objective
    return Scorer(network, clock_of(config), classes, o.divisor, o.exclusive, device)
