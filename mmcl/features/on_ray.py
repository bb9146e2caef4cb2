"""Work on the machines of a Ray cluster: workers that live on, a few items in flight each, retries on other workers."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mmcl.errors import InputError
from mmcl.features.extract import describe_decoding, extract_file, extract_snippets
from mmcl.features.extract_files import Done, Pending
from mmcl.features.extractor_set import ExtractorSet
from mmcl.features.store import FolderStore
from mmcl.media.find import MediaFile
from mmcl.media.probe import Media
from mmcl.media.snippets import Snippet, read_snippets

Item = TypeVar("Item")
Make = Callable[[], Callable[[Any], Any]]  # of a worker: what it does with an item

CONNECT_S = 10.0
IN_FLIGHT = 2  # items of a worker: the next one is decoded while this one is computed
RESTART = -1  # in place of an item: a worker that died is waited for
MAX_RESTARTS, PAUSE_S = 60, 1.0  # in vain
ATTEMPTS = 3  # of an item whose worker died
BLOCK = 8  # snippets that a decoding task passes on at once
BLOCKS_AHEAD = 4  # that wait for the extractor, of a file


@dataclass(frozen=True)
class Cluster:
    """Where the work is done.

    Attributes:
        address: Of the cluster, "" = one on this machine, for as long as the work takes.
        workers: How many, 0 = one a GPU, or a CPU where there is none.

    Example:
        >>> Cluster(workers=2).address
        ''
    """

    address: str = ""
    workers: int = 0


def run_on_ray(
    items: Sequence[Item], make: Make, cluster: Cluster
) -> Generator[tuple[Item, Any | Exception], None, None]:
    """Each item with what a worker made of it, or the exception that it ended with, as they are done.

    An item whose worker dies is given to another one.

    Args:
        items: What is worked on; they are pickled.
        make: Is called in every worker once, and returns what it does with an item.
        cluster: Where.

    Raises:
        InputError: Ray is not installed, or its cluster cannot be reached.
    """
    if not items:
        return
    ray = _connect(cluster)
    try:
        has_gpu = ray.cluster_resources().get("GPU", 0) >= 1
        n = cluster.workers or int(ray.cluster_resources().get("GPU" if has_gpu else "CPU", 1))
        n = max(min(n, len(items)), 1)
        options = {"num_gpus": 1} if has_gpu else {"num_cpus": 1}
        worker_class = ray.remote(max_restarts=-1, max_concurrency=IN_FLIGHT, **options)(_Worker)
        workers = [worker_class.remote(make) for _ in range(n)]
        _check_start(ray, workers[0])
        waiting, attempts = list(range(len(items)))[::-1], [0] * len(items)
        running: dict[Any, tuple[int, int, int]] = {}
        load, restarts = [0] * n, [0] * n
        while waiting or running:
            # one whose worker died gets a worker to itself: the next death is its own doing
            while waiting and min(load) + (size := IN_FLIGHT if attempts[waiting[-1]] else 1) <= IN_FLIGHT:
                w, i = load.index(min(load)), waiting.pop()
                attempts[i] += 1
                load[w] += size
                running[workers[w].work.remote(items[i])] = i, w, size
            (ref, *_), _ = ray.wait(list(running), num_returns=1)
            i, w, size = running.pop(ref)
            load[w] -= size
            try:
                result = ray.get(ref)
                if i != RESTART:
                    yield items[i], result
            except ray.exceptions.RayTaskError as error:
                yield items[i], error.cause if isinstance(error.cause, Exception) else error
            except ray.exceptions.RayError as error:  # the worker or its node is gone
                if i == RESTART:
                    restarts[w] += 1
                    time.sleep(PAUSE_S)
                elif attempts[i] >= ATTEMPTS:
                    yield items[i], InputError(f"{attempts[i]} workers died of it ({type(error).__name__})")
                else:
                    waiting.insert(0, i)
                if restarts[w] > MAX_RESTARTS:
                    raise InputError(f"a worker cannot be started again ({type(error).__name__})") from error
                if not any(k == RESTART and v == w for k, v, _ in running.values()):
                    load[w] += IN_FLIGHT
                    running[workers[w].is_ready.remote()] = RESTART, w, IN_FLIGHT
    finally:
        ray.shutdown()


def _check_start(ray: Any, worker: Any) -> None:
    """A worker starts: mmcl, weights and folders are there."""
    try:
        ray.get(worker.is_ready.remote())
    except ray.exceptions.RayError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        text = next((x for x in reversed(lines) if re.match(r"[\w.]*(Error|Exception)\b", x)), lines[0])
        raise InputError(f"a worker cannot start ({text}); are mmcl and the files on all machines?") from error


def extract_on_ray(
    make_extractors: Callable[[], ExtractorSet],
    out: Path,
    cluster: Cluster,
    half: bool = False,
    timeout_s: float = 60.0,
    decodes_apart: bool | None = None,
) -> Callable[[Sequence[Pending]], Generator[tuple[Pending, Done | Exception], None, None]]:
    """An engine of ``ExtractionJob``: workers extract, and write into the store's folder, which all machines see.

    Where workers have a GPU, files are decoded by tasks on CPUs, which are held back when extractors are slower.

    Args:
        make_extractors: Is called in every worker.
        out: Folder of the store.
        cluster: Where.
        half: Keep float16.
        timeout_s: Seconds without progress after which a decoder is given up.
        decodes_apart: Decode by tasks of their own; by default where there are GPUs.
    """
    make = partial(_Extraction, make_extractors, out.absolute(), half, timeout_s, decodes_apart)

    def engine(pending: Sequence[Pending]) -> Generator[tuple[Pending, Done | Exception], None, None]:
        given = {MediaFile(file.path.absolute(), file.name): (file, extractors) for file, extractors in pending}
        for file, result in run_on_ray(list(given), make, cluster):
            yield given[file], result

    return engine


class _Worker:
    """An actor."""

    def __init__(self, make: Make):
        self._do = make()

    def work(self, item: Any) -> Any:
        return self._do(item)

    def is_ready(self) -> bool:
        return True


class _Extraction:
    """What a worker does with a file."""

    def __init__(
        self,
        make_extractors: Callable[[], ExtractorSet],
        out: Path,
        half: bool,
        timeout_s: float,
        decodes_apart: bool | None,
    ):
        import ray

        has_gpu = bool(ray.get_gpu_ids())
        self.extractors = make_extractors().to("cuda" if has_gpu else "cpu")
        self.store = FolderStore(out, self.extractors, half)
        self.timeout_s, self.decodes_apart = timeout_s, has_gpu if decodes_apart is None else decodes_apart

    def __call__(self, file: MediaFile) -> Done:
        self.store.missing(file)  # refuses another file of that name; what a worker that died has written is replaced
        notes: list[str] = []
        if self.decodes_apart:
            extracted = extract_snippets(partial(self._read, file.path, notes), self.extractors, file.path)
        else:
            extracted = extract_file(file.path, self.extractors, timeout_s=self.timeout_s)
        self.store.write(file, extracted, self.extractors)
        return extracted.n_snippets, list(extracted.parts), (*extracted.notes, *dict.fromkeys(notes))

    def _read(self, path: Path, notes: list[str], side: int, has_sound: bool) -> tuple[Media, Iterator[Snippet]]:
        import ray

        track = self.extractors.cards["audio"].track if "audio" in self.extractors.cards else "default"
        task = ray.remote(num_cpus=1, num_returns="streaming", max_retries=ATTEMPTS)(_decode)
        task = task.options(_generator_backpressure_num_objects=BLOCKS_AHEAD)
        blocks: Any = task.remote(path, side, has_sound, track, self.timeout_s)
        media = ray.get(next(blocks))

        def snippets() -> Iterator[Snippet]:
            for ref in blocks:
                block = ray.get(ref)
                if isinstance(block, _Notes):
                    notes.extend(block.lines)
                else:
                    yield from block

        return media, snippets()


@dataclass(frozen=True)
class _Notes:
    lines: list[str]


def _decode(path: Path, side: int, has_sound: bool, track: str, timeout_s: float) -> Iterator[Any]:
    """What the file holds, its snippets in blocks, and notes on it."""
    media, snippets = read_snippets(path, side, timeout_s=timeout_s, has_sound=has_sound, audio_track=track)
    yield media
    block: list[Snippet] = []
    for snippet in snippets:
        block.append(snippet)
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block
    yield _Notes(describe_decoding(path, media, snippets, has_sound))


def _connect(cluster: Cluster) -> Any:
    try:
        import ray
    except ImportError as error:
        raise InputError(f"--engine ray needs {error.name}; pip install 'mmcl[ray]'") from None
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "ignore_reinit_error": False}
    try:
        if match := re.fullmatch(r"(?:ray://)?(.+):(\d+)", cluster.address):
            socket.create_connection((match[1], int(match[2])), CONNECT_S).close()  # Ray itself waits for minutes
        if cluster.address:
            ray.init(address=cluster.address, **quiet)
        else:
            ray.init("local", num_cpus=max(os.cpu_count() or 1, cluster.workers), include_dashboard=False, **quiet)
    except Exception as error:  # of another version, not there, refused: Ray raises many kinds
        text = " ".join(str(error).split())[:300]
        raise InputError(f"--ray-address {cluster.address or '(none)'}: cannot be used ({text})") from error
    return ray
