"""A store of shards as a data set of one's own: its splits and labels are checked by columns."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmcl.data.recording_index import SPLITS, RecordingIndex
from mmcl.data.stored_index import StoredIndex
from mmcl.datasets.sources.folder import normal_class
from mmcl.datasets.sources.splits import name_problems
from mmcl.errors import FileError, InputError
from mmcl.io import print_once
from mmcl.readers.shards import is_store
from mmcl.readers.shards.layout import address_of, is_remote

NO_EVENT = "0"

_opened: dict[str, tuple[Any, StoredIndex]] = {}


def read_stored(data: Path) -> StoredIndex | RecordingIndex | None:
    """The index of a store; one whose recordings have no split as plain rows. None where the data are no store.

    Args:
        data: What the user gave as ``--data``.

    Raises:
        FileError: The store is not as expected, or some recordings alone have a split.
    """
    if not is_store(data):
        return None
    state = _state(data)
    if state is None or _opened.get(str(data), (None,))[0] != state:
        _opened.clear()
        _opened[str(data)] = state, StoredIndex(data)
    index = _opened[str(data)][1]
    has_split = index.columns.split >= 0
    if has_split.all():
        return index
    if has_split.any():
        name = index.columns.store.text("name", int(np.flatnonzero(~has_split)[0]))
        raise FileError(data, f"{name} has no split, others have", "give all of them one, or none")
    return index.as_rows()


def _state(data: Path) -> tuple[tuple[str, int, int], ...] | None:
    """Of a store's files, so that one that did not change is opened once; None of an address."""
    if is_remote(address_of(data)):
        return None
    return tuple(sorted((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in data.iterdir()))


def read_stored_crops(
    data: Path,
    crops: int,
    rate_hz: float,
    classes: tuple[str, ...],
    hold_out: Callable[[list[str]], Collection[str]],
    labels_of: Callable[[str], tuple[str, ...]],
) -> RecordingIndex | None:
    """The index of a store of a data set whose recordings are crops, NAME__0 to NAME__9; None where there is no store.

    Args:
        data: What the user gave as ``--data``.
        crops: How many of each video to take.
        rate_hz: Rows a second that the data set's options say.
        classes: Of the data set, by its options.
        hold_out: From the names of the videos that are not tested to those of the validation split.
        labels_of: Those that a video of a name shows.

    Raises:
        FileError: The store has no splits, recordings that are no crops, or rows of another length.
    """
    index = read_stored(data)
    if index is None:
        return None
    if not isinstance(index, StoredIndex):
        raise FileError(data, "its recordings have no split", "convert the data set's own folder: mmcl store convert")
    store = index.columns.store
    for m, measured in store.rate_hz.items():
        wrong = (store.rows[m] > 0) & (abs(measured - rate_hz) > 1e-6 * rate_hz)
        if wrong.any():
            what = f"its {m} has {measured[wrong][0]:.4g} rows a second, not {rate_hz:.4g}"
            raise FileError(data, what, "--data.frames-per-row says how many frames a row stands for")
    rows = list(index.rows)
    held_out = hold_out(list(dict.fromkeys(row.group for row in rows if row.split != "test")))
    chosen, n_there = [], 0
    for row in rows:
        video, _, crop = row.name.rpartition("__")
        if video != row.group or not crop.isdigit():
            raise FileError(data, f"{row.name} is no crop of a video", "expected a store of this data set")
        n_there = max(n_there, int(crop) + 1)
        if int(crop) < crops:
            split = "test" if row.split == "test" else "validation" if video in held_out else "train"
            chosen.append(replace(row, split=split, labels=labels_of(video), align="rows"))
    if n_there != crops:
        print_once(f"{data}: crops of each video: {n_there} there, {min(n_there, crops)} used (--data.crops {crops})")
    return RecordingIndex(tuple(chosen), classes, data, index.extractors)


def settle_events(index: StoredIndex, normal: str, says_splits: bool) -> StoredIndex:
    """The index with classes of events only; recordings of the normal class have no label.

    Args:
        index: Of a store with splits.
        normal: The class of recordings without events, "" = by its name, where every recording has a label.
        says_splits: An option that says the splits was given.

    Raises:
        FileError: There are no recordings with, or without, events in a split.
        InputError: A recording is both normal and of another class, or options contradict the store.
    """
    columns = index.columns
    without = {NO_EVENT} & set(columns.classes)
    if normal or (not without and columns.n_labels.all()):
        without.add(normal_class(columns.classes, normal, index.path))
    if without:
        events = index.without_classes(without)
        both = (events.columns.n_labels < columns.n_labels) & (events.columns.n_labels > 0)
        if both.any():
            name = columns.store.text("name", int(np.flatnonzero(both)[0]))
            raise InputError(f"{index.path}: {name} is normal and of another class; a recording holds events or none")
        index = events
    columns = index.columns
    if (wrong := np.flatnonzero(columns.has_events & (columns.n_labels == 0))).size:
        name = columns.store.text("name", int(wrong[0]))
        raise InputError(f"{index.path}: {name} has events, and a label that says that there are none")
    for number, split in enumerate(SPLITS[1:], 1):
        timed = np.flatnonzero((columns.split == number) & (columns.n_labels > 0))
        if len(set(columns.has_events[timed].tolist())) == 2:
            name = columns.store.text("name", int(timed[~columns.has_events[timed]][0]))
            raise InputError(f"{index.path}: {name} has no events, which others of the {split} split have")
    _check(index, says_splits, is_localized=bool(columns.has_events.any()))
    return index


def settle_classes(index: StoredIndex, says_splits: bool) -> StoredIndex:
    """The index, whose recordings show one class each.

    Args:
        index: Of a store with splits.
        says_splits: An option that says the splits was given.

    Raises:
        FileError: A recording has no class or several, or a split shows one alone.
        InputError: Options contradict the store.
    """
    columns = index.columns
    if (wrong := np.flatnonzero(columns.n_labels != 1)).size:
        name, n = columns.store.text("name", int(wrong[0])), int(columns.n_labels[wrong[0]])
        raise FileError(index.path, f"{name} has {n} labels", "expected one class")
    _check(index, says_splits, is_localized=False)
    return index


def _check(index: StoredIndex, says_splits: bool, is_localized: bool) -> None:
    """Splits are there, show two classes, and share no group; ``is_localized`` as ``check_classes`` takes it."""
    columns = index.columns
    for what, remedy in name_problems(columns.classes):
        raise FileError(index.path, what, remedy)
    if says_splits:
        raise InputError(f"{index.path}: the store says the splits already; leave the options that say them out")
    grouped = np.flatnonzero(columns.has_group)
    pairs = np.unique(columns.group_number[grouped].astype(np.int64) * len(SPLITS) + columns.split[grouped])
    groups, counts = np.unique(pairs // len(SPLITS), return_counts=True)
    if (shared := groups[counts > 1]).size:
        name = columns.group_name(int(shared[0]))
        raise FileError(index.path, f"the group '{name}' is in two splits", "keep each group in one split")
    for number, split in enumerate(SPLITS):
        members = np.flatnonzero(columns.split == number)
        if not members.size:
            if split == "validation":
                continue
            raise FileError(index.path, f"holds no recordings of the {split} split", "assign some to it")
        shown = columns.label_sets(members)
        if len(shown) == 1 and not (is_localized and split != "train"):
            raise FileError(index.path, f"its {split} split shows one class alone", "expected two classes or more")
