"""Features of many video and audio files; several threads, several processes."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tqdm import tqdm

from mmcl.errors import DiskFullError, InputError
from mmcl.features.extract import Extracted, extract_file
from mmcl.features.extractor_set import ExtractorSet
from mmcl.features.store import FolderStore, StoreError
from mmcl.io import check_writable, describe_failure, printable
from mmcl.media.find import MediaFile, find_media
from mmcl.media.snippets import TIMEOUT_S
from mmcl.media.timing import SNIPPET_S

Result = TypeVar("Result")
PROGRESS_S = 15.0  # between lines of progress in a log


class Store(Protocol):
    """Where features go."""

    folder: Path

    def missing(self, file: MediaFile) -> ExtractorSet | None:
        """The extractors whose features of a file are not there; None where nothing is missing."""

    def write(self, file: MediaFile, extracted: Extracted, extractors: ExtractorSet) -> None:
        """Keep a file's features, made by these extractors."""


Pending = tuple[MediaFile, ExtractorSet]
Done = tuple[int, list[str], tuple[str, ...]]  # snippets, streams and notes of a file
Engine = Callable[[Sequence[Pending]], Generator[tuple[Pending, Done | Exception], None, None]]


class ExtractionJob:
    """The files that one process extracts into a store.

    Args:
        files: Media files, each of a name of its own.
        store: Where features go.
        jobs: Files decoded at a time.
        timeout_s: Seconds without progress after which a decoder is given up.
        may_be_empty: A file without any stream that the extractors take is no failure.
    """

    def __init__(
        self,
        files: Sequence[MediaFile],
        store: Store,
        *,
        jobs: int = 2,
        timeout_s: float = TIMEOUT_S,
        may_be_empty: bool = False,
    ) -> None:
        self.store, self.jobs, self.timeout_s, self.may_be_empty = store, jobs, timeout_s, may_be_empty
        self.failures: list[tuple[str, str]] = []  # file, reason
        self.pending: list[tuple[MediaFile, ExtractorSet]] = []
        for file in files:
            try:
                missing = store.missing(file)
                if missing is not None:
                    self.pending.append((file, missing))
            except (InputError, OSError) as error:
                self._fail(file.path, error)
        self.n_present = len(files) - len(self.pending) - len(self.failures)
        self.n_extracted = 0
        self.media_s, self.started = 0.0, time.perf_counter()

    @property
    def speed(self) -> float:
        """Seconds of media extracted in a second."""
        return self.media_s / (time.perf_counter() - self.started)

    def run(self, tells_missing: bool = True, engine: Engine | None = None) -> None:
        """Extract all pending files; a file that fails is noted and stops no other.

        Args:
            tells_missing: Name each file that lacks a stream.
            engine: Extracts and writes them; threads of this process by default.
        """
        last_line_s = self.started
        results = self._in_threads() if engine is None else engine(self.pending)
        bar = tqdm(results, total=len(self.pending), unit="file", disable=None, dynamic_ncols=True)
        with contextlib.closing(results):
            for (file, extractors), result in bar:
                if isinstance(result, Exception):  # whatever it is, the other files are extracted
                    if isinstance(result, DiskFullError):
                        raise result
                    self._fail(file.path, result)
                    if isinstance(result, StoreError):
                        check_writable(self.store.folder)
                    continue
                n_snippets, streams, notes = result
                self.n_extracted += 1
                self.media_s += n_snippets * SNIPPET_S
                bar.set_postfix_str(f"{self.speed:.1f}x real time")
                last_line_s = self._tell_progress(bar.disable, last_line_s)
                for note in notes:
                    tqdm.write(printable(note))
                missing = [m for m in extractors.cards if m not in streams]
                if missing and tells_missing:
                    tqdm.write(printable(f"{file.path}: has no {missing[0]} stream"))

    def _in_threads(self) -> Generator[tuple[Pending, Done | Exception], None, None]:
        stop = threading.Event()
        pool = ThreadPoolExecutor(self.jobs)
        try:
            running = {pool.submit(self._extract_one, file, of, stop): (file, of) for file, of in self.pending}
            for future in as_completed(running):
                result = outcome(future)
                yield running[future], result
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)

    def _tell_progress(self, is_hidden: bool | None, last_line_s: float) -> float:
        """A line from time to time where no progress bar is shown; returns when the last one was."""
        now = time.perf_counter()
        if not is_hidden or now - last_line_s < PROGRESS_S:
            return last_line_s
        left = (now - self.started) / self.n_extracted * (len(self.pending) - self.n_extracted)
        print(
            f"{self.n_extracted} of {len(self.pending)} files, {self.speed:.1f}x real time, {left:.0f} s left",
            flush=True,
        )
        return now

    def _extract_one(self, file: MediaFile, extractors: ExtractorSet, stop: threading.Event) -> Done:
        def check_stop(n_snippets: int) -> None:
            if stop.is_set():
                raise InputError(f"{file.path}: stopped")

        extracted = extract_file(
            file.path, extractors, timeout_s=self.timeout_s, progress=check_stop, may_be_empty=self.may_be_empty
        )
        self.store.write(file, extracted, extractors)
        return extracted.n_snippets, list(extracted.parts), extracted.notes

    def _fail(self, path: Path, error: Exception) -> None:
        self.failures.append((str(path), describe_failure(str(path), error).removeprefix(f"{path}: ")))


def outcome(future: Future[Result]) -> Result | Exception:
    """What a future ended with; what is no ``Exception`` (Ctrl-C) is raised.

    Args:
        future: That has ended, or is waited for.
    """
    error = future.exception()
    if error is not None and not isinstance(error, Exception):
        raise error
    return future.result() if error is None else error


def extract_files(
    sources: Sequence[Path | str],
    out: Path,
    extractors: ExtractorSet,
    *,
    half: bool = False,
    jobs: int = 2,
    timeout_s: float = TIMEOUT_S,
    engine: Engine | None = None,
) -> None:
    """Fill a store, skipping what it holds already. Under torchrun each process takes its share of the files.

    Args:
        sources: Files, folders and patterns; subfolders are kept.
        out: Folder of the store.
        extractors: By modality.
        half: Keep float16.
        jobs: Files decoded at a time.
        timeout_s: Seconds without progress after which a decoder is given up.
        engine: Extracts and writes the files; threads of this process by default.

    Raises:
        InputError: At the end, when any file failed; a table of failures is printed before.
    """
    if jobs < 1:
        raise InputError(f"--jobs: expected 1 or more, got {jobs}")
    rank, n_ranks = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    files = find_media(sources)
    job = ExtractionJob(files[rank::n_ranks], FolderStore(out, extractors, half), jobs=jobs, timeout_s=timeout_s)
    job.run(engine=engine)
    share = f" (share {rank + 1} of {n_ranks})" if n_ranks > 1 else ""
    speed = f", {job.speed:.1f}x real time" if job.pending else ""
    print(
        f"{job.n_extracted} extracted, {job.n_present} were there already, {len(job.failures)} failed{share}{speed}",
        flush=True,
    )
    failures = gather_failures(job.failures)
    if failures and rank == 0:
        print_failures(failures)
    if failures:
        raise InputError(f"{len(failures)} of {len(files)} files failed, each named above; the others are in {out}")


def print_failures(failures: Sequence[tuple[str, str]]) -> None:
    """A table of files and reasons."""
    width = max(len(name) for name, _ in failures)
    for name, reason in sorted(failures):
        print(printable(f"  {name:{width}}  {reason}"), flush=True)


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
