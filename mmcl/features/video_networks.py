"""Video networks as frozen front-ends: 16 frames in, the features before the classifier out.

I3D (Carreira and Zisserman, CVPR 2017), the inflated Inception-v1, is built here in the key layout of
the pytorch-i3d port's state dict; the others are torchvision's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn


class FrameCrops(nn.Module):
    """Frames ``(snippet, 16, height, width, 3)`` uint8 -> ``(snippet * crop, 3, 16, side, side)``.

    One crop is the centre, five are the centre and the corners (top left, top right, bottom left,
    bottom right). Frames must be at least as large as the crop.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, side: int, n_crops: int, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
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


class VideoNetwork(nn.Module):
    """A body that makes ``(clip, dim)`` of ``(clip, 3, 16, side, side)``, with its crops before it.

    forward: frames ``(snippet, 16, height, width, 3)`` uint8 -> ``(snippet, crop, dim)``.
    """

    weights = ""

    def __init__(self, name: str, body: nn.Module, dim: int, short_side: int, crops: FrameCrops):
        super().__init__()
        self.name, self.dim, self.short_side, self.n_crops = name, dim, short_side, crops.n_crops
        self.crops, self.body = crops, body

    def forward(self, frames: Tensor) -> Tensor:
        return self.body(self.crops(frames)).view(len(frames), self.n_crops, self.dim)


# --- I3D -----------------------------------------------------------------------------------------


def pad_same(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Zeros around so that the output is ceil(input / stride) long, the odd one behind (TensorFlow)."""
    pads: list[int] = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        total = max(k - (size % s or s), 0)
        pads += [total // 2, total - total // 2]
    return nn.functional.pad(x, pads)


class Unit(nn.Module):
    def __init__(self, n_in: int, n_out: int, kernel: int = 1, stride: int = 1):
        super().__init__()
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(n_in, n_out, self.kernel, self.stride, bias=False)
        self.bn = nn.BatchNorm3d(n_out, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv3d(pad_same(x, self.kernel, self.stride))))


class Pool(nn.Module):
    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]):
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.max_pool3d(pad_same(x, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    """Inception's four branches; widths in the paper's order."""

    def __init__(self, n_in: int, widths: tuple[int, int, int, int, int, int]):
        super().__init__()
        one, three_in, three, five_in, five, pooled = widths
        self.b0 = Unit(n_in, one)
        self.b1a, self.b1b = Unit(n_in, three_in), Unit(three_in, three, 3)
        self.b2a, self.b2b = Unit(n_in, five_in), Unit(five_in, five, 3)
        self.b3a, self.b3b = Pool((3, 3, 3), (1, 1, 1)), Unit(n_in, pooled)

    def forward(self, x: Tensor) -> Tensor:
        branches = (self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x)))
        return torch.cat(branches, 1)


class I3d(nn.Sequential):
    """``(clip, 3, frame, 224, 224)`` in [-1, 1] -> ``(clip, 1024)``, the mean over what is left of
    space and time."""

    def __init__(self) -> None:
        super().__init__()
        pool_space = lambda: Pool((1, 3, 3), (1, 2, 2))
        mixed = {
            "3b": (192, (64, 96, 128, 16, 32, 32)),
            "3c": (256, (128, 128, 192, 32, 96, 64)),
            "4b": (480, (192, 96, 208, 16, 48, 64)),
            "4c": (512, (160, 112, 224, 24, 64, 64)),
            "4d": (512, (128, 128, 256, 24, 64, 64)),
            "4e": (512, (112, 144, 288, 32, 64, 64)),
            "4f": (528, (256, 160, 320, 32, 128, 128)),
            "5b": (832, (256, 160, 320, 32, 128, 128)),
            "5c": (832, (384, 192, 384, 48, 128, 128)),
        }
        self.add_module("Conv3d_1a_7x7", Unit(3, 64, 7, 2))
        self.add_module("MaxPool3d_2a_3x3", pool_space())
        self.add_module("Conv3d_2b_1x1", Unit(64, 64))
        self.add_module("Conv3d_2c_3x3", Unit(64, 192, 3))
        self.add_module("MaxPool3d_3a_3x3", pool_space())
        for name, (n_in, widths) in mixed.items():
            if name == "4b":
                self.add_module("MaxPool3d_4a_3x3", Pool((3, 3, 3), (2, 2, 2)))
            if name == "5b":
                self.add_module("MaxPool3d_5a_2x2", Pool((2, 2, 2), (2, 2, 2)))
            self.add_module(f"Mixed_{name}", Mixed(n_in, widths))

    def forward(self, clip: Tensor) -> Tensor:
        return super().forward(clip).mean((2, 3, 4))


def i3d(n_crops: int) -> VideoNetwork:
    half = (0.5, 0.5, 0.5)
    return VideoNetwork("i3d", I3d(), 1024, 256, FrameCrops(224, n_crops, half, half))


# --- torchvision's -------------------------------------------------------------------------------

# name: builder in torchvision, its weights, the classifier to leave out, dim
TORCHVISION = {
    "s3d": ("s3d", "S3D_Weights", "classifier", 1024),
    "r2plus1d": ("r2plus1d_18", "R2Plus1D_18_Weights", "fc", 512),
    "mvit": ("mvit_v2_s", "MViT_V2_S_Weights", "head", 768),
    "swin3d": ("swin3d_t", "Swin3D_T_Weights", "head", 768),
}


def torchvision_network(name: str, n_crops: int) -> VideoNetwork:
    from torchvision.models import video

    builder, weights, classifier, dim = TORCHVISION[name]
    body = getattr(video, builder)(weights=None)
    setattr(body, classifier, nn.Identity())
    wanted = getattr(video, weights).DEFAULT.transforms()
    crops = FrameCrops(wanted.crop_size[0], n_crops, wanted.mean, wanted.std)
    return VideoNetwork(name, body, dim, min(wanted.resize_size), crops)


def torchvision_url(name: str) -> str:
    from torchvision.models import video

    return getattr(video, TORCHVISION[name][1]).DEFAULT.url
