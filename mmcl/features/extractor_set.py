"""The extractors of picture and sound, as commands name them; several of one modality stand side by side."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from mmcl.config.specs import parse_spec
from mmcl.errors import InputError
from mmcl.features.batching import SharedBatches
from mmcl.features.cards import ExtractorCard, join_cards
from mmcl.features.extractors import REGISTRY, Extractor, names_of

BATCH = 16  # snippets that an extractor computes at once
JOIN = "+"  # between the names of extractors that stand side by side


@dataclass(frozen=True)
class ExtractorSet:
    """Extractors by modality; the rows of several are concatenated.

    Attributes:
        parts: ``{"visual" or "audio": extractors}``.
        part_cards: What each of them is.
        device: Where they compute.
    """

    parts: Mapping[str, tuple[Extractor, ...]]
    part_cards: Mapping[str, tuple[ExtractorCard, ...]]
    device: torch.device | str = "cpu"
    cards: Mapping[str, ExtractorCard] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cards", {m: join_cards(cards) for m, cards in self.part_cards.items()})

    def to(self, device: torch.device | str) -> ExtractorSet:
        """The same on a device. A GPU's convolutions then keep float32, as a CPU's: bf16 is the choice of who wants
        them fast. Files that are computed at the same time then share batches."""
        kind = torch.device(device).type
        if kind == "cuda":
            torch.backends.cudnn.allow_tf32 = False
        parts = {m: tuple(e.to(device) for e in extractors) for m, extractors in self.parts.items()}
        for extractor in (e for extractors in parts.values() for e in extractors):
            extractor.batches = SharedBatches(extractor, BATCH, device) if kind != "cpu" else None
        return ExtractorSet(parts, self.part_cards, device)


def create_extractor(modality: str, name: str, prefix: str = "--", **options: Any) -> Extractor:
    """An extractor by name.

    Args:
        modality: "visual" or "audio".
        name: One of ``names_of(modality)``, NAME:MODEL (``hf:OWNER/NAME``), or ``package.module:Class``; options may
            follow, ``i3d(weights="rgb.pt")``, for all of them also ``s3d(bf16=True)``.
        prefix: Of the option that names extractors, for errors.
        options: weights ("" = the public ones), n_crops, pca; an option that is given must be taken.

    Raises:
        InputError: The name is unknown or of the other modality, an option has no effect, or weights are not there.

    Example:
        >>> create_extractor("audio", "log-mel").dim
        128
    """
    spec = parse_spec(name)
    first, _, model = spec.name.partition(":")
    known = REGISTRY.names()
    if spec.name not in known and first not in known and (":" not in spec.name or "." not in first):
        raise InputError(f"{prefix}{modality} {name}: expected one of {', '.join(names_of(modality))}")
    takes_model = bool(model) and first in known
    cls: Any = REGISTRY.resolve(first if takes_model else spec.name)
    if getattr(cls, "modality", "") not in (modality, "any"):
        raise InputError(f"{prefix}{modality} {name}: expected one of {', '.join(names_of(modality))}")
    accepted = inspect.signature(cls).parameters
    usual = {"weights": "", "n_crops": 1, "pca": None}
    flags = {"weights": f"--{modality}-weights", "n_crops": "--crops", "pca": "--pca"}
    for key, value in options.items():
        if value != usual[key] and key not in accepted:
            raise InputError(f"{flags[key]}: {name} has no such option")
    offered = {**usual, **options, "modality": modality, **({"model": model} if takes_model else {})}
    if takes_model and "model" not in accepted:
        raise InputError(f"{prefix}{modality} {name}: {first} takes no model; expected {first}")
    own = {k: v for k, v in spec.options.items() if k != "bf16"}
    try:
        extractor = cls(**{**{k: v for k, v in offered.items() if k in accepted}, **own})
    except TypeError as error:
        raise InputError(f"{prefix}{modality} {name}: {error}; it takes {', '.join(accepted) or 'nothing'}") from None
    extractor.spec, extractor.bf16 = name, bool(spec.options.get("bf16", False))
    return extractor.eval()


def create_extractors(
    visual: str | Sequence[str] = "descriptors",
    audio: str | Sequence[str] = "log-mel",
    *,
    visual_weights: str = "",
    audio_weights: str = "",
    n_crops: int = 1,
    pca: Path | None = None,
    audio_track: str = "default",
    prefix: str = "--",
) -> ExtractorSet:
    """Extractors of both modalities by name; "none" leaves a modality out.

    Args:
        visual: Name of the visual extractor, or of several that stand side by side (also joined by "+").
        audio: The same for the sound.
        visual_weights: A file, or an address with #sha256=HEX behind it; "" = the public weights.
        audio_weights: The same for the sound.
        n_crops: Crops of the picture, 1 or 5.
        pca: VGGish's PCA parameters.
        audio_track: Which sound track of a file is heard: "default", the one that the file marks so, else the first;
            "mix", all together; or its number, from 1.
        prefix: Of the options that name extractors, for errors.

    Raises:
        InputError: As ``create_extractor``, or both are "none".

    Example:
        >>> create_extractors(["descriptors"], "log-mel").cards["visual"].dim
        1024
    """
    if audio_track not in ("default", "mix") and not (audio_track.isdigit() and int(audio_track) > 0):
        raise InputError(f"{prefix}audio-track {audio_track}: expected default, mix or a number from 1")
    parts: dict[str, tuple[Extractor, ...]] = {}
    cards: dict[str, tuple[ExtractorCard, ...]] = {}
    offered: dict[str, dict[str, Any]] = {
        "visual": {"weights": visual_weights, "n_crops": n_crops},
        "audio": {"weights": audio_weights, "pca": pca},
    }
    for m, given in (("visual", visual), ("audio", audio)):
        names = split_names(given)
        if names == ["none"] or not names:
            continue
        if "none" in names or len(set(names)) < len(names):
            raise InputError(f"{prefix}{m} {' '.join(names)}: expected extractors, each once, or none alone")
        if len(names) > 1 and (offered[m]["weights"] or offered[m].get("pca")):
            raise InputError(f"--{m}-weights: of several extractors, write NAME(weights='FILE') instead")
        parts[m] = tuple(create_extractor(m, name, prefix, **offered[m]) for name in names)
        cards[m] = tuple(e.card(parse_spec(name).name) for e, name in zip(parts[m], names, strict=True))
    if "audio" in cards:
        cards["audio"] = tuple(replace(card, track=audio_track) for card in cards["audio"])
    if not parts:
        raise InputError("--visual none --audio none: nothing is left to extract")
    return ExtractorSet(parts, cards)


def split_names(names: str | Sequence[str]) -> list[str]:
    """Names of extractors, also where they are joined.

    Example:
        >>> split_names("efficientnet-lite0+descriptors")
        ['efficientnet-lite0', 'descriptors']
    """
    given = [names] if isinstance(names, str) else list(names)
    return [part for name in given for part in (name.split(JOIN) if "(" not in name else [name]) if part]


def extras_of(names: Sequence[str]) -> list[str]:
    """The extras of this package that extractors need.

    Args:
        names: Of extractors; those of other packages need none of ours.

    Example:
        >>> extras_of(["descriptors", "efficientnet-lite0", "hf:facebook/dinov2-small"])
        ['hf', 'pretrained']
    """
    first = {parse_spec(name).name.partition(":")[0] for part in names for name in split_names(part)}
    classes: list[Any] = [REGISTRY.resolve(name) for name in first & set(REGISTRY.names())]
    return sorted({cls.extra for cls in classes if cls.extra})
