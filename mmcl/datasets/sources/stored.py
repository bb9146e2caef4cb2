"""A store of shards as a data set of one's own: its splits and labels are checked by columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmcl.data.recording_index import SPLITS, RecordingIndex
from mmcl.data.stored_index import StoredIndex
from mmcl.datasets.sources.folder import normal_class
from mmcl.errors import FileError, InputError
from mmcl.readers.shards import is_store

NO_EVENT = "0"


def read_stored(data: Path) -> StoredIndex | RecordingIndex | None:
    """The index of a store; one whose recordings have no split as plain rows. None where the data are no store.

    Args:
        data: What the user gave as ``--data``.

    Raises:
        FileError: The store is not as expected, or some recordings alone have a split.
    """
    if not is_store(data):
        return None
    index = StoredIndex(data)
    has_split = index.columns.split >= 0
    if has_split.all():
        return index
    if has_split.any():
        name = index.columns.store.text("name", int(np.flatnonzero(~has_split)[0]))
        raise FileError(data, f"{name} has no split, others have", "give all of them one, or none")
    return index.as_rows()


def settle_events(index: StoredIndex, normal: str, asked: bool) -> StoredIndex:
    """The index with classes of events only; recordings of the normal class have no label.

    Args:
        index: Of a store with splits.
        normal: The class of recordings without events, "" = by its name, where every recording has a label.
        asked: An option that says the splits was given.

    Raises:
        FileError: There are no recordings with, or without, events in a split.
        InputError: A recording is both normal and of another class, or options contradict the store.
    """
    columns = index.columns
    without = {NO_EVENT} & set(columns.classes)
    everything = np.arange(len(columns.split))
    if normal or (not without and columns.labels_of(everything).any(1).all()):
        without.add(normal_class(columns.classes, normal, index.path))
    if without:
        is_normal = np.isin(columns.classes, sorted(without))
        labels = columns.labels_of(everything)
        both = labels[:, is_normal].any(1) & labels[:, ~is_normal].any(1)
        if both.any():
            name = columns.store.text("name", int(np.flatnonzero(both)[0]))
            raise InputError(f"{index.path}: {name} is normal and of another class; a recording holds events or none")
        index = index.without_classes(without)
    _check(index, asked, has_normal=True)
    return index


def settle_classes(index: StoredIndex, asked: bool) -> StoredIndex:
    """The index, whose recordings show one class each.

    Args:
        index: Of a store with splits.
        asked: An option that says the splits was given.

    Raises:
        FileError: A recording has no class or several, or a split shows one alone.
        InputError: Options contradict the store.
    """
    columns = index.columns
    n_labels = columns.labels_of(np.arange(len(columns.split))).sum(1)
    if (wrong := np.flatnonzero(n_labels != 1)).size:
        name = columns.store.text("name", int(wrong[0]))
        raise FileError(index.path, f"{name} has {int(n_labels[wrong[0]])} labels", "expected one class")
    _check(index, asked, has_normal=False)
    return index


def _check(index: StoredIndex, asked: bool, has_normal: bool) -> None:
    """Splits are there, show two classes, and share no group."""
    columns = index.columns
    if asked:
        raise InputError(f"{index.path}: the store says the splits already; leave the options that say them out")
    grouped = np.flatnonzero(columns.has_group)
    pairs = np.unique(np.stack([columns.group_number[grouped], columns.split[grouped]]), axis=1)
    groups, counts = np.unique(pairs[0], return_counts=True)
    if (shared := groups[counts > 1]).size:
        name = columns.group_name(int(shared[0]))
        raise FileError(index.path, f"the group '{name}' is in two splits", "keep each group in one split")
    for number, split in enumerate(SPLITS):
        members = np.flatnonzero(columns.split == number)
        if not members.size:
            if split == "validation":
                continue
            raise FileError(index.path, f"holds no recordings of the {split} split", "assign some to it")
        shown = np.unique(columns.labels_of(members), axis=0)
        if len(shown) == 1 and not (has_normal and split != "train"):
            raise FileError(index.path, f"its {split} split shows one class alone", "expected two classes or more")
