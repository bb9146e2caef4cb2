"""A visual and an audio extractor, as commands name them."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mmcl.errors import InputError
from mmcl.features.cards import ExtractorCard
from mmcl.features.extractors import REGISTRY, AudioExtractor, Extractor, VisualExtractor, names_of


@dataclass(frozen=True)
class ExtractorPair:
    """A visual and an audio extractor; either may be None.

    Attributes:
        visual: Makes features of frames.
        audio: Makes features of sound.
        cards: What travels with the features, by modality.
        device: Where they compute.
    """

    visual: VisualExtractor | None
    audio: AudioExtractor | None
    cards: dict[str, ExtractorCard]
    device: torch.device | str = "cpu"

    def to(self, device: torch.device | str) -> ExtractorPair:
        """The same on a device."""
        visual = None if self.visual is None else self.visual.to(device)
        audio = None if self.audio is None else self.audio.to(device)
        return ExtractorPair(visual, audio, self.cards, device)


def create_extractor(modality: str, name: str, **options: Any) -> Extractor:
    """An extractor by name.

    Args:
        modality: "visual" or "audio".
        name: One of ``names_of(modality)``, or ``package.module:Class``.
        options: weights ("" = the public ones), n_crops, pca; an option that is given must be taken.

    Raises:
        InputError: The name is unknown or of the other modality, an option has no effect, or weights are not there.

    Example:
        >>> create_extractor("audio", "log-mel").dim
        128
    """
    if ":" not in name and name not in REGISTRY.names():
        raise InputError(f"--{modality} {name}: expected one of {', '.join(names_of(modality))}")
    cls: Any = REGISTRY.resolve(name)
    if getattr(cls, "modality", modality) != modality:
        raise InputError(f"--{modality} {name}: expected one of {', '.join(names_of(modality))}")
    accepted = inspect.signature(cls).parameters
    usual = {"weights": "", "n_crops": 1, "pca": None}
    flags = {"weights": f"--{modality}-weights", "n_crops": "--crops", "pca": "--pca"}
    for key, value in options.items():
        if value != usual[key] and key not in accepted:
            raise InputError(f"{flags[key]}: {name} has no such option")
    extractor = cls(**{k: v for k, v in {**usual, **options}.items() if k in accepted})
    return extractor.eval()


def create_extractors(
    visual: str = "descriptors",
    audio: str = "log-mel",
    *,
    visual_weights: str = "",
    audio_weights: str = "",
    n_crops: int = 1,
    pca: Path | None = None,
) -> ExtractorPair:
    """Both extractors by name; "none" leaves a modality out.

    Args:
        visual: Name of the visual extractor.
        audio: Name of the audio extractor.
        visual_weights: A file, or an address with #sha256=HEX behind it; "" = the public weights.
        audio_weights: The same for the sound.
        n_crops: Crops of the picture, 1 or 5.
        pca: VGGish's PCA parameters.

    Raises:
        InputError: As ``create_extractor``, or both are "none".

    Example:
        >>> sorted(create_extractors().cards)
        ['audio', 'visual']
    """
    cards: dict[str, ExtractorCard] = {}
    of_picture: Any = None
    of_sound: Any = None
    if visual != "none":
        of_picture = create_extractor("visual", visual, weights=visual_weights, n_crops=n_crops)
        cards["visual"] = of_picture.card(visual)
    if audio != "none":
        of_sound = create_extractor("audio", audio, weights=audio_weights, pca=pca)
        cards["audio"] = of_sound.card(audio)
    if not cards:
        raise InputError("--visual none --audio none: nothing is left to extract")
    return ExtractorPair(of_picture, of_sound, cards)
