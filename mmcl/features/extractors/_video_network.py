"""Video networks as frozen feature extractors: 16 frames in, the features before the classifier out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

from mmcl.errors import InputError
from mmcl.features.extractors._base import VisualExtractor
from mmcl.features.weights import PublicWeights, find_weights, load_into, sha256_of


class FrameCrops(nn.Module):
    """Frames ``(snippet, 16, height, width, 3)`` uint8 -> ``(snippet * crop, 3, 16, side, side)``.

    One crop is the centre, five are the centre and the corners (top left, top right, bottom left,
    bottom right). Frames must be at least as large as the crop.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, side: int, n_crops: int, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        if n_crops not in (1, 5):
            raise InputError(f"--crops {n_crops}: expected 1 or 5")
        self.side, self.n_crops = side, n_crops
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1, 1), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        height, width = frames.shape[2:4]
        s = self.side
        middle = ((height - s) // 2, (width - s) // 2)
        corners = [(0, 0), (0, width - s), (height - s, 0), (height - s, width - s)]
        at = [middle, *corners][: self.n_crops]
        cut = torch.stack([frames[:, :, y : y + s, x : x + s] for y, x in at], 1)
        x = rearrange(cut, "snippet crop frame h w c -> (snippet crop) c frame h w").float() / 255
        return (x - self.mean) / self.std


class VideoNetwork(VisualExtractor):
    """A body that makes ``(clip, dim)`` of ``(clip, 3, 16, side, side)``, with its crops before it.

    forward: frames ``(snippet, 16, height, width, 3)`` uint8 -> ``(snippet, crop, dim)``.
    """

    def __init__(self, body: nn.Module, dim: int, short_side: int, crops: FrameCrops):
        super().__init__()
        self.dim, self.short_side, self.n_crops = dim, short_side, crops.n_crops
        self.crops, self.body = crops, body

    def load_weights(self, public: PublicWeights, weights: str | None, ignored: tuple[str, ...]) -> None:
        """weights: a file or an address, "" = the public ones, None = random ones."""
        if weights is None:
            return
        path = find_weights(public, weights, "--visual-weights")
        load_into(self.body, path, ignored)
        self.weights_sha256 = sha256_of(path)

    def forward(self, frames: Tensor) -> Tensor:
        return self.body(self.crops(frames)).view(len(frames), self.n_crops, self.dim)
