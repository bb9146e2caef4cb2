"""Audio features that need no weights: loudness in bands."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.features import mel
from mmcl.features.extractors._base import AudioExtractor
from mmcl.media.timing import SNIPPET_S


class LogMel(AudioExtractor):
    """128 numbers a snippet: mean and spread of 64 log-mel bands over the snippet's own 2/3 s.

    forward: the second of sound that ends with each snippet ``(snippet, 16000)`` -> ``(snippet, 128)``.

    Example:
        >>> LogMel()(torch.zeros(2, 16000)).shape
        torch.Size([2, 128])
    """

    dim = 128

    def forward(self, sound: Tensor) -> Tensor:
        own = sound[:, -(round(SNIPPET_S * mel.HZ) + mel.WINDOW - mel.HOP) :]
        bands = (mel.log_mel(own) + 4.6) / 4  # silence is 0
        return torch.cat([bands.mean(1), bands.std(1)], 1)
