"""Features of a user's own media files, kept by content: a folder an extractor, shared by all data sets and runs.

    visual-efficientnet-lite0-1c9d52f0/CONTENT__0.npy
    audio-log-mel-a5bd8c41/CONTENT__log-mel.npy
    .../CONTENT__info.json   written last

CONTENT tells the file's content (``media.find.content_id``), so that renamed, moved and copied files are found
again and a changed file is not.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np

from mmcl.features.cards import ExtractorCard
from mmcl.features.extract import Extracted
from mmcl.features.extractor_set import ExtractorSet
from mmcl.features.extractors import Extractor
from mmcl.features.store import describe_extracted, feature_files, info_path, write_features
from mmcl.io import read_json
from mmcl.media.find import KnownContent, MediaFile


class FeatureCache:
    """A ``Store`` by content.

    Args:
        folder: Of the cache.
        extractors: Whose features are asked for.
    """

    def __init__(self, folder: Path, extractors: ExtractorSet):
        self.folder, self.extractors = folder, extractors
        self._places = {
            e: folder / _folder_name(m, e, c)
            for m, of_modality in extractors.parts.items()
            for e, c in zip(of_modality, extractors.part_cards[m], strict=True)
        }
        self._content = KnownContent()

    def missing(self, file: MediaFile) -> ExtractorSet | None:
        """The extractors whose features of a file are not there; None where nothing is missing."""
        content = self._content.of(file.path)
        parts: dict[str, tuple[Extractor, ...]] = {}
        cards: dict[str, tuple[ExtractorCard, ...]] = {}
        for m, extractors in self.extractors.parts.items():
            both = list(zip(extractors, self.extractors.part_cards[m], strict=True))
            absent = [(e, c) for e, c in both if not self._has(content, m, e, c)]
            if absent:
                parts[m], cards[m] = tuple(e for e, _ in absent), tuple(c for _, c in absent)
        return ExtractorSet(parts, cards, self.extractors.device) if parts else None

    def write(self, file: MediaFile, extracted: Extracted, extractors: ExtractorSet) -> None:
        """Keep the features of a file.

        Args:
            file: The media file.
            extracted: Its features.
            extractors: What made them, some of the cache's.

        Raises:
            FileError: The file changed while it was read.
        """
        content = self._content.require_unchanged(file.path)
        held = [m for m, s in (("visual", extracted.media.video), ("audio", extracted.media.audio)) if s is not None]
        for m, of_modality in extractors.parts.items():
            for number, (extractor, card) in enumerate(zip(of_modality, extractors.part_cards[m], strict=True)):
                features = {m: extracted.parts[m][number].astype(np.float32)} if m in extracted.parts else {}
                info = describe_extracted(file, extracted, held)
                write_features(self._places[extractor], content, features, {m: card}, info)

    def files(self, path: Path) -> dict[str, list[Path]]:
        """The files with the features of each extractor, by modality, of the streams that a media file holds.

        Args:
            path: A media file whose features are there.
        """
        content = self._content.of(path)
        files: dict[str, list[Path]] = {}
        for m, extractors in self.extractors.parts.items():
            cards = self.extractors.part_cards[m]
            places = [self._places[e] for e in extractors]
            if m in read_json(info_path(places[0], content))["streams"]:
                files[m] = [
                    place / feature_files(content, m, {m: card})[0] for place, card in zip(places, cards, strict=True)
                ]
        return files

    def _has(self, content: str, m: str, extractor: Extractor, card: ExtractorCard) -> bool:
        place = self._places[extractor]
        info = info_path(place, content)
        if not info.exists():
            return False
        files = feature_files(content, m, {m: card}) if m in read_json(info)["streams"] else []
        return all((place / name).exists() for name in files)


def _folder_name(modality: str, extractor: Extractor, card: ExtractorCard) -> str:
    made_by = json.dumps([asdict(card), extractor.version, extractor.spec], sort_keys=True)
    slug = re.sub(r"[^A-Za-z0-9.-]+", "-", card.name)[:60]
    return f"{modality}-{slug}-{hashlib.sha256(made_by.encode()).hexdigest()[:8]}"
