"""Visual features that need no weights: how a scene moves, not where."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from mmcl.features.extractors._base import VisualExtractor
from mmcl.features.flow import camera_motion, gradient, local_mean, optical_flow, warp

__all__ = ["Motion"]

EVERY = 2  # frames: 12 a second
FLOW_SIDE, CHANGE_SIDE = 80, 64  # pixels of the shorter side, and of a square
LENGTH = FLOW_SIDE / 112  # pixels of flow that count as one
N_LEVELS, LAGS = 3, (1, 3)
avg_pool2d = nn.functional.avg_pool2d


class Motion(VisualExtractor):
    """118 numbers a snippet, none of which tells places: people who move alike look alike anywhere in the picture.

    26 of the flow without the camera's: how jerky, how incoherent in small and large surroundings, how turning and
    stretching it is, each relative to its strength; 26 of what flow does not explain, with and without the camera's
    motion, and of that motion itself; 66 of how much colour and directed edges change, at three sizes and over 1/12
    and 1/4 s.

    forward: frames ``(snippet, 16, height, width, 3)`` uint8 -> ``(snippet, 1, 118)``.

    Example:
        >>> Motion()(torch.zeros(2, 16, 160, 200, 3, dtype=torch.uint8)).shape
        torch.Size([2, 1, 118])
    """

    dim, blocks, short_side = 118, (26, 26, 66), 256

    def forward(self, frames: Tensor) -> Tensor:
        n = len(frames)
        x = rearrange(frames[:, ::EVERY], "snippet frame h w c -> (snippet frame) c h w")
        scale = FLOW_SIDE / min(x.shape[-2:])
        height, width = (round(side * scale / 8) * 8 for side in x.shape[-2:])
        grey = resize(x, (height, width)).mean(1, keepdim=True)
        return torch.cat([flow_statistics(grey, n), change_statistics(resize(x, (CHANGE_SIDE,) * 2), n)], 1)[:, None]


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures ``(n, 3, height, width)`` uint8 to another size, 0 to 1; as bytes, which is ten times faster."""
    return nn.functional.interpolate(x, size, mode="bilinear", antialias=True).float() / 255


def flow_statistics(grey: Tensor, n: int) -> Tensor:
    """``(snippet * frame, 1, height, width)`` of n snippets, 0 to 1 -> ``(snippet, 52)``."""
    over_time = rearrange(grey, "(snippet frame) 1 h w -> snippet frame 1 h w", snippet=n)
    first, second = over_time[:, :-1].flatten(0, 1), over_time[:, 1:].flatten(0, 1)
    raw = optical_flow(first, second)
    camera = camera_motion(raw)
    flow = (raw - camera) / LENGTH
    return torch.cat([_shape_of_flow(flow, n), _unexplained(first, second, raw, camera, n)], 1)


def _shape_of_flow(flow: Tensor, n: int) -> Tensor:
    """26 ratios of the flow ``(snippet * step, 2, height, width)``."""
    n_pixels = flow.shape[-1] * flow.shape[-2]
    speed = flow.square().sum(1, keepdim=True).sqrt()

    def of_snippets(x: Tensor) -> Tensor:
        return x.unflatten(0, (n, -1))

    v, s = of_snippets(flow), of_snippets(speed)[:, :, 0]
    along = warp(v[:, 1:].flatten(0, 1), v[:, :-1].flatten(0, 1) * LENGTH).view_as(v[:, 1:])  # as the pixel moves on
    energy = s.square().sum((1, 2, 3)) + 1e-3 * n_pixels
    total = [
        v.diff(dim=1).square().sum((1, 2, 3, 4)) / energy,
        (along - v[:, :-1]).square().sum((1, 2, 3, 4)) / energy,
        s.diff(dim=1).square().sum((1, 2, 3)) / energy,
        (v.mean(1).square().sum(1).sqrt().sum((1, 2)) + 0.01 * n_pixels) / (s.mean(1).sum((1, 2)) + 0.01 * n_pixels),
    ]
    statistics = [torch.stack(total, 1)]
    coarse = avg_pool2d(torch.cat([flow, speed], 1), 2)
    n_coarse = coarse.shape[-1] * coarse.shape[-2]
    for radius in (1, 2):
        around = local_mean(coarse, radius)
        common, alone = around[:, :2].square().sum(1).sqrt(), around[:, 2]
        agreement = ((common * alone).sum((1, 2)) + 1e-3 * n_coarse) / (alone.square().sum((1, 2)) + 1e-3 * n_coarse)
        of_steps = of_snippets(agreement)
        statistics.append(torch.stack([of_steps.mean(1), of_steps.std(1), of_steps.amin(1)], 1))
    (ux, uy), (vx, vy) = gradient(flow[:, :1]), gradient(flow[:, 1:])
    strains = torch.cat([ux + vy, vx - uy, ux - vy, vx + uy], 1) * LENGTH  # divergence, curl, two shears
    statistics.append((of_snippets(strains.square().sum((2, 3))).sum(1) / energy[:, None]).sqrt())
    statistics.append(
        torch.log1p(20 * of_snippets(_levels(strains[..., ::2, ::2].abs(), (0.9, 0.99))).mean(1)).flatten(1)
    )
    return torch.cat(statistics, 1)


def _unexplained(first: Tensor, second: Tensor, raw: Tensor, camera: Tensor, n: int) -> Tensor:
    """26 numbers: brightness that flow, or the camera's motion alone, does not predict; and the camera's speed."""
    statistics = []
    for flow in (raw, camera):
        rest = rearrange((warp(second, flow) - first).abs(), "(snippet step) 1 h w -> snippet step h w", snippet=n)
        levels = torch.log1p(50 * _levels(rest, (0.5, 0.9, 0.95, 0.99, 0.999)))
        statistics += [levels.mean(1), levels.amax(1)]
    speed = camera.square().sum(1).sqrt().unflatten(0, (n, -1)).flatten(2) / LENGTH
    statistics.append(torch.log1p(4 * torch.stack([speed.mean((1, 2)), speed.amax((1, 2))], 1)))
    return torch.cat(statistics, 1)


def _levels(x: Tensor, quantiles: tuple[float, ...]) -> Tensor:
    """``(n, t, height, width)`` -> ``(n, t, quantile + 1)``: quantiles over space, and the mean."""
    ordered = x.flatten(2).sort(2).values
    at = [min(int(q * ordered.shape[2]), ordered.shape[2] - 1) for q in quantiles]
    return torch.cat([ordered[:, :, at], ordered.mean(2, keepdim=True)], 2)


def change_statistics(x: Tensor, n: int) -> Tensor:
    """``(snippet * frame, 3, side, side)`` of n snippets, 0 to 1 -> ``(snippet, 66)``: logarithms of mean changes."""
    statistics = []
    for _ in range(N_LEVELS):
        cells = avg_pool2d(_colours_and_edges(x), 2).unflatten(0, (n, -1))
        statistics += [(cells[:, lag:] - cells[:, :-lag]).abs().mean((1, 3, 4)) for lag in LAGS]
        x = avg_pool2d(x, 2)
    return torch.log(torch.cat(statistics, 1) + 3e-3)


def _colours_and_edges(x: Tensor) -> Tensor:
    """``(n, 3, side, side)`` -> ``(n, 11, side, side)``: grey, two differences of colours, edges of 8 directions."""
    grey = x.mean(1, keepdim=True)
    p = nn.functional.pad(grey, (1, 1, 1, 1), mode="replicate")
    right, down = p[..., 1:-1, 2:] - p[..., 1:-1, :-2], p[..., 2:, 1:-1] - p[..., :-2, 1:-1]
    falling, rising = (p[..., 2:, 2:] - p[..., :-2, :-2]) * 0.71, (p[..., 2:, :-2] - p[..., :-2, 2:]) * 0.71
    edges = torch.cat([sign * edge for edge in (right, down, falling, rising) for sign in (1, -1)], 1).clamp(min=0)
    return torch.cat([grey, x[:, :1] - x[:, 1:2], x[:, :2].mean(1, keepdim=True) - x[:, 2:], edges], 1)
