"""What made features: travels with them and with every model trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mmcl.errors import InputError


@dataclass(frozen=True)
class ExtractorCard:
    """What made a modality's features.

    Attributes:
        name: Of the extractor (``mmcl.features.extractors``).
        dim: Channels of a row.
        weights: SHA-256 of the weights' file, empty where there is none or it is not known.
        crops: Crops of the picture.
        pca: Whitened and quantized (VGGish).
        track: Which sound track was heard: "default", "mix" or its number.
        blocks: Channels of parts that are of different nature, in order; empty = one.
        precision: "float32" or "bf16", what it was computed in.

    Example:
        >>> ExtractorCard("i3d", 1024).differs_from(ExtractorCard("s3d", 1024))
        'name i3d, not s3d'
    """

    name: str
    dim: int
    weights: str = ""
    crops: int = 1
    pca: bool = False
    blocks: tuple[int, ...] = ()
    track: str = "default"
    precision: str = "float32"

    def differs_from(self, other: ExtractorCard) -> str:
        """How it differs, for an error; empty if features of one may be used as the other's."""
        for key, ours in asdict(self).items():
            theirs = getattr(other, key)
            unknown = key == "weights" and not (ours and theirs)
            if key not in ("crops", "blocks") and ours != theirs and not unknown:
                return f"{key} {ours}, not {theirs}"
        return ""


def join_cards(cards: Sequence[ExtractorCard]) -> ExtractorCard:
    """The card of features that several extractors made side by side.

    Args:
        cards: One or more.

    Raises:
        InputError: They were made of different crops.

    Example:
        >>> join_cards([ExtractorCard("s3d", 1024), ExtractorCard("descriptors", 1024)]).blocks
        (1024, 1024)
    """
    if len(cards) == 1:
        return cards[0]
    crops = {card.crops for card in cards}
    if len(crops) > 1:
        raise InputError(f"extractors {', '.join(c.name for c in cards)}: expected the same crops of each")
    weights = "+".join(card.weights for card in cards) if any(card.weights for card in cards) else ""
    return ExtractorCard(
        "+".join(card.name for card in cards),
        sum(card.dim for card in cards),
        weights,
        crops.pop(),
        any(card.pca for card in cards),
        tuple(n for card in cards for n in card.blocks or (card.dim,)),
        cards[0].track,
        "bf16" if any(card.precision == "bf16" for card in cards) else "float32",
    )


def card_from_dict(content: Any, where: Path | str) -> ExtractorCard:
    """A card from JSON.

    Raises:
        InputError: The content is no card.

    Example:
        >>> card_from_dict({"name": "i3d", "dim": 1024}, "store.json").crops
        1
    """
    try:
        card = ExtractorCard(**content)
        return replace(card, blocks=tuple(card.blocks))
    except TypeError as error:
        raise InputError(f"{where}: not the card of a feature extractor ({error})") from error
