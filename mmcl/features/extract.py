"""Features of one video or audio file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mmcl.errors import FileError
from mmcl.features.extractor_pair import ExtractorPair
from mmcl.media.probe import Media
from mmcl.media.snippets import TIMEOUT_S, Snippet, read_snippets

BLOCK = 1024
BATCH = 16  # snippets that an extractor computes at once


@dataclass(frozen=True)
class Extracted:
    """A file's features: ``features["visual"]`` (snippet, crop, channel), ``features["audio"]``
    (snippet, channel), only of the streams that the file holds."""

    media: Media
    features: dict[str, np.ndarray]

    @property
    def n_snippets(self) -> int:
        """Snippets of the file."""
        return len(next(iter(self.features.values())))


@torch.inference_mode()
def extract_file(
    path: Path,
    extractors: ExtractorPair,
    *,
    timeout_s: float = TIMEOUT_S,
    progress: Callable[[int], object] | None = None,
) -> Extracted:
    """Features of every snippet of a file; a few snippets at a time are in memory.

    Args:
        path: A media file.
        extractors: Visual and audio.
        timeout_s: Seconds without progress after which the decoder is given up.
        progress: Is called with the number of snippets of every batch that is done.

    Raises:
        FileError: The file cannot be decoded, or holds no stream that the extractors take.
    """
    side = getattr(extractors.visual, "short_side", 16)
    media, snippets = read_snippets(path, side, timeout_s=timeout_s)
    use = {
        "visual": extractors.visual if media.video is not None else None,
        "audio": extractors.audio if media.audio is not None else None,
    }
    if not any(use.values()):
        has = "picture" if media.video is not None else "sound"
        snippets.close()  # type: ignore[attr-defined]
        raise FileError(path, f"holds only {has}, which this does not look at", "leave it out")
    rows = {m: Rows() for m, extractor in use.items() if extractor is not None}
    batch: list[Snippet] = []

    def flush() -> None:
        for m, kept in rows.items():
            x = np.stack([s.frames if m == "visual" else s.audio for s in batch])  # type: ignore[misc]
            y = _forward(use[m], x, extractors.device)
            if not np.isfinite(y).all():
                raise FileError(path, f"its {m} features are not finite", "check the weights of the extractor")
            kept.add(y)
        if progress is not None:
            progress(len(batch))
        batch.clear()

    for snippet in snippets:
        batch.append(snippet)
        if len(batch) == BATCH:
            flush()
    if batch:
        flush()
    return Extracted(media, {m: kept.all() for m, kept in rows.items()})


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


def _forward(extractor: nn.Module | None, x: np.ndarray, device: torch.device | str) -> np.ndarray:
    assert extractor is not None
    return extractor(torch.from_numpy(x).to(device)).float().cpu().numpy()
