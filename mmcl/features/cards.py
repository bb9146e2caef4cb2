"""What made features: travels with them and with every model trained on them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
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

    Example:
        >>> ExtractorCard("i3d", 1024).differs_from(ExtractorCard("s3d", 1024))
        'name i3d, not s3d'
    """

    name: str
    dim: int
    weights: str = ""
    crops: int = 1
    pca: bool = False

    def differs_from(self, other: ExtractorCard) -> str:
        """How it differs, for an error; empty if features of one may be used as the other's."""
        for key, ours in asdict(self).items():
            theirs = getattr(other, key)
            unknown = key == "weights" and not (ours and theirs)
            if key != "crops" and ours != theirs and not unknown:
                return f"{key} {ours}, not {theirs}"
        return ""


def card_from_dict(content: Any, where: Path | str) -> ExtractorCard:
    """A card from JSON.

    Raises:
        InputError: The content is no card.

    Example:
        >>> card_from_dict({"name": "i3d", "dim": 1024}, "store.json").crops
        1
    """
    try:
        return ExtractorCard(**content)
    except TypeError as error:
        raise InputError(f"{where}: not the card of a feature extractor ({error})") from error
