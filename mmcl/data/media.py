"""From media files in a recording index to features: which streams they hold, then their features, kept in a cache."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from mmcl.config.schema import FeaturesConfig
from mmcl.data.recording_index import RecordingIndex, RecordingRow, Source
from mmcl.errors import FileError, InputError
from mmcl.features.cache import FeatureCache
from mmcl.features.cards import ExtractorCard
from mmcl.features.extract_files import ExtractionJob, print_failures
from mmcl.features.extractor_set import ExtractorSet, create_extractors, split_names
from mmcl.features.weights import cache_folder
from mmcl.io import describe_failure
from mmcl.media.fetch import fetch
from mmcl.media.find import MediaFile
from mmcl.media.probe import Media
from mmcl.media.snippets import probe_file
from mmcl.media.timing import SNIPPET_S
from mmcl.readers.lazy_array import SideBySide, open_lazy
from mmcl.types import Interval

_probed: dict[tuple[Path, int, int], Media] = {}


def hold_streams(index: RecordingIndex) -> RecordingIndex:
    """The index with, of each media file, the streams that it holds; addresses are fetched.

    Args:
        index: Of any data set; returned as it is where no row has a media file.

    Raises:
        InputError: Files are unreadable, each named in a table that is printed before.
    """
    if not index.has_media:
        return index
    media, failures = probe_rows([row for row in index.rows if row.media])
    if failures:
        print_failures(failures)
        raise InputError(f"{len(failures)} media files of {index.path} are unreadable, each named above")
    return keep_streams(index, media)


def keep_streams(index: RecordingIndex, media: Mapping[Path, Media]) -> RecordingIndex:
    """The index with, of each media file, the streams that it holds.

    Args:
        index: Of any data set.
        media: What the files hold (``probe_rows``); of one that is not there nothing is kept.
    """
    held = {"visual": lambda m: m.video is not None, "audio": lambda m: m.audio is not None}

    def kept(row: RecordingRow) -> dict[str, tuple[Path, ...]]:
        return {m: paths for m, paths in row.media.items() if all(p in media and held[m](media[p]) for p in paths)}

    return replace(index, rows=tuple(replace(row, media=kept(row)) for row in index.rows))


def probe_rows(rows: Sequence[RecordingRow]) -> tuple[dict[Path, Media], list[tuple[str, str]]]:
    """What the media files of rows hold, and what is wrong with those that are unreadable or shorter than a snippet.

    Args:
        rows: With media files.

    Returns:
        By file what it holds; (file or its address, reason) of each other one.
    """
    urls = {path: row.url for row in rows if row.url for path in row.media_files}
    paths = list(dict.fromkeys(path for row in rows for path in row.media_files))
    media: dict[Path, Media] = {}
    failures: list[tuple[str, str]] = []

    def probe(path: Path) -> Media | Exception:
        try:
            if path in urls:
                fetch(urls[path], path)
            return _probe(path)
        except Exception as error:  # whatever it is, the others are probed
            if path in urls and isinstance(error, FileError):
                path.unlink(missing_ok=True)  # what the address answered was no video, and may be one the next time
            return error

    with ThreadPoolExecutor(2) as pool:
        results = tqdm(pool.map(probe, paths), total=len(paths), unit="file", desc="probe", disable=None, delay=2)
        for path, result in zip(paths, results, strict=True):
            name = urls.get(path, str(path))
            if not isinstance(result, Media):
                failures.append((name, describe_failure(name, result).removeprefix(f"{name}: ")))
            elif why := _too_short(result):
                failures.append((name, why))
            else:
                media[path] = result
    return media, failures


def _too_short(media: Media) -> str:
    """What is wrong with a file that claims to be shorter than a snippet; empty where it does not."""
    claimed = media.duration_s if media.video is None else media.video.duration_s or media.duration_s
    is_short = claimed is not None and claimed < SNIPPET_S - 1 / 24  # claims are rounded; decoding counts frames
    return f"{claimed:.2f} s are shorter than one snippet of {SNIPPET_S:.2f} s; leave it out" if is_short else ""


def _probe(path: Path) -> Media:
    """``probe_file``, once for each state of a file."""
    if not os.path.isfile(path):
        return probe_file(path)  # says what is wrong
    stat = path.stat()
    key = (path.absolute(), stat.st_size, stat.st_mtime_ns)
    if key not in _probed:
        _probed[key] = probe_file(path)
    return _probed[key]


def extract_media(
    index: RecordingIndex,
    config: FeaturesConfig,
    modalities: Sequence[str],
    splits: Iterable[str],
    device: torch.device | str = "cpu",
    expected: Mapping[str, ExtractorCard] | None = None,
    failed: dict[Path, str] | None = None,
) -> RecordingIndex:
    """The index with features for media files, extracted where they are not in the cache.

    Args:
        index: With the streams that files hold (``hold_streams``).
        config: Which extractors, and where features are kept.
        modalities: Of which features are needed.
        splits: Whose files are needed.
        device: Where extractors compute.
        expected: What must have made the features of a modality, where that is known.
        failed: Takes the files that cannot be read, with the reasons; their rows keep no features. By default they are
            an error.

    Raises:
        InputError: An extractor is unknown, or makes others than the expected features; or files failed, each named in
            a table that is printed before, and the features of the others are kept.
    """
    if not index.has_media:
        return index
    needed = [m for m in ("visual", "audio") if m in modalities and any(m in row.media for row in index.rows)]
    if not needed:
        return index
    extractors = media_extractors(config, needed).to(device)
    for m, card in (expected or {}).items():
        if m in extractors.cards and (difference := card.differs_from(extractors.cards[m])):
            raise InputError(
                f"{index.path}: gets {m} features of another extractor ({difference}); check what is installed"
            )
    cache = FeatureCache(features_folder(config), extractors)
    needed_splits = set(splits)
    rows = [row for row in index.rows if row.split in needed_splits and row.media]
    files = {p: MediaFile(p, row.name) for row in rows for m, paths in row.media.items() if m in needed for p in paths}
    failures = _extract(list(files.values()), cache, config)
    if failures and failed is None:
        raise InputError(f"{len(failures)} of {len(files)} files failed, each named above; the others are kept")
    reasons = dict(failures)
    reason_of = {path: reasons[str(path)] for path in files if str(path) in reasons}
    if failed is not None:
        failed |= reason_of

    def with_features(row: RecordingRow) -> RecordingRow:
        if row.split not in needed_splits:
            return row
        if reason_of.keys() & set(row.media_files):
            return replace(row, media={})
        return _with_features(row, cache, needed)

    rows_with_features = tuple(with_features(row) for row in index.rows)
    return replace(index, rows=rows_with_features, extractors={**index.extractors, **extractors.cards})


def media_extractors(config: FeaturesConfig, modalities: Sequence[str]) -> ExtractorSet:
    """The extractors that settings name, of some modalities.

    Raises:
        InputError: One is unknown, or there is none for a modality.
    """
    names: dict[str, Any] = {"visual": "none", "audio": "none"}
    for m in modalities:
        names[m] = getattr(config, m)
        if split_names(names[m]) in ([], ["none"]):
            raise InputError(f"--features.{m}: names no extractor; name one, or leave {m} out of --data.modalities")
    extractors = create_extractors(
        names["visual"], names["audio"], audio_track=config.audio_track, prefix="--features."
    )
    if any(card.crops != 1 for card in extractors.cards.values()):
        raise InputError("--features.visual: videos of your own are seen in one crop; leave out n_crops")
    return extractors


def features_folder(config: FeaturesConfig) -> Path:
    """Where features of raw media are kept."""
    return Path(config.cache) if config.cache else cache_folder() / "features"


def _extract(files: Sequence[MediaFile], cache: FeatureCache, config: FeaturesConfig) -> list[tuple[str, str]]:
    """Each process takes its share first, then what others did not make; the files that failed, and why."""
    rank, n_ranks = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    failures: list[tuple[str, str]] = []
    for share in [files[rank::n_ranks], files] if n_ranks > 1 else [files]:
        job = ExtractionJob(share, cache, jobs=config.jobs, timeout_s=config.timeout_s, may_be_empty=True)
        failures = job.failures
        if job.pending:
            names = "; ".join(f"{m} {card.name}" for m, card in cache.extractors.cards.items())
            print(f"extracting features of {len(job.pending)} files ({names}) into {cache.folder}", flush=True)
            job.run(tells_missing=False)
            print(f"{job.n_extracted} extracted, {job.speed:.1f}x real time", flush=True)
    if failures:
        print_failures(failures)
    return failures


def _with_features(row: RecordingRow, cache: FeatureCache, needed: Sequence[str]) -> RecordingRow:
    held = {m: [cache.files(path)[m] for path in paths] for m, paths in row.media.items() if m in needed}
    if not held:
        return row
    first = next(iter(held))  # of several files, the other modalities take the lengths of the first one's
    lengths = [len(open_lazy(files[0])) for files in held[first]] if len(held[first]) > 1 else []
    sources: dict[str, Source] = {}
    for m, of_files in held.items():
        read = partial(_read_joined, of_files, lengths) if lengths else partial(_read, of_files[0])
        sources[m] = Source("features", tuple(path for files in of_files for path in files), read)
    ends = np.cumsum([0, *lengths]) * SNIPPET_S
    events = row.events or tuple(
        Interval(float(ends[k]), float(ends[k + 1]), name, is_event) for k, (name, is_event) in enumerate(row.segments)
    )
    media = {m: paths for m, paths in row.media.items() if m not in needed}
    align = row.align if row.sources else "rows"
    sources |= row.sources
    shown = row.media_files[0] if len(row.media_files) == 1 else None
    return replace(row, sources=sources, media=media, align=align, events=events, shown=shown)


def _read(files: Sequence[Path]) -> tuple[Any, float]:
    """Rows of features, left on the disk, and their rate."""
    parts = [open_lazy(path) for path in files]
    return parts[0] if len(parts) == 1 else SideBySide(parts), 1 / SNIPPET_S


def _read_joined(of_files: Sequence[Sequence[Path]], lengths: Sequence[int]) -> tuple[Any, float]:
    """The rows of several files, each repeated or cut to its length."""
    rows = []
    for files, n in zip(of_files, lengths, strict=True):
        x = np.asarray(_read(files)[0])
        rows.append(x[np.arange(n) % len(x)])
    return np.concatenate(rows), 1 / SNIPPET_S
