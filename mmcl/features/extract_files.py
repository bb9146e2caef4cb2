"""Features of many video and audio files, into a feature store; several threads, several processes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mmcl.errors import InputError
from mmcl.features.extract import extract_file
from mmcl.features.extractor_pair import ExtractorPair
from mmcl.features.store import StoreError, info_path, open_store, write_features
from mmcl.io import check_writable, describe_failure, printable, read_json
from mmcl.media.find import find_media
from mmcl.media.snippets import TIMEOUT_S
from mmcl.media.timing import SNIPPET_S


class ExtractionJob:
    """The files that one process extracts into a store.

    Args:
        files: Media files, each of a name of its own.
        out: Folder of the store.
        extractors: Visual and audio.
        half: Keep float16.
        jobs: Files decoded at a time.
        timeout_s: Seconds without progress after which a decoder is given up.
    """

    def __init__(
        self,
        files: Sequence[Path],
        out: Path,
        extractors: ExtractorPair,
        *,
        half: bool = False,
        jobs: int = 2,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.out, self.extractors, self.half, self.jobs, self.timeout_s = out, extractors, half, jobs, timeout_s
        self.failures: list[tuple[str, str]] = []  # file, reason
        self.pending: list[Path] = []
        for path in files:
            try:
                if not is_in_store(out, path):
                    self.pending.append(path)
            except (InputError, OSError) as error:
                self._fail(path, error)
        self.n_present = len(files) - len(self.pending) - len(self.failures)
        self.n_extracted = 0
        self.media_s, self.started = 0.0, time.perf_counter()

    @property
    def speed(self) -> float:
        """Seconds of media extracted in a second."""
        return self.media_s / (time.perf_counter() - self.started)

    def run(self) -> None:
        """Extract all pending files; a file that fails is noted and stops no other."""
        stop = threading.Event()
        pool = ThreadPoolExecutor(self.jobs)
        try:
            running = {pool.submit(self._extract_one, path, stop): path for path in self.pending}
            bar = tqdm(as_completed(running), total=len(running), unit="file", disable=None, dynamic_ncols=True)
            for future in bar:
                path = running[future]
                try:
                    n_snippets, streams = future.result()
                except Exception as error:  # whatever it is, the other files are extracted
                    self._fail(path, error)
                    if isinstance(error, StoreError):
                        check_writable(self.out)
                    continue
                self.n_extracted += 1
                self.media_s += n_snippets * SNIPPET_S
                bar.set_postfix_str(f"{self.speed:.1f}x real time")
                missing = [m for m in self.extractors.cards if m not in streams]
                if missing:
                    tqdm.write(printable(f"{path}: has no {missing[0]} stream"))
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)

    def _extract_one(self, path: Path, stop: threading.Event) -> tuple[int, list[str]]:
        def check_stop(n_snippets: int) -> None:
            if stop.is_set():
                raise InputError(f"{path}: stopped")

        extracted = extract_file(path, self.extractors, timeout_s=self.timeout_s, progress=check_stop)
        features = {m: x.astype(np.float16 if self.half else np.float32) for m, x in extracted.features.items()}
        info = {
            "file": path.name,
            "bytes": path.stat().st_size,
            "snippets": extracted.n_snippets,
            "seconds": round(extracted.n_snippets * SNIPPET_S, 3),
            "streams": list(features),
        }
        write_features(self.out, path.stem, features, self.extractors.cards, info)
        return extracted.n_snippets, list(features)

    def _fail(self, path: Path, error: Exception) -> None:
        self.failures.append((str(path), describe_failure(str(path), error).removeprefix(f"{path}: ")))


def extract_files(
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
    job = ExtractionJob(files[rank::n_ranks], out, extractors, half=half, jobs=jobs, timeout_s=timeout_s)
    job.run()
    share = f" (share {rank + 1} of {n_ranks})" if n_ranks > 1 else ""
    speed = f", {job.speed:.1f}x real time" if job.pending else ""
    print(
        f"{job.n_extracted} extracted, {job.n_present} were there already, {len(job.failures)} failed{share}{speed}",
        flush=True,
    )
    failures = gather_failures(job.failures)
    if failures and rank == 0:
        width = max(len(name) for name, _ in failures)
        for name, reason in sorted(failures):
            print(printable(f"  {name:{width}}  {reason}"))
    if failures:
        raise InputError(f"{len(failures)} of {len(files)} files failed, each named above; the others are in {out}")


def is_in_store(out: Path, path: Path) -> bool:
    """Whether the store holds this file's features.

    Raises:
        InputError: It holds those of another file of the same name.
    """
    info = info_path(out, path.stem)
    if not info.exists():
        return False
    size = read_json(info).get("bytes")
    if size != path.stat().st_size:
        raise InputError(
            f"{path}: the store holds features of another file of this name ({size} bytes); remove "
            f"{info.name} to extract it anew, or choose another --out"
        )
    return True


def gather_failures(failures: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The failures of all processes. torchrun ends every process when one fails, so that none may leave
    before all are done."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or "MASTER_ADDR" not in os.environ:
        return failures
    from torch import distributed

    distributed.init_process_group("gloo", timeout=timedelta(days=30))
    of_ranks: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(of_ranks, failures)
    distributed.barrier()
    distributed.destroy_process_group()
    return [failure for of_rank in of_ranks for failure in of_rank]
