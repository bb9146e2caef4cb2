"""Bases of feature extractors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from mmcl.features.batching import SharedBatches
from mmcl.features.cards import ExtractorCard
from mmcl.features.weights import PublicWeights


class Extractor(nn.Module):
    """Turns snippets into rows of features. Its constructor is offered ``weights`` (a file or an address, "" = the
    public ones), ``n_crops``, ``pca`` and, where it was named NAME:MODEL, ``model``, and takes what it uses.

    Attributes:
        modality: "visual", "audio", or "any": then its constructor is offered ``modality``.
        version: Rises when the same input gives other features, so that those in a cache are made anew.
        dim: Channels of a row.
        blocks: Channels of parts of a row that are of different nature, in order; empty = one.
        spec: How it was named, with its options.
        weights_sha256: Of the weights' file, empty without weights.
        extra: Of this package that has what it needs, "" = nothing more.
        bf16: Computes in bfloat16 where PyTorch's autocast does; every extractor takes it, ``s3d(bf16=True)``.
        batches: Joins the snippets of files that are computed at the same time, on a GPU.
        fetched: What is fetched when it is used first, where a model's name says what; "" = ``public_weights``.

    Example:
        >>> from mmcl.features.extractor_set import create_extractor
        >>> create_extractor("audio", "log-mel").card("log-mel").dim
        128
    """

    modality: str
    version: int = 1
    dim: int
    blocks: tuple[int, ...] = ()
    spec: str = ""
    weights_sha256: str = ""
    extra: str = ""
    fetched: str = ""
    bf16: bool = False
    batches: SharedBatches | None = None
    n_crops: int = 1
    pca: object = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            return super().__call__(x).float()

    def rows(self, x: np.ndarray) -> np.ndarray:
        """Features of some snippets of a file, float32; several threads may ask at the same time.

        Args:
            x: ``(snippet, ...)``, frames or sound.
        """
        if self.batches is not None:
            return self.batches(x)
        return self(torch.from_numpy(x)).float().numpy()

    def card(self, name: str) -> ExtractorCard:
        """What travels with the features; name: how the extractor was named."""
        card = ExtractorCard(name, self.dim, self.weights_sha256, self.n_crops, self.pca is not None, self.blocks)
        return replace(card, precision="bf16") if self.bf16 else card

    @classmethod
    def public_weights(cls) -> PublicWeights | None:
        """Its public weights, None of an extractor without."""
        return None

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))


class VisualExtractor(Extractor):
    """forward: frames ``(snippet, 16, height, width, 3)`` uint8 -> ``(snippet, crop, dim)``.

    Attributes:
        short_side: Pixels of the shorter side that frames are scaled to.

    Example:
        >>> VisualExtractor.short_side
        256
    """

    modality = "visual"
    short_side: int = 256


class AudioExtractor(Extractor):
    """forward: the second of sound that ends with each snippet ``(snippet, 16000)`` -> ``(snippet, dim)``.

    Example:
        >>> AudioExtractor.modality
        'audio'
    """

    modality = "audio"
