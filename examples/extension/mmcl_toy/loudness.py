"""A feature extractor: how loud each sixteenth of the sound is."""

from __future__ import annotations

from torch import Tensor

from mmcl.features.extractors import AudioExtractor


class Loudness(AudioExtractor):
    """Root mean square of 16 stretches of the second that ends with each snippet."""

    dim = 16

    def forward(self, sound: Tensor) -> Tensor:
        return sound.unflatten(1, (16, -1)).square().mean(-1).sqrt()
