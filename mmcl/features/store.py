"""Features on the disk, in XD-Violence's layout, with a card that says what made them.

store.json              what made the features
NAME__0.npy .. __4.npy  visual features of each crop (snippet, channel)
NAME__vggish.npy        audio features, named after their extractor
NAME__info.json         written last: what the video held, how long it is
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from mmcl.errors import FileError
from mmcl.features.cards import ExtractorCard, card_from_dict
from mmcl.io import atomic_write, read_json, write_json

CARD = "store.json"
KEY_0 = "front" + "-ends"  # of stores that mmcl 0.1 made


def file_suffix(card: ExtractorCard) -> str:
    """What files of audio features end in: the extractor's name.

    Example:
        >>> file_suffix(ExtractorCard("vggish", 128))
        'vggish'
    """
    return card.name.replace(":", ".")


class StoreError(FileError):
    """The store itself cannot be written."""


def read_cards(folder: Path) -> dict[str, ExtractorCard]:
    """``{modality: card}`` of the store, or of the stores in the folders below.

    Args:
        folder: Of features.

    Returns:
        Empty for a folder without a card, as the data set's own features come.

    Raises:
        FileError: A card is not readable, or two disagree.
    """
    cards: dict[str, ExtractorCard] = {}
    for path in [folder / CARD] if (folder / CARD).exists() else sorted(folder.glob(f"*/{CARD}")):
        content = read_json(path)
        known = content.get("extractors", content.get(KEY_0)) if isinstance(content, dict) else None
        if not isinstance(known, dict):
            raise FileError(path, "names no extractors", "extract the features again")
        for m, c in known.items():
            card = card_from_dict(c, path)
            difference = m in cards and cards[m].differs_from(card)
            if difference:
                raise FileError(path, f"holds features of another extractor ({difference})", "extract them alike")
            cards[m] = card
    return cards


def open_store(folder: Path, cards: dict[str, ExtractorCard]) -> None:
    """Make the store, or check that an old one was made by the same extractors."""
    known = read_cards(folder)
    for m in known.keys() | cards.keys() if known else ():
        ours, theirs = cards.get(m), known.get(m)
        difference = "" if ours is None or theirs is None else theirs.differs_from(ours)
        if ours is None or theirs is None or difference or ours.crops != theirs.crops:
            what = difference or ("other crops" if ours and theirs else f"other streams ({' and '.join(known)})")
            raise FileError(folder / CARD, f"the store holds features of {what}", "choose another --out")
    if not known:
        write_json(folder / CARD, {"extractors": {m: asdict(c) for m, c in cards.items()}})


def info_path(folder: Path, name: str) -> Path:
    """The file that says what a video held."""
    return folder / f"{name}__info.json"


def write_features(
    folder: Path, name: str, features: dict[str, np.ndarray], cards: dict[str, ExtractorCard], info: dict
) -> None:
    """Write the features of a file, each file whole, the info last.

    Args:
        folder: Of the store.
        name: Of the media file, without its ending.
        features: visual ``(snippet, crop, channel)``, audio ``(snippet, channel)``.
        cards: What made them.
        info: What the media file held.

    Raises:
        StoreError: The store cannot be written.
    """
    files: dict[str, np.ndarray] = {}
    if "visual" in features:
        files = {f"{name}__{c}.npy": features["visual"][:, c] for c in range(features["visual"].shape[1])}
    if "audio" in features:
        files[f"{name}__{file_suffix(cards['audio'])}.npy"] = features["audio"]
    try:
        for file_name, x in files.items():
            atomic_write(folder / file_name, partial(_save, x))
        write_json(info_path(folder, name), info)
    except FileError as error:
        raise StoreError(error.path, *error.parts) from error


def _save(x: np.ndarray, path: Path) -> None:
    with open(path, "wb") as file:  # np.save would add .npy to the name
        np.save(file, np.ascontiguousarray(x))
