"""Optical flow of small grey pictures, and the motion of the camera in it."""

from __future__ import annotations

import torch
from einops import einsum, rearrange
from torch import Tensor, nn

avg_pool2d = nn.functional.avg_pool2d


def local_mean(x: Tensor, radius: int) -> Tensor:
    """Mean around each pixel under a triangular window, ``(n, channel, height, width)`` to the same shape.

    Args:
        x: Pictures.
        radius: Pixels; the window is two boxes of ``2 radius + 1``.
    """
    k = 2 * radius + 1
    for _ in range(2):
        x = avg_pool2d(x, (1, k), 1, (0, radius), count_include_pad=False)
        x = avg_pool2d(x, (k, 1), 1, (radius, 0), count_include_pad=False)
    return x


def gradient(x: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences along width and along height, edges repeated."""
    p = nn.functional.pad(x, (1, 1, 1, 1), mode="replicate")
    return (p[..., 1:-1, 2:] - p[..., 1:-1, :-2]) / 2, (p[..., 2:, 1:-1] - p[..., :-2, 1:-1]) / 2


def warp(x: Tensor, flow: Tensor) -> Tensor:
    """Each pixel from where its flow points to.

    Args:
        x: ``(n, channel, height, width)``.
        flow: ``(n, 2, height, width)``, pixels to the right and down.

    Example:
        >>> x = torch.arange(4.0).view(1, 1, 1, 4).expand(1, 1, 2, 4)
        >>> right = torch.stack([torch.ones(2, 4), torch.zeros(2, 4)])[None]
        >>> warp(x, right)[0, 0, 0].round().tolist()
        [1.0, 2.0, 3.0, 3.0]
    """
    h, w = x.shape[-2:]
    ys, xs = torch.meshgrid(torch.arange(h, device=x.device), torch.arange(w, device=x.device), indexing="ij")
    at = torch.stack([(xs + flow[:, 0]) * (2 / (w - 1)) - 1, (ys + flow[:, 1]) * (2 / (h - 1)) - 1], -1)
    return nn.functional.grid_sample(x, at, mode="bilinear", padding_mode="border", align_corners=True)


def optical_flow(
    first: Tensor, second: Tensor, *, radius: int = 2, damping: float = 2e-4, iterations: tuple[int, ...] = (2, 2, 1)
) -> Tensor:
    """Dense flow by damped least squares in windows, from coarse to fine.

    Args:
        first: ``(n, 1, height, width)``, 0 to 1.
        second: The same a moment later.
        radius: Of the windows [pixels].
        damping: Added to the squared gradients: where nothing is seen, nothing moves.
        iterations: Of each level, the coarsest first; each level halves the size.

    Returns:
        ``(n, 2, height, width)``, pixels to the right and down.

    Reference:
        Lucas and Kanade 1981, in the pyramid of Bouguet 2001.
    """
    levels = [(first, second)]
    for _ in iterations[1:]:
        levels.append((avg_pool2d(levels[-1][0], 2), avg_pool2d(levels[-1][1], 2)))
    flow = first.new_zeros(len(first), 2, *levels[-1][0].shape[-2:])
    for (x, y), n in zip(reversed(levels), iterations, strict=True):
        if x.shape[-2:] != flow.shape[-2:]:
            flow = 2 * nn.functional.interpolate(flow, x.shape[-2:], mode="bilinear", align_corners=False)
        dx, dy = gradient(x)
        xx, xy, yy = local_mean(torch.cat([dx * dx, dx * dy, dy * dy], 1), radius).split(1, 1)
        xx, yy = xx + damping, yy + damping
        determinant = xx * yy - xy * xy
        for _ in range(n):
            error = warp(y, flow) - x
            ex, ey = local_mean(torch.cat([dx * error, dy * error], 1), radius).split(1, 1)
            step = torch.cat([xy * ey - yy * ex, xy * ex - xx * ey], 1) / determinant
            flow = flow + step.clamp(-2, 2)
        flow = avg_pool2d(flow, 3, 1, 1, count_include_pad=False)
    return flow


def camera_motion(flow: Tensor, rounds: int = 5, stride: int = 7) -> Tensor:
    """The affine flow that most of the picture shares, by reweighted least squares.

    Args:
        flow: ``(n, 2, height, width)``.
        rounds: Of reweighting.
        stride: Every so many pixels are fitted.

    Returns:
        Of the shape of ``flow``.

    Example:
        >>> still = camera_motion(torch.zeros(1, 2, 8, 8))
        >>> float(still.abs().max())
        0.0
    """
    n, _, h, w = flow.shape
    ys, xs = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
    basis = rearrange(torch.stack([torch.ones_like(xs), xs, ys], -1), "h w term -> (h w) term").to(flow)
    few, seen = basis[::stride], flow.flatten(2)[:, :, ::stride]
    weight = flow.new_ones(n, len(few))
    damping = 1e-3 * torch.eye(3).to(flow)
    for _ in range(rounds):
        left = einsum(weight, few, few, "n p, p i, p j -> n i j") + damping
        right = einsum(weight, few, seen, "n p, p i, n c p -> n i c")
        terms = torch.linalg.solve(left, right)
        rest = (seen - einsum(few, terms, "p i, n i c -> n c p")).square().sum(1)
        weight = (1 + rest / (rest.median(1, keepdim=True).values + 1e-3)).pow(-2)
    return einsum(basis, terms, "p i, n i c -> n c p").view_as(flow)
