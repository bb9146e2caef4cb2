"""Embeddings of earlier batches, so that small batches have many negatives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mmcl.distributed import all_gather_with_grad
from mmcl.losses.checks import check_shape


@dataclass(frozen=True)
class BankedNegatives:
    """What a memory bank holds at a moment.

    Attributes:
        index: ``(sample,)`` int, the recording's number, -1 = empty.
        embeddings: ``{modality: (sample, dim)}``.
        group: ``(sample,)`` int.

    Example:
        >>> BankedNegatives(torch.tensor([3, -1])).index
        tensor([ 3, -1])
    """

    index: Tensor
    embeddings: Mapping[str, Tensor] = field(default_factory=dict)
    group: Tensor | None = None


class MemoryBank(nn.Module):
    """A teacher's last embeddings of recordings, newest first, one sample for all modalities.

    All processes push together and hold the same. It is part of the training state.

    Args:
        size: Samples.
        dim: Size of the embeddings of each modality.

    Reference:
        MoCo (He et al. 2020), with one queue a modality as CoCoSoDa.

    Example:
        >>> bank = MemoryBank(4, {"audio": 2})
        >>> bank.push({"audio": torch.ones(3, 2)}, torch.arange(3))
        >>> bank.index
        tensor([ 0,  1,  2, -1])
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
        """``{modality: (sample, dim)}``."""
        return {m: self.get_buffer(f"z_{m}") for m in self.modalities}

    def snapshot(self) -> BankedNegatives:
        """A copy of what it holds, which a later push does not change."""
        embeddings = {m: v.clone() for m, v in self.z.items()}
        return BankedNegatives(self.index.clone(), embeddings, self.group.clone())

    @torch.no_grad()
    def push(self, z: Mapping[str, Tensor], index: Tensor, group: Tensor | None = None) -> None:
        """Add this process's batch.

        Args:
            z: ``{modality: (sample, dim)}``.
            index: ``(sample,)`` int.
            group: ``(sample,)`` int.

        Raises:
            InputError: The shapes do not match.
        """
        size = len(self.index)
        for m, old in self.z.items():
            check_shape(f"z of {m}", z[m], (len(index), old.shape[1]))
        for m, old in self.z.items():
            old.copy_(torch.cat([all_gather_with_grad(z[m]).to(old.dtype), old])[:size])
        group = torch.full_like(index, -1) if group is None else group
        for kept, new in ((self.index, index), (self.group, group)):
            kept.copy_(torch.cat([all_gather_with_grad(new), kept])[:size])
