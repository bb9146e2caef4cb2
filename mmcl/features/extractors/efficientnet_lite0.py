"""What a scene looks like, by EfficientNet-Lite0."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from mmcl.features.extractors._efficientnet import SIDE, EfficientnetExtractor

__all__ = ["EfficientnetLite0"]

EVERY = 4  # frames


class EfficientnetLite0(EfficientnetExtractor):
    """2560 numbers a snippet: mean and spread of 1280 features over every fourth frame of the whole picture.

    forward: frames ``(snippet, 16, height, width, 3)`` uint8 -> ``(snippet, 1, 2560)``.

    Example:
        >>> EfficientnetLite0.dim
        2560
    """

    dim, blocks, short_side = 2560, (1280, 1280), SIDE

    def forward(self, frames: Tensor) -> Tensor:
        x = rearrange(frames[:, ::EVERY], "snippet frame h w c -> (snippet frame) c h w").float()
        x = nn.functional.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True)
        of_frames = self.maps(x, ())[-1].mean((2, 3)).unflatten(0, (len(frames), -1))
        return torch.cat([of_frames.mean(1), of_frames.std(1, correction=0)], 1)[:, None]
