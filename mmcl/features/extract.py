"""Features of one video or audio file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mmcl.errors import FileError
from mmcl.features.extractor_set import BATCH, ExtractorSet
from mmcl.features.extractors import Extractor
from mmcl.media.probe import Media
from mmcl.media.snippets import TIMEOUT_S, Snippet, SnippetReader, read_snippets
from mmcl.media.timing import SNIPPET_S

BLOCK = 1024
MAX_LEFT_OUT_S = 1.0  # of sound behind the picture, more is told


@dataclass(frozen=True)
class Extracted:
    """A file's features, only of the streams that the file holds.

    Attributes:
        media: What the file holds.
        parts: By modality, of each extractor: visual ``(snippet, crop, channel)``, audio ``(snippet, channel)``.
        notes: What the user should know of the file.
    """

    media: Media
    parts: dict[str, tuple[np.ndarray, ...]]
    notes: tuple[str, ...] = ()

    @property
    def features(self) -> dict[str, np.ndarray]:
        """By modality, those of its extractors side by side."""
        return {m: x[0] if len(x) == 1 else np.concatenate(x, -1) for m, x in self.parts.items()}

    @property
    def n_snippets(self) -> int:
        """Snippets of the file."""
        return len(next(iter(self.parts.values()))[0]) if self.parts else 0


def extract_file(
    path: Path,
    extractors: ExtractorSet,
    *,
    timeout_s: float = TIMEOUT_S,
    progress: Callable[[int], object] | None = None,
    may_be_empty: bool = False,
    growing: bool = False,
    on_features: Callable[[dict[str, np.ndarray]], object] | None = None,
) -> Extracted:
    """Features of every snippet of a file; a few snippets at a time are in memory.

    The file is decoded once for each size of the picture that extractors take, so that what one makes does not depend
    on the others.

    Args:
        path: A media file.
        extractors: By modality.
        timeout_s: Seconds without progress after which the decoder is given up.
        progress: Is called with the number of snippets of every batch that is done.
        may_be_empty: A file without any stream that the extractors take has no features; else it is an error.
        growing: Take what there is of a file that is incomplete.
        on_features: As ``extract_snippets`` takes it.

    Raises:
        FileError: The file cannot be decoded, or holds no stream that the extractors take.
    """
    audio_track = extractors.cards["audio"].track if "audio" in extractors.cards else "default"

    def read(side: int, has_sound: bool) -> tuple[Media, Iterator[Snippet]]:
        return read_snippets(
            path, side, timeout_s=timeout_s, has_sound=has_sound, audio_track=audio_track, growing=growing
        )

    return extract_snippets(
        read, extractors, path, progress=progress, may_be_empty=may_be_empty, on_features=on_features
    )


@torch.inference_mode()
def extract_snippets(
    read: Callable[[int, bool], tuple[Media, Iterator[Snippet]]],
    extractors: ExtractorSet,
    path: Path,
    *,
    progress: Callable[[int], object] | None = None,
    may_be_empty: bool = False,
    on_features: Callable[[dict[str, np.ndarray]], object] | None = None,
) -> Extracted:
    """Features of the snippets of any source.

    Args:
        read: Opens it, for a shorter side of the picture and with or without sound.
        extractors: By modality.
        path: Names it in messages.
        progress: As ``extract_file`` takes it.
        may_be_empty: The same.
        on_features: Gets the features of every batch by modality, where one pass makes all of them.

    Raises:
        FileError: It holds no stream that the extractors take.
    """
    visual, audio = extractors.parts.get("visual", ()), extractors.parts.get("audio", ())
    sides = sorted({getattr(e, "short_side", 16) for e in visual}) or [16]
    rows_of: dict[tuple[str, int], np.ndarray] = {}
    notes: list[str] = []
    for number, side in enumerate(sides):
        chosen = {("visual", i): e for i, e in enumerate(visual) if getattr(e, "short_side", 16) == side}
        if number == 0:
            chosen |= {("audio", i): e for i, e in enumerate(audio)}
        has_sound = any(m == "audio" for m, _ in chosen)
        media, snippets = read(side, has_sound)
        held = {"visual": media.video is not None, "audio": media.audio is not None}
        chosen = {key: e for key, e in chosen.items() if held[key[0]]}
        if number == 0 and not any(held[m] for m in extractors.parts):
            if isinstance(snippets, SnippetReader):
                snippets.close()
            if may_be_empty:
                return Extracted(media, {})
            has = "picture" if held["visual"] else "sound"
            raise FileError(path, f"holds only {has}, which this does not look at", "leave it out")
        rows_of |= _extract_pass(
            path,
            snippets,
            chosen,
            progress if number == 0 else None,
            on_features if len(sides) == 1 else None,
        )
        if number == 0 and isinstance(snippets, SnippetReader):
            notes = describe_decoding(path, media, snippets, any(m == "audio" for m, _ in chosen))
        if not held["visual"]:
            break  # the other sizes are of the picture
    parts = {m: tuple(rows_of[m, i] for i in range(len(of))) for m, of in extractors.parts.items() if (m, 0) in rows_of}
    return Extracted(media, parts, tuple(notes))


def describe_decoding(path: Path, media: Media, snippets: SnippetReader, uses_sound: bool) -> list[str]:
    """Lines on what was left out of a file or chosen in it.

    Args:
        path: The file.
        media: What it holds.
        snippets: Of the file, at its end.
        uses_sound: Its sound was asked for.
    """
    notes = []
    audio = media.audio
    if uses_sound and audio is not None and audio.n_tracks > 1:
        chosen = "their mean" if audio.mixed else f"track {audio.track}"
        notes.append(f"{path}: has {audio.n_tracks} sound tracks, {chosen} is used; --audio-track chooses")
    if media.video is not None and media.video.n_pictures > 1:
        notes.append(f"{path}: has {media.video.n_pictures} pictures, stream {media.video.index} is used")
    if snippets.unscored_s > MAX_LEFT_OUT_S:
        notes.append(
            f"{path}: its picture ends after {snippets.n * SNIPPET_S:.1f} s, {snippets.unscored_s:.1f} s before its "
            "sound, and the rest is left out"
        )
    if snippets.incomplete:
        notes.append(f"{path}: is incomplete ({snippets.incomplete}); {snippets.n * SNIPPET_S:.1f} s of it are taken")
    return notes


def _extract_pass(
    path: Path,
    snippets: Iterator[Snippet],
    chosen: Mapping[tuple[str, int], Extractor],
    progress: Callable[[int], object] | None,
    on_features: Callable[[dict[str, np.ndarray]], object] | None,
) -> dict[tuple[str, int], np.ndarray]:
    """The features of snippets by some extractors."""
    rows = {key: Rows() for key in chosen}
    batch: list[Snippet] = []

    def flush() -> None:
        inputs: dict[str, np.ndarray] = {}
        new: dict[str, list[np.ndarray]] = {}
        for (m, number), kept in rows.items():
            if m not in inputs:
                inputs[m] = np.stack([s.frames if m == "visual" else s.audio for s in batch])  # type: ignore[misc]
            y = chosen[m, number].rows(inputs[m])
            if not np.isfinite(y).all():
                raise FileError(path, f"its {m} features are not finite", "check the weights of the extractor")
            kept.add(y)
            new.setdefault(m, []).append(y)
        if on_features is not None:
            on_features({m: np.concatenate(of_parts, -1) for m, of_parts in new.items()})
        if progress is not None:
            progress(len(batch))
        batch.clear()

    for snippet in snippets:
        batch.append(snippet)
        if len(batch) == BATCH:
            flush()
    if batch:
        flush()
    return {key: kept.all() for key, kept in rows.items()}


class Rows:
    """Rows added bit by bit, kept in large blocks: small arrays between large passing ones would keep
    the allocator from giving the large ones' memory back."""

    def __init__(self) -> None:
        self.blocks: list[np.ndarray] = []
        self.n_last = BLOCK  # rows used in the last block

    def add(self, rows: np.ndarray) -> None:
        """Append rows."""
        while len(rows):
            if self.n_last == BLOCK:
                self.blocks.append(np.empty((BLOCK, *rows.shape[1:]), rows.dtype))
                self.n_last = 0
            now, rows = rows[: BLOCK - self.n_last], rows[BLOCK - self.n_last :]
            self.blocks[-1][self.n_last : self.n_last + len(now)] = now
            self.n_last += len(now)

    def all(self) -> np.ndarray:
        """All rows that were added."""
        return np.concatenate([*self.blocks[:-1], self.blocks[-1][: self.n_last]])
