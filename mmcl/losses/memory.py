"""Encodings of earlier batches, so that small batches see many negatives."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmcl.processes import gather


class Memory(nn.Module):
    """The teacher's last ``size`` encodings of recordings, newest first, one row for all modalities.

    ``z[m] (row, dim)``, ``index (row,)``, the recording's number, and ``group``, both -1 where nothing lies yet. All
    processes push together and hold the same. Saved with the state of training. Source: MoCo (He et al.
    2020), with one queue a modality as CoCoSoDa.
    """

    index: Tensor
    group: Tensor

    def __init__(self, size: int, dim: Mapping[str, int]):
        super().__init__()
        self.modalities = tuple(dim)
        for m, d in dim.items():
            self.register_buffer(f"z_{m}", torch.zeros(size, d))
        self.register_buffer("index", torch.full((size,), -1))
        self.register_buffer("group", torch.full((size,), -1))

    @property
    def z(self) -> dict[str, Tensor]:
        return {m: self.get_buffer(f"z_{m}") for m in self.modalities}

    @torch.no_grad()
    def push(self, z: Mapping[str, Tensor], index: Tensor, group: Tensor | None = None) -> None:
        """z[m]: ``(row, dim)``, index, group: ``(row,)`` of this process's batch."""
        size = len(self.index)
        for m, old in self.z.items():
            old.copy_(torch.cat([gather(z[m]).to(old.dtype), old])[:size])
        group = torch.full_like(index, -1) if group is None else group
        for kept, new in ((self.index, index), (self.group, group)):
            kept.copy_(torch.cat([gather(new), kept])[:size])
