"""A data set of one's own into a store of shards, and a store into files of arrays with a manifest."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from mmcl.config.files import override
from mmcl.config.schema import FeaturesConfig
from mmcl.data.media import extract_media, hold_streams
from mmcl.data.recording_index import SPLITS, RecordingIndex, RecordingRow, other_channels
from mmcl.data.stored_index import StoreColumns
from mmcl.datasets._base import Dataset
from mmcl.errors import FileError, InputError
from mmcl.features.store import save_array
from mmcl.io import atomic_write, place_below
from mmcl.readers.shards import ShardStore, ShardWriter, StoredModality, is_store
from mmcl.readers.shards.layout import CARD, texts_of
from mmcl.types import Recording

MANIFEST = "manifest.csv"


def pack(
    dataset: Dataset,
    data: Path,
    out: Path,
    half: bool,
    features: FeaturesConfig | None,
    device: torch.device,
    options: Mapping[str, Any] | None = None,
) -> int:
    """Write a data set's recordings into a store, and compare what is there with what was read.

    Args:
        dataset: Whose recordings, with its own options by default.
        data: What it reads.
        out: Folder of the store: new, or one that a stopped job began.
        half: Keep float16.
        features: How features of videos are made; as a training makes them by default.
        device: Where.
        options: Of the data set, ``{"data.NAME": value}``, other than its own.

    Returns:
        Recordings.

    Raises:
        InputError: A recording cannot be read, or the store is not what was written.
    """
    if out.exists() and any(out.iterdir()) and not is_store(out):
        raise FileError(out, "holds other files", "choose an empty folder, or a new one")
    config = override(dataset.default_config(data), options or {})
    index = hold_streams(dataset.index(data, config.data))
    modalities = tuple(index.kinds)
    index = extract_media(index, features or config.features, modalities, SPLITS, device)
    specs = _specs(index, modalities, half)
    cards = {m: asdict(card) for m, card in index.extractors.items() if m in modalities}
    there = _held(out)
    with ShardWriter(out, specs, cards) as writer:
        for recording, row in _recordings(index, modalities, "packed"):
            if recording.name in there:
                continue
            signal = {m: np.asarray(x) for m, x in recording.signal.items()}
            for m, x in signal.items():
                if (names := recording.channels.get(m, ())) != specs[m].channels:
                    raise other_channels(row.sources[m].files[0], names, specs[m].channels)
                if not np.isfinite(x.astype(specs[m].dtype)).all():
                    raise InputError(f"{recording.name}: NaN, infinity or numbers beyond {specs[m].dtype} in its {m}")
            writer.add(recording.name, signal, recording.rate_hz, **_known(recording, row, index.classes))
    _compare(index, modalities, ShardStore(out))
    for path in dataset.annotation_files(data):
        atomic_write(out / path.name, partial(shutil.copyfile, path))
    return len(index.rows)


def unpack(place: Path, out: Path) -> int:
    """Write a store's recordings as ``.npy`` files with a manifest, and compare them.

    Args:
        place: Folder of the store, or its address.
        out: A folder, new or empty.

    Returns:
        Recordings.

    Raises:
        FileError: The folder holds something.
    """
    if out.exists() and any(out.iterdir()):
        raise FileError(out, "holds files", "choose an empty folder, or a new one")
    store = ShardStore(place)
    columns = StoreColumns(store)
    names = list(store.modalities)
    titles = [f"{m}:{store.modalities[m].kind}" for m in names]
    text = io.StringIO()
    table = csv.writer(text)
    header = ["name", "split", "labels", "group", "events"]
    table.writerow([*header, *(column for m, t in zip(names, titles, strict=True) for column in (t, f"{m}_hz"))])
    for i in tqdm(range(len(store)), unit="recording", desc="unpacked", disable=None):
        row = columns.row(i)
        files: list[str] = []
        for m in names:
            x = store.array(i, m)
            if x is None:
                files += ["", ""]
                continue
            file = place_below(out, f"{row.name}__{m}.npy")
            content = np.asarray(x)
            atomic_write(file, partial(save_array, content))
            if not np.array_equal(np.load(file), content):
                raise FileError(file, "is not what was written", "check the disk")
            files += [file.relative_to(out).as_posix(), f"{store.rate_hz[m][i]:.12g}"]
        known = [(e, e.name if e.name in row.labels else "") for e in row.events]  # others are of several classes
        events = ";".join(f"{e.start_s:.10g}-{e.end_s:.10g} {name}".strip() for e, name in known)
        table.writerow([row.name, row.split, ";".join(row.labels), row.group, events, *files])
    atomic_write(out / MANIFEST, lambda path: path.write_text(text.getvalue(), encoding="utf-8"))
    return len(store)


def describe_store(place: Path) -> list[str]:
    """Lines on what a store holds.

    Args:
        place: Its folder, or its address.
    """
    store = ShardStore(place)
    columns = StoreColumns(store)
    lines = [f"{store.address}: {len(store):,} recordings"]
    for m, spec in store.modalities.items():
        n = int(store.rows[m].sum())
        has = store.rows[m] > 0
        hours = float((store.rows[m][has] / store.rate_hz[m][has]).sum()) / 3600
        made_by = store.extractors.get(m, {}).get("name", "")
        lines.append(
            f"  {m}: {spec.kind} {spec.shape}, {spec.dtype}, {n:,} rows, {hours:,.2f} hours"
            + (f", of {int(has.sum()):,} recordings" if not has.all() else "")
            + (f", made by {made_by}" if made_by else "")
        )
    counts = [(s, int((columns.split == k).sum())) for k, s in enumerate(SPLITS)]
    lines.append("  " + ", ".join(f"{s} {n:,}" for s, n in counts if n) if any(n for _, n in counts) else "  no splits")
    if columns.classes:
        lines.append(f"  classes: {', '.join(columns.classes)}")
    return lines


def _specs(index: RecordingIndex, modalities: Sequence[str], half: bool) -> dict[str, StoredModality]:
    specs: dict[str, StoredModality] = {}
    for m in modalities:
        row = next(row for row in index.rows if m in row.sources)
        x, _, *rest = row.sources[m].read()
        dtype = "float16" if half or x.dtype == np.float16 else "float32"
        specs[m] = StoredModality(index.kinds[m], tuple(x.shape[1:]), dtype, tuple(rest[0]) if rest else ())
    return specs


def _recordings(
    index: RecordingIndex, modalities: Sequence[str], what: str
) -> Iterator[tuple[Recording, RecordingRow]]:
    cut: list[str] = []
    for row in tqdm(index.rows, unit="recording", desc=what, disable=None):
        yield row.load(modalities, index.classes, cut), row
    if cut:
        print(f"{len(cut)} recordings have files that differ by one row, cut to the shorter", flush=True)


def _held(out: Path) -> frozenset[str]:
    """Names of the recordings that a stopped job has written."""
    if not (out / CARD).exists() or not any(out.glob("*.index.arrow")):
        return frozenset()
    return frozenset(ShardStore(out).column("name").to_pylist())


def _known(recording: Recording, row: RecordingRow, classes: Sequence[str]) -> dict[str, Any]:
    """What the store holds of a recording beside its signals."""
    events = [(e.start_s, e.end_s, e.name) for e in recording.intervals if e.is_event]
    labels = [c for c, y in zip(classes, recording.label, strict=True) if y]  # type: ignore[arg-type]
    return {"split": row.split, "labels": labels, "group": recording.group, "events": events}


def _compare(index: RecordingIndex, modalities: Sequence[str], store: ShardStore) -> None:
    number = {name: i for i, name in enumerate(store.column("name").to_pylist())}
    for recording, row in _recordings(index, modalities, "compared"):
        i = number.get(recording.name, -1)
        for m in modalities:
            x = store.array(i, m) if i >= 0 else None
            ours = recording.signal.get(m)
            same = (x is None and ours is None) or (
                x is not None
                and ours is not None
                and np.array_equal(np.asarray(x), np.asarray(ours).astype(store.modalities[m].dtype))
                and store.rate_hz[m][i] == recording.rate_hz[m]
            )
            texts = texts_of(**_known(recording, row, index.classes))
            if not same or any(store.text(column, i) != text for column, text in texts.items()):
                raise FileError(
                    store.address,
                    f"holds {recording.name} differently than its files do",
                    "did they change? convert into a new folder",
                )
    if len(number) != len(index.rows):
        raise FileError(
            store.address, f"holds {len(number)} recordings, {len(index.rows)} were read", "use a new folder"
        )
