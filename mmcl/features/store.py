"""Features on the disk, in XD-Violence's layout, with a card that says what made them.

store.json              what made the features
NAME__0.npy .. __4.npy  visual features of each crop (snippet, channel)
NAME__vggish.npy        audio features, named after their extractor
NAME__info.json         written last: what the video held, how long it is
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmcl.errors import DiskFullError, FileError, InputError
from mmcl.features.cards import ExtractorCard, card_from_dict
from mmcl.features.extract import Extracted
from mmcl.features.extractor_set import ExtractorSet
from mmcl.io import atomic_write, place_below, read_json, write_json
from mmcl.media.find import KnownContent, MediaFile
from mmcl.media.timing import SNIPPET_S

CARD = "store.json"
KEY_0 = "front" + "-ends"  # of stores that mmcl 0.1 made


def file_suffix(card: ExtractorCard) -> str:
    """What files of audio features end in: the extractor's name.

    Example:
        >>> file_suffix(ExtractorCard("vggish", 128))
        'vggish'
    """
    return card.name.replace(":", ".").replace("/", ".")


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


def open_store(folder: Path, cards: Mapping[str, ExtractorCard]) -> None:
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


class FolderStore:
    """A folder of features, named as the media files; it is made, or must have been made by the same extractors.

    Args:
        folder: Of the store.
        extractors: By modality.
        half: Keep float16.

    Raises:
        FileError: The folder holds features of other extractors.
    """

    def __init__(self, folder: Path, extractors: ExtractorSet, half: bool = False):
        self.folder, self.extractors, self.half = folder, extractors, half
        self._content = KnownContent()  # before they are decoded
        open_store(folder, extractors.cards)

    def missing(self, file: MediaFile) -> ExtractorSet | None:
        """The extractors where a file's features are not there, else None.

        Raises:
            InputError: The store holds those of another file of the same name.
        """
        name, info = file.name, info_path(self.folder, file.name)
        content = self._content.of(file.path)
        if not info.exists() and "/" in name:  # mmcl 0.1 named files of subfolders by their last name
            name = name.rsplit("/", 1)[1]
            info = info_path(self.folder, name)
            if not info.exists() or read_json(info).get("bytes") != file.path.stat().st_size:
                return self.extractors
        if not info.exists():
            return self.extractors
        held = read_json(info)
        size = file.path.stat().st_size
        if held.get("bytes") != size or held.get("content", content) != content:
            raise InputError(
                f"{file.path}: the store holds features of another file of this name ({held.get('bytes')} bytes); "
                f"remove {info.name} to extract it anew, or choose another --out"
            )
        of_streams = {m for m in held.get("streams", ()) if m in self.extractors.cards}
        names = [n for m in of_streams for n in feature_files(name, m, self.extractors.cards)]
        return None if all((self.folder / n).exists() for n in names) else self.extractors

    def write(self, file: MediaFile, extracted: Extracted, extractors: ExtractorSet) -> None:
        """Write a file's features, each file whole, the info last.

        Args:
            file: The media file.
            extracted: Its features.
            extractors: What made them: those of the store.

        Raises:
            FileError: The file changed while it was decoded.
            StoreError: The store cannot be written.
        """
        content = self._content.require_unchanged(file.path)
        features = {m: x.astype(np.float16 if self.half else np.float32) for m, x in extracted.features.items()}
        identity = {"bytes": file.path.stat().st_size, "content": content}
        info = {**describe_extracted(file, extracted, list(features)), **identity}
        write_features(self.folder, file.name, features, extractors.cards, info)


def describe_extracted(file: MediaFile, extracted: Extracted, streams: Sequence[str]) -> dict[str, Any]:
    """What the info of a file says: its name, length and streams."""
    return {
        "file": file.path.name,
        "snippets": extracted.n_snippets,
        "seconds": round(extracted.n_snippets * SNIPPET_S, 3),
        "streams": list(streams),
    }


def feature_files(name: str, modality: str, cards: Mapping[str, ExtractorCard]) -> list[str]:
    """Names of the files with a recording's features.

    Example:
        >>> feature_files("a", "visual", {"visual": ExtractorCard("i3d", 1024, crops=2)})
        ['a__0.npy', 'a__1.npy']
    """
    if modality == "visual":
        return [f"{name}__{c}.npy" for c in range(cards["visual"].crops)]
    return [f"{name}__{file_suffix(cards[modality])}.npy"]


def info_path(folder: Path, name: str) -> Path:
    """The file that says what a video held."""
    return folder / f"{name}__info.json"


def write_features(
    folder: Path,
    name: str,
    features: Mapping[str, np.ndarray],
    cards: Mapping[str, ExtractorCard],
    info: Mapping[str, Any],
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
    for m, x in features.items():
        names = feature_files(name, m, cards)
        files |= {n: x[:, c] for c, n in enumerate(names)} if m == "visual" else {names[0]: x}
    try:
        place_below(folder, name)
        for file_name, x in files.items():
            atomic_write(folder / file_name, partial(save_array, x))
        write_json(info_path(folder, name), info)
    except DiskFullError:
        raise
    except FileError as error:
        raise StoreError(error.path, *error.parts) from error


def save_array(x: np.ndarray, path: Path) -> None:
    """Write a ``.npy`` file, whatever its name ends in."""
    with open(path, "wb") as file:  # np.save would add .npy to the name
        np.save(file, np.ascontiguousarray(x))
