"""How what moves changes, by EfficientNet-Lite0 on the square that moves most."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from mmcl.features.extractors._efficientnet import EfficientnetExtractor

__all__ = ["EfficientnetLite0Motion"]

EVERY = 2  # frames: 12 a second
SHARE, SIDE = 0.3, 128  # of the shorter side that the square takes, and pixels that it is scaled to
CELL = 8  # pixels of the grid on which the square is found
BLOCKS = (10, 15)  # of the network, strides 16 and 32


class EfficientnetLite0Motion(EfficientnetExtractor):
    """1712 numbers a snippet: how much each feature changes from frame to frame in the square that moves most.

    Mean changes of the 1280 last features and of the 320 of block 15, and the largest change over the square of the
    112 of block 10; logarithms. Places and appearance that stay as they are say nothing.

    forward: frames ``(snippet, 16, height, width, 3)`` uint8 -> ``(snippet, 1, 1712)``.

    Example:
        >>> EfficientnetLite0Motion.dim
        1712
    """

    dim, blocks, short_side = 1712, (1280, 320, 112), 256

    def forward(self, frames: Tensor) -> Tensor:
        chosen = rearrange(frames[:, ::EVERY], "snippet frame h w c -> snippet frame c h w")
        squares = [
            x[..., top : top + side, left : left + side].float()
            for x, (top, left, side) in zip(chosen, moving_square(chosen).tolist(), strict=True)
        ]
        scaled = [nn.functional.interpolate(x, (SIDE, SIDE), mode="bicubic") for x in squares]
        middle, late, last = self.maps(torch.cat(scaled).clamp(0, 255), BLOCKS)

        def change(x: Tensor) -> Tensor:
            return x.unflatten(0, (len(frames), -1)).diff(dim=1).abs()

        rows = [change(last).mean((1, 3, 4)), change(late).mean((1, 3, 4)), change(middle).amax((3, 4)).mean(1)]
        return torch.log(torch.cat(rows, 1) + 1e-3)[:, None]


def moving_square(frames: Tensor, share: float = SHARE) -> Tensor:
    """The square in which brightness changes most, weighted to its middle; what changes everywhere is taken off.

    Args:
        frames: ``(snippet, frame, 3, height, width)`` uint8.
        share: Of the shorter side.

    Returns:
        ``(snippet, 3)``: top, left and side [pixels].

    Example:
        >>> frames = torch.zeros(1, 4, 3, 160, 160, dtype=torch.uint8)
        >>> frames[0, 1::2, :, 96:112, 32:48] = 255
        >>> top, left, side = moving_square(frames)[0].tolist()
        >>> top <= 96 < top + side, left <= 32 < left + side
        (True, True)
    """
    height, width = frames.shape[-2:]
    n_rows, n_columns = height // CELL, width // CELL
    grey = nn.functional.adaptive_avg_pool2d(frames.float().mean(2), (n_rows, n_columns))
    change = grey.diff(dim=1).abs()
    usual = change.flatten(2).median(2).values[..., None, None]
    change = (change - 2 * usual).clamp(min=0).mean(1)
    side = max(round(share * min(n_rows, n_columns)), 1)
    hann = torch.hann_window(side + 2, device=frames.device)[1:-1]
    moved = nn.functional.conv2d(change[:, None], (hann[:, None] * hann)[None, None])[:, 0]
    at = moved.flatten(1).argmax(1)
    top, left = at // moved.shape[2] * height // n_rows, at % moved.shape[2] * width // n_columns
    return torch.stack([top, left, torch.full_like(top, side * height // n_rows)], 1)
