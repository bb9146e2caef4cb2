"""Three networks of other schools, as small as they can be: features of two streams in, snippet scores out.

Each takes ``x[m] (bag, snippet, channel)`` and ``mask (bag, snippet)`` and returns ``Scored``. None knows of mmcl.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn


class HostOutput(NamedTuple):
    logit: Tensor  # (bag, snippet, 1), of both modalities
    unimodal: dict[str, Tensor]  # the same of each modality alone
    embedding: dict[str, Tensor]  # (bag, snippet, dim)


def project(channels: Mapping[str, int], dim: int) -> nn.ModuleDict:
    return nn.ModuleDict(
        {m: nn.Sequential(nn.LayerNorm(n), nn.Linear(n, dim), nn.ReLU(), nn.Dropout(0.3)) for m, n in channels.items()}
    )


class GraphNetwork(nn.Module):
    """Snippets are nodes of two graphs, of like features and of near moments (the idea of HL-Net, Wu et al. 2020)."""

    def __init__(self, channels: Mapping[str, int], dim: int = 64):
        super().__init__()
        self.project = project(channels, dim)
        self.alike, self.near = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.head = nn.ModuleDict({m: nn.Linear(2 * dim, 1) for m in channels})
        self.joint = nn.Linear(2 * dim * len(channels), 1)

    def forward(self, x: Mapping[str, Tensor], mask: Tensor) -> HostOutput:
        embedding = {}
        at = torch.arange(mask.shape[1], device=mask.device, dtype=torch.float32)
        near = torch.exp(-(at[:, None] - at[None]).abs())
        for m, features in x.items():
            z = self.project[m](features)
            unit = nn.functional.normalize(z, dim=-1)
            alike = (unit @ unit.transpose(1, 2)).masked_fill(~mask[:, None], -torch.inf)
            alike = (alike / 0.1).softmax(-1)
            moments = near * mask[:, None]
            moments = moments / moments.sum(-1, keepdim=True).clamp(min=1e-6)
            embedding[m] = torch.cat([torch.relu(self.alike(alike @ z)), torch.relu(self.near(moments @ z))], -1)
        unimodal = {m: self.head[m](e) for m, e in embedding.items()}
        return HostOutput(self.joint(torch.cat(list(embedding.values()), -1)), unimodal, embedding)


class MagnitudeNetwork(nn.Module):
    """Convolutions of several widths over time; long embeddings mark events (the idea of RTFM, Tian et al. 2021).

    ``margin(output, mask, label)`` is its own loss beside MIL: the highest magnitudes of event bags exceed the others'.
    """

    def __init__(self, channels: Mapping[str, int], dim: int = 64):
        super().__init__()
        self.project = project(channels, dim)

        def convolution(dilation: int) -> nn.Module:
            return nn.Conv1d(dim, dim // 2, 3, padding=dilation, dilation=dilation)

        self.scales = nn.ModuleDict({m: nn.ModuleList([convolution(1), convolution(2)]) for m in channels})
        self.head = nn.ModuleDict({m: nn.Linear(dim, 1) for m in channels})
        self.joint = nn.Linear(dim * len(channels), 1)

    def forward(self, x: Mapping[str, Tensor], mask: Tensor) -> HostOutput:
        embedding = {}
        for m, features in x.items():
            z = self.project[m](features) * mask[..., None]
            wide = [conv(z.transpose(1, 2)).transpose(1, 2) for conv in self.scales[m]]
            embedding[m] = torch.relu(torch.cat(wide, -1)) + z
        unimodal = {m: self.head[m](e) for m, e in embedding.items()}
        return HostOutput(self.joint(torch.cat(list(embedding.values()), -1)), unimodal, embedding)

    @staticmethod
    def margin(output: HostOutput, mask: Tensor, label: Tensor, distance: float = 5.0) -> Tensor:
        total = torch.zeros((), device=mask.device)
        for e in output.embedding.values():
            top = e.norm(dim=-1).masked_fill(~mask, 0).topk(3, dim=1).values.mean(1)
            event = label[:, 0] > 0
            total = total + (torch.relu(distance - top) * event + top * ~event).mean()
        return 0.01 * total


class MemoryNetwork(nn.Module):
    """A snippet attends to a memory of normal and one of abnormal prototypes (the idea of UR-DMU, Zhou et al. 2023)."""

    def __init__(self, channels: Mapping[str, int], dim: int = 64, n_slots: int = 20):
        super().__init__()
        self.project = project(channels, dim)
        self.memory = nn.ParameterDict(
            {k: nn.Parameter(0.1 * torch.randn(n_slots, dim)) for k in ("normal", "abnormal")}
        )
        self.head = nn.ModuleDict({m: nn.Linear(3 * dim, 1) for m in channels})
        self.joint = nn.Linear(3 * dim * len(channels), 1)

    def forward(self, x: Mapping[str, Tensor], mask: Tensor) -> HostOutput:
        embedding = {}
        for m, features in x.items():
            z = self.project[m](features)
            read = [(z @ slots.T / z.shape[-1] ** 0.5).softmax(-1) @ slots for slots in self.memory.values()]
            embedding[m] = torch.cat([z, *read], -1)
        unimodal = {m: self.head[m](e) for m, e in embedding.items()}
        return HostOutput(self.joint(torch.cat(list(embedding.values()), -1)), unimodal, embedding)


HOSTS = {"graph": GraphNetwork, "magnitude": MagnitudeNetwork, "memory": MemoryNetwork}
