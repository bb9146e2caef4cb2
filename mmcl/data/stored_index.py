"""The recording index of a store of shards: columns, not a Python object a recording."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np

from mmcl.data.durations import check_durations, check_events
from mmcl.data.recording_index import (
    SPLITS,
    RecordingIndex,
    RecordingRow,
    Source,
    SourceSignal,
)
from mmcl.errors import FileError
from mmcl.features.cards import card_from_dict
from mmcl.readers.shards import ShardStore
from mmcl.readers.shards.layout import CARD
from mmcl.types import InputSpec, Interval, Recording


class StoredRecordings(Sequence[Recording]):
    """Recordings of a store; each is made when it is asked for, its rows stay on the disk.

    Args:
        columns: Of the store.
        numbers: Of the recordings in the store.
        modalities: Which they have; those that a recording lacks are left out.

    Attributes:
        labels: ``(recording, class)`` float32.
        groups: ``(recording,)`` int, numbers of the groups.
        has: ``{modality: (recording,)}`` bool.
    """

    def __init__(self, columns: StoreColumns, numbers: np.ndarray, modalities: Sequence[str]):
        self.columns, self.numbers, self.modalities = columns, numbers, tuple(modalities)

    @property
    def labels(self) -> np.ndarray:
        return self.columns.labels_of(self.numbers)

    @property
    def groups(self) -> np.ndarray:
        return self.columns.group_number[self.numbers]

    @property
    def has(self) -> dict[str, np.ndarray]:
        return {m: self.columns.store.rows[m][self.numbers] > 0 for m in self.modalities}

    def name(self, i: int) -> str:
        """Name of a recording."""
        return self.columns.store.text("name", int(self.numbers[i]))

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, i: int) -> Recording: ...
    @overload
    def __getitem__(self, i: slice) -> StoredRecordings: ...
    def __getitem__(self, i: int | slice) -> Recording | StoredRecordings:
        if isinstance(i, slice):
            return StoredRecordings(self.columns, self.numbers[i], self.modalities)
        return self.columns.recording(int(self.numbers[i]), self.modalities)

    def __iter__(self) -> Iterator[Recording]:
        return (self.columns.recording(int(i), self.modalities) for i in self.numbers)

    def __add__(self, other: StoredRecordings) -> StoredRecordings:
        """These and others of the same store."""
        return StoredRecordings(self.columns, np.concatenate([self.numbers, other.numbers]), self.modalities)


def join_recordings(first: Sequence[Recording], second: Sequence[Recording]) -> Sequence[Recording]:
    """Two splits as one.

    Args:
        first: Recordings, in memory or of a store.
        second: The same.

    Example:
        >>> join_recordings([], [])
        []
    """
    if isinstance(first, StoredRecordings) and isinstance(second, StoredRecordings):
        return first + second
    return [*first, *second]


class StoreColumns:
    """What a store says of its recordings.

    Args:
        store: The store.

    Attributes:
        classes: Names of the classes, sorted.
        split: ``(recording,)`` int8, number in ``SPLITS``, -1 = none.
        group_number: ``(recording,)`` int32.

    Raises:
        FileError: A split is unknown.
    """

    def __init__(self, store: ShardStore):
        self.store = store
        splits, code = _coded(store.column("split"))
        if unknown := [s for s in splits if s not in (*SPLITS, "")]:
            raise FileError(store.address, f"split '{unknown[0]}'", f"expected {', '.join(SPLITS)} or none")
        self.split = np.array([SPLITS.index(s) if s else -1 for s in splits], np.int8)[code]
        self._groups, self.group_number = _coded(store.column("group"))
        self._event_texts, self._event_text = _coded(store.column("events"))
        sets, self._label_set = _coded(store.column("labels"))
        named = [tuple(filter(None, s.split(";"))) for s in sets]
        self.classes = tuple(sorted({name for names in named for name in names}))
        self._label_names = named
        self._labels = np.array([[c in names for c in self.classes] for names in named], np.float32)

    @property
    def has_group(self) -> np.ndarray:
        """``(recording,)`` bool: it is known who or where it was recorded."""
        return np.array([bool(g) for g in self._groups])[self.group_number]

    def group_name(self, number: int) -> str:
        """Name of a group."""
        return self._groups[number]

    def without_classes(self, names: Collection[str]) -> StoreColumns:
        """The same with some classes left out of the labels.

        Args:
            names: Of classes.
        """
        columns = copy.copy(self)
        kept = [k for k, c in enumerate(self.classes) if c not in names]
        columns.classes = tuple(self.classes[k] for k in kept)
        columns._labels = self._labels[:, kept]
        columns._label_names = [tuple(c for c in of if c not in names) for of in self._label_names]
        return columns

    @property
    def n_labels(self) -> np.ndarray:
        """``(recording,)`` int, classes that each shows."""
        return np.array([len(names) for names in self._label_names])[self._label_set]

    def label_sets(self, numbers: np.ndarray) -> set[tuple[str, ...]]:
        """Sets of classes that recordings show.

        Args:
            numbers: Of the recordings.
        """
        return {self._label_names[k] for k in np.unique(self._label_set[numbers])}

    def labels_of(self, numbers: np.ndarray) -> np.ndarray:
        """``(recording, class)`` float32."""
        return self._labels[self._label_set[numbers]]

    def recording(self, i: int, modalities: Sequence[str]) -> Recording:
        """One recording, its signals not read yet.

        Args:
            i: Its number in the store.
            modalities: Which; those that it lacks are left out, and it has one at least.

        Raises:
            InputError: Its modalities do not last equally long, or an event lies behind its end.
        """
        store = self.store
        name, events = store.text("name", i), self.events(i)
        arrays = {m: x for m in modalities if (x := store.array(i, m)) is not None}
        rate_hz = {m: float(store.rate_hz[m][i]) for m in arrays}
        where = f"{store.address}, recording {name}"
        check_durations(arrays, rate_hz, where)
        check_events(events, min(len(x) / rate_hz[m] for m, x in arrays.items()), where)
        return Recording(
            name,
            arrays,  # type: ignore[arg-type]  # lazy ones
            rate_hz,
            self._labels[self._label_set[i]],
            self._groups[self.group_number[i]],
            events,
            {m: store.modalities[m].channels for m in arrays if store.modalities[m].channels},
        )

    @property
    def has_events(self) -> np.ndarray:
        """``(recording,)`` bool: times of events are known."""
        return np.array([bool(text) for text in self._event_texts])[self._event_text]

    def events(self, i: int) -> tuple[Interval, ...]:
        """The true events of a recording."""
        text = self.store.text("events", i)
        return tuple(Interval(float(a), float(b), str(name)) for a, b, name in json.loads(text)) if text else ()

    def row(self, i: int) -> RecordingRow:
        """The same as a row of an index."""
        store = self.store
        sources = {
            m: Source(spec.kind, (Path(store.address) / store.text("name", i),), partial(self._signal, i, m))
            for m, spec in store.modalities.items()
            if store.rows[m][i]
        }
        split, name = int(self.split[i]), store.text("name", i)
        labels, group = self._label_names[self._label_set[i]], self._groups[self.group_number[i]]
        where = f"{store.address}, recording {name}"
        return RecordingRow(
            name, SPLITS[split] if split >= 0 else "", labels, group, self.events(i), sources, "rates", where
        )

    def _signal(self, i: int, m: str) -> SourceSignal:
        return SourceSignal(self.store.array(i, m), float(self.store.rate_hz[m][i]), self.store.modalities[m].channels)


class StoredRows(Sequence[RecordingRow]):
    """Rows of an index, each made when it is asked for.

    Args:
        columns: Of the store.
        numbers: Of the recordings.
    """

    def __init__(self, columns: StoreColumns, numbers: np.ndarray):
        self.columns, self.numbers = columns, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return StoredRows(self.columns, self.numbers[i])
        return self.columns.row(int(self.numbers[i]))


class StoredIndex(RecordingIndex):
    """All recordings of a store, as an index that makes rows when they are asked for.

    Args:
        place: Folder of the store, or its address.

    Raises:
        FileError: The store is not as expected.
    """

    def __init__(self, place: Path | str):
        self._set(Path(place), StoreColumns(ShardStore(place)))

    columns: StoreColumns

    def _set(self, path: Path, columns: StoreColumns) -> None:
        store = columns.store
        made_by = {m: card_from_dict(c, Path(store.address) / CARD) for m, c in store.extractors.items()}
        values = {"rows": StoredRows(columns, np.arange(len(store))), "classes": columns.classes}
        for name, value in {**values, "path": path, "extractors": made_by, "columns": columns}.items():
            object.__setattr__(self, name, value)

    def without_classes(self, names: Collection[str]) -> StoredIndex:
        """The same with some classes left out of the labels."""
        index = copy.copy(self)
        index._set(self.path, self.columns.without_classes(names))
        return index

    @property
    def sha256(self) -> str:
        """See ``RecordingIndex.sha256``; lengths stand for names, so that a million are not read."""
        c = self.columns
        digest = hashlib.sha256("\n".join(self.classes).encode())
        numbers = np.arange(len(c.split))
        for x in (c.split, c.labels_of(numbers), c.group_number, *c.store.rows.values()):
            digest.update(np.ascontiguousarray(x).tobytes())
        return digest.hexdigest()

    @property
    def has_media(self) -> bool:
        """See ``RecordingIndex.has_media``: features are in the store."""
        return False

    @property
    def kinds(self) -> dict[str, str]:
        """See ``RecordingIndex.kinds``."""
        return {m: s.kind for m, s in self.columns.store.modalities.items()}

    def of(self, split: str) -> list[RecordingRow]:
        """See ``RecordingIndex.of``."""
        return list(StoredRows(self.columns, self._numbers(split)))

    def load(self, split: str, modalities: Sequence[str] = ()) -> StoredRecordings:  # type: ignore[override]
        """See ``RecordingIndex.load``; nothing is read yet."""
        chosen = tuple(modalities) or tuple(self.kinds)
        numbers = self._numbers(split)
        has_any = np.any([self.columns.store.rows[m][numbers] > 0 for m in chosen], 0)
        if left := int((~has_any).sum()):
            print(f"{split}: {left} recordings have no {' and no '.join(chosen)}, and are left out", flush=True)
        return StoredRecordings(self.columns, numbers[has_any], chosen)

    def inputs(self, *splits: Sequence[Recording]) -> dict[str, InputSpec]:
        """See ``RecordingIndex.inputs``."""
        return {m: InputSpec(s.kind, s.shape, s.channels) for m, s in self.columns.store.modalities.items()}

    def as_rows(self) -> RecordingIndex:
        """A plain index, an object a recording."""
        return RecordingIndex(tuple(self.rows), self.classes, self.path, self.extractors)

    def _numbers(self, split: str) -> np.ndarray:
        return np.flatnonzero(self.columns.split == SPLITS.index(split))


def _coded(column: Any) -> tuple[list[str], np.ndarray]:
    """Distinct texts of a column, and the number of each row's."""
    coded = column.combine_chunks().dictionary_encode()
    return [str(v) for v in coded.dictionary.to_pylist()], coded.indices.to_numpy().astype(np.int32)
