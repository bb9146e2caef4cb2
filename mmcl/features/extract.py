"""From video and audio files to features: one file at a time, any number of files, any number of processes."""

from __future__ import annotations

import glob
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from mmcl.errors import FileError, InputError
from mmcl.features.extractor_pair import ExtractorPair
from mmcl.features.store import StoreError, info_path, open_store, write_features
from mmcl.io import check_writable, describe_failure, printable, read_json
from mmcl.media.probe import Media
from mmcl.media.snippets import TIMEOUT_S, Snippet, read_snippets
from mmcl.media.timing import SNIPPET_S

VIDEO_ENDINGS = [
    "mp4",
    "m4v",
    "mkv",
    "webm",
    "avi",
    "mov",
    "ts",
    "mts",
    "m2ts",
    "mpg",
    "mpeg",
    "flv",
    "wmv",
    "3gp",
    "ogv",
    "gif",
]
AUDIO_ENDINGS = ["wav", "mp3", "m4a", "aac", "flac", "ogg", "opus", "wma"]
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


def find_media(sources: Iterable[Path | str]) -> list[Path]:
    """Files, the media files in folders and below, and those that patterns (``*.mp4``) match.

    Args:
        sources: Files, folders and patterns.

    Raises:
        InputError: A source is or matches nothing, or two files have one name.
    """
    files: list[Path] = []
    for source in map(Path, sources):
        if source.is_dir():
            matches = [p for p in sorted(source.rglob("*")) if _is_media(p)]
        elif source.exists():
            matches = [source]
        else:
            matches = [Path(p) for p in sorted(glob.glob(os.fspath(source), recursive=True)) if Path(p).is_file()]
        if not matches:
            what = "holds no video or audio files" if source.is_dir() else "no such file"
            raise FileError(source, what, "check the path")
        files += matches
    files = list(dict.fromkeys(files))
    names: dict[str, Path] = {}
    for path in files:
        if path.stem in names:
            raise FileError(path, f"has the name of {names[path.stem]}", "rename one: results are named after files")
        names[path.stem] = path
    return files


def _is_media(path: Path) -> bool:
    return (
        not path.name.startswith(".") and path.suffix[1:].lower() in (*VIDEO_ENDINGS, *AUDIO_ENDINGS) and path.is_file()
    )


@torch.inference_mode()
def extract_file(
    path: Path,
    extractors: ExtractorPair,
    *,
    timeout_s: float = TIMEOUT_S,
    progress: Callable[[int], object] = lambda n: None,
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


def extract(
    sources: Sequence[Path | str],
    out: Path,
    extractors: ExtractorPair,
    *,
    half: bool = False,
    jobs: int = 2,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Fill a store, skipping what it holds already. Under torchrun each process takes its share of the files.

    Args:
        sources: Files, folders and patterns.
        out: Folder of the store.
        extractors: Visual and audio.
        half: Keep float16.
        jobs: Files decoded at a time.
        timeout_s: Seconds without progress after which a decoder is given up.

    Raises:
        InputError: At the end, when any file failed; a table of failures is printed before.
    """
    if jobs < 1:
        raise InputError(f"--jobs: expected 1 or more, got {jobs}")
    rank, n_ranks = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    files = find_media(sources)
    open_store(out, extractors.cards)
    mine = files[rank::n_ranks]
    failed: list[tuple[str, str]] = []
    todo: list[Path] = []
    for path in mine:
        try:
            if not is_done(out, path):
                todo.append(path)
        except (InputError, OSError) as error:
            failed.append((str(path), describe_failure(str(path), error).removeprefix(f"{path}: ")))
    n_there = len(mine) - len(todo) - len(failed)
    video_s, started = 0.0, time.perf_counter()
    stop = threading.Event()

    def do(path: Path) -> tuple[int, list[str]]:
        def go_on(n: int) -> None:
            if stop.is_set():
                raise InputError(f"{path}: stopped")

        done = extract_file(path, extractors, timeout_s=timeout_s, progress=go_on)
        features = {m: x.astype(np.float16 if half else np.float32) for m, x in done.features.items()}
        info = {
            "file": path.name,
            "bytes": path.stat().st_size,
            "snippets": done.n_snippets,
            "seconds": round(done.n_snippets * SNIPPET_S, 3),
            "streams": list(features),
        }
        write_features(out, path.stem, features, extractors.cards, info)
        return done.n_snippets, list(features)

    pool = ThreadPoolExecutor(jobs)
    try:
        running = {pool.submit(do, path): path for path in todo}
        bar = tqdm(as_completed(running), total=len(todo), unit="file", disable=None, dynamic_ncols=True)
        for future in bar:
            path = running[future]
            try:
                n_snippets, streams = future.result()
            except Exception as error:  # whatever it is, the other files are extracted
                failed.append((str(path), describe_failure(str(path), error).removeprefix(f"{path}: ")))
                if isinstance(error, StoreError):
                    check_writable(out)
                continue
            video_s += n_snippets * SNIPPET_S
            bar.set_postfix_str(f"{video_s / (time.perf_counter() - started):.1f}x real time")
            missing = [m for m in extractors.cards if m not in streams]
            if missing:
                tqdm.write(printable(f"{path}: has no {missing[0]} stream"))
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
    share = f" (part {rank + 1} of {n_ranks})" if n_ranks > 1 else ""
    speed = f", {video_s / (time.perf_counter() - started):.1f}x real time" if todo else ""
    n_done = len(mine) - n_there - len(failed)
    print(f"{n_done} extracted, {n_there} were there already, {len(failed)} failed{share}{speed}", flush=True)
    all_failed = together(failed)
    if all_failed and rank == 0:
        width = max(len(name) for name, _ in all_failed)
        for name, why in sorted(all_failed):
            print(printable(f"  {name:{width}}  {why}"))
    if all_failed:
        raise InputError(f"{len(all_failed)} of {len(files)} files failed, each named above; the others are in {out}")


def is_done(out: Path, path: Path) -> bool:
    """Does the store hold this file's features; InputError when it holds those of another file."""
    known = info_path(out, path.stem)
    if not known.exists():
        return False
    size = read_json(known).get("bytes")
    if size != path.stat().st_size:
        raise InputError(
            f"{path}: the store holds features of another file of this name ({size} bytes); remove "
            f"{known.name} to extract it anew, or choose another --out"
        )
    return True


def together(failed: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The failures of all processes. torchrun ends every process when one fails, so that none may leave
    before all are done."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or "MASTER_ADDR" not in os.environ:
        return failed
    from torch import distributed

    distributed.init_process_group("gloo", timeout=timedelta(days=30))
    of_ranks: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(of_ranks, failed)
    distributed.barrier()
    distributed.destroy_process_group()
    return [one for failures in of_ranks for one in failures]
