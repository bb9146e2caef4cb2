"""A fixed linear model of features inside a network, which learns to correct it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmcl.models.encoders.features import over_windows
from mmcl.types import Bags


class LinearScore(nn.Module):
    """Logits linear in standardized features; nothing is learned, ``fit`` sets all.

    forward: ``{modality: (bag, snippet, channel)}``, ``{modality: (bag,)}`` bool -> ``(bag, snippet, class)``; a bag
    that lacks a modality gets nothing from it.

    Args:
        n_channels: Of each modality.
        n_classes: Number of classes.
        clip: Standard deviations that features are clipped to.
    """

    bias: Tensor
    reads: Tensor

    def __init__(self, n_channels: Mapping[str, int], n_classes: int, clip: float = 5.0):
        super().__init__()
        self.modalities, self.clip = tuple(n_channels), clip
        for m, n in n_channels.items():
            self.register_buffer(f"{m}_mean", torch.zeros(n))
            self.register_buffer(f"{m}_std", torch.ones(n))
            self.register_buffer(f"{m}_weight", torch.zeros(n, n_classes))
        self.register_buffer("bias", torch.zeros(n_classes))
        self.register_buffer("reads", torch.zeros(len(self.modalities), dtype=torch.bool))

    def fit(self, mean: Mapping[str, Tensor], std: Mapping[str, Tensor], weight: Mapping[str, Tensor], bias: Tensor):
        """Set the linear model, each by modality."""
        self.reads.copy_(torch.tensor([m in weight for m in self.modalities]))
        for m in weight:
            for name, value in (("mean", mean[m]), ("std", std[m]), ("weight", weight[m])):
                getattr(self, f"{m}_{name}").copy_(value)
        self.bias.copy_(bias)

    @property
    def read_modalities(self) -> tuple[str, ...]:
        """Those whose weights were set."""
        return tuple(m for m, is_read in zip(self.modalities, self.reads.tolist(), strict=True) if is_read)

    def forward(self, x: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        total: Tensor | None = None
        for m in self.modalities:
            if m not in x:
                continue
            mean, std, weight = (getattr(self, f"{m}_{name}") for name in ("mean", "std", "weight"))
            logit = ((x[m] - mean) / std).clamp(-self.clip, self.clip) @ weight
            if m in present:
                logit = logit * present[m][:, None, None]
            total = logit if total is None else total + logit
        if total is None:
            first = next(iter(x.values()))
            return self.bias.expand(*first.shape[:2], -1)
        return total + self.bias


class LinearPath(nn.Module):
    """Linear scores of all modalities together and of each alone.

    forward: ``Bags`` -> joint ``(bag, snippet, class)`` and ``{modality: (bag, snippet, class)}`` of those that a batch
    has.

    Args:
        n_channels: Of each modality, all of kind features.
        n_classes: Number of classes.
        hops_per_window: Hops of a snippet.

    Example:
        >>> path = LinearPath({"clip": 3}, 1)
        >>> mask = torch.ones(2, 4, dtype=torch.bool)
        >>> bags = Bags({"clip": torch.ones(2, 4, 3)}, mask, torch.zeros(2, 1), torch.arange(2))
        >>> path(bags)[0].shape
        torch.Size([2, 4, 1])
    """

    def __init__(self, n_channels: Mapping[str, int], n_classes: int, hops_per_window: int = 1):
        super().__init__()
        self.hops_per_window = hops_per_window
        self.joint = LinearScore(n_channels, n_classes)
        self.alone = nn.ModuleDict({m: LinearScore({m: n}, n_classes) for m, n in n_channels.items()})

    def forward(self, bags: Bags) -> tuple[Tensor, dict[str, Tensor]]:
        x = {m: bags.x[m].float() for m in self.joint.modalities if m in bags.x}
        if self.hops_per_window > 1:
            x = {m: over_windows(v.transpose(1, 2), self.hops_per_window).transpose(1, 2) for m, v in x.items()}
        alone = {m: self.alone[m]({m: v}, {}) for m, v in x.items()}
        return self._joint(x, alone, bags), alone

    def _joint(self, x: Mapping[str, Tensor], alone: Mapping[str, Tensor], bags: Bags) -> Tensor:
        """The joint score; of bags that have none of the modalities that it reads, the mean of the scores alone."""
        joint = self.joint(x, bags.present)
        if not bags.present and len(x) == len(self.joint.modalities):
            return joint
        all_bags = torch.ones_like(bags.mask[:, 0])
        has = {m: bags.present.get(m, all_bags) for m in x}
        reads = dict(zip(self.joint.modalities, self.joint.reads, strict=True))
        is_read = torch.stack([has[m] & reads[m] for m in x]).any(0)[:, None, None]
        total = torch.stack([alone[m] * has[m][:, None, None] for m in x]).sum(0)
        n = torch.stack([has[m] for m in x]).sum(0).clamp(min=1)[:, None, None]
        return torch.where(is_read, joint, total / n)
