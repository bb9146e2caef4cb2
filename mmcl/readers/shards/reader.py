"""Recordings of a store, their rows read from mapped shards when they are asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mmcl.errors import FileError
from mmcl.readers.shards.files import LocalFiles, RemoteFiles, StoreFiles
from mmcl.readers.shards.layout import (
    BATCH_ROWS,
    CARD,
    INDEX,
    TEXTS,
    address_of,
    arrow,
    data_file,
    is_remote,
    parse_card,
)


class ShardStore:
    """A store that any number of processes read. Opening it reads the indexes of its parts alone.

    Args:
        place: Its folder, or an address of fsspec (``s3://bucket/store``).

    Attributes:
        modalities: What it holds of each modality.
        extractors: Cards of what made the features, as JSON holds them.
        rows: ``{modality: (recording,)}`` int, 0 = lacks it.
        rate_hz: ``{modality: (recording,)}`` float [Hz].

    Raises:
        FileError: A part is missing, torn or of another store, or two parts hold a recording.

    Example:
        >>> import tempfile
        >>> from mmcl.readers.shards import ShardWriter, StoredModality
        >>> place = Path(tempfile.mkdtemp()) / "store"
        >>> with ShardWriter(place, {"wrist": StoredModality("inertial", (6,))}) as writer:
        ...     writer.add("walk", {"wrist": np.zeros((50, 6))}, {"wrist": 50.0})
        >>> len(ShardStore(place))
        1
    """

    def __init__(self, place: Path | str):
        self.address = address_of(place)
        self._files: StoreFiles = (RemoteFiles if is_remote(self.address) else LocalFiles)(self.address)
        self.modalities, self.extractors = parse_card(self._files.read(CARD), self.address)
        self._open_parts()
        self._check_names()

    def __len__(self) -> int:
        return len(self._part)

    def __reduce__(self) -> tuple[Any, ...]:
        return ShardStore, (self.address,)  # a process opens it for itself

    def text(self, column: str, i: int) -> str:
        """A recording's name, split, labels (A;B), group, events or info (JSON).

        Args:
            column: One of ``TEXTS``.
            i: Number of the recording.
        """
        return str(self._texts[column][i])

    def column(self, column: str) -> Any:
        """The same of all recordings, as pyarrow's array."""
        return self._texts[column]

    def array(self, i: int, modality: str) -> StoredArray | None:
        """The rows of a recording, not read yet; None where it lacks the modality.

        Args:
            i: Number of the recording.
            modality: Which.
        """
        n = int(self.rows[modality][i])
        if not n:
            return None
        return StoredArray(self, modality, int(self._part[i]), int(self._start[modality][i]), n)

    def read(self, modality: str, part: int, rows: np.ndarray) -> np.ndarray:
        """Rows of a part.

        Args:
            modality: Which.
            part: Its number.
            rows: ``(n,)`` int, in the part.
        """
        spec = self.modalities[modality]
        batches = self._shard(part, modality)
        first, last = int(rows[0]) // BATCH_ROWS, int(rows[-1]) // BATCH_ROWS
        if first == last:
            return batches(first)[rows - first * BATCH_ROWS].reshape(len(rows), *spec.shape)
        of_row = rows // BATCH_ROWS
        out = np.empty((len(rows), spec.width), spec.dtype)
        for k in np.unique(of_row):
            chosen = of_row == k
            out[chosen] = batches(int(k))[rows[chosen] - k * BATCH_ROWS]
        return out.reshape(len(rows), *spec.shape)

    def read_range(self, modality: str, part: int, start: int, stop: int) -> np.ndarray:
        """Rows ``start`` to ``stop`` of a part, copied."""
        spec = self.modalities[modality]
        batches, out, at = self._shard(part, modality), np.empty((stop - start, spec.width), spec.dtype), 0
        for k in range(start // BATCH_ROWS, (stop - 1) // BATCH_ROWS + 1):
            rows = batches(k)[max(start - k * BATCH_ROWS, 0) : stop - k * BATCH_ROWS]
            out[at : at + len(rows)] = rows
            at += len(rows)
        return out.reshape(stop - start, *spec.shape)

    def _open_parts(self) -> None:
        pa = arrow()
        sizes = self._files.sizes()
        names = sorted(n.removesuffix(INDEX) for n in sizes if n.endswith(INDEX))
        if not names:
            raise FileError(self.address, "holds no recordings", "was the job that writes it stopped at once?")
        tables = []
        for name in names:
            table = self._files.table(name + INDEX)
            expected = _bytes_of(table, f"{self.address}/{name}{INDEX}")
            for m in self.modalities:
                file = data_file(name, m)
                if sizes.get(file) != expected.get(m):
                    problem = f"has {sizes[file]} bytes, expected {expected.get(m)}" if file in sizes else "is missing"
                    raise FileError(f"{self.address}/{file}", problem, "copy the part again, or remove all its files")
            tables.append(table)
        try:
            joined = pa.concat_tables(tables)
            self._texts = {c: joined.column(c) for c in TEXTS}
            self._start = {m: joined.column(f"{m}.start").to_numpy() for m in self.modalities}
            self.rows = {m: joined.column(f"{m}.rows").to_numpy() for m in self.modalities}
            self.rate_hz = {m: joined.column(f"{m}.rate_hz").to_numpy() for m in self.modalities}
        except (KeyError, pa.ArrowException) as error:
            raise FileError(self.address, f"has parts that are unlike each other ({error})", "copy it again") from error
        self._names = names
        self._part = np.repeat(np.arange(len(names), dtype=np.int32), [len(t) for t in tables])
        self._shards: dict[tuple[int, str], Callable[[int], np.ndarray]] = {}

    def _check_names(self) -> None:
        """Two parts may hold the same recording only if two writers made the same of the same file."""
        names = self._texts["name"]
        if arrow().compute.call_function("count_distinct", [names]).as_py() == len(names):
            return
        seen: dict[str, int] = {}
        kept = []
        for i, name in enumerate(names.to_pylist()):
            other = seen.setdefault(name, i)
            if other == i:
                kept.append(i)
            elif not self._is_same(other, i):
                parts = " and ".join(self._names[self._part[k]] for k in (other, i))
                raise FileError(self.address, f"the parts {parts} hold different recordings named {name}", "remove one")
        chosen = np.array(kept)
        self._texts = {c: column.take(chosen) for c, column in self._texts.items()}
        self._start, self.rows, self.rate_hz = (
            {m: x[chosen] for m, x in of.items()} for of in (self._start, self.rows, self.rate_hz)
        )
        self._part = self._part[chosen]

    def _is_same(self, i: int, k: int) -> bool:
        texts = all(self.text(c, i) == self.text(c, k) for c in TEXTS)
        rates = all(x[i] == x[k] for x in self.rate_hz.values())
        return texts and rates and all(self._same(m, i, k) for m in self.modalities)

    def _same(self, m: str, i: int, k: int) -> bool:
        a, b = self.array(i, m), self.array(k, m)
        return (a is None and b is None) or (
            a is not None and b is not None and np.array_equal(np.asarray(a), np.asarray(b))
        )

    def _shard(self, part: int, m: str) -> Callable[[int], np.ndarray]:
        shard = self._shards.get((part, m))
        if shard is None:
            file = data_file(self._names[part], m)
            shard = self._shards[part, m] = self._files.batches(file, self.modalities[m])
        return shard


class StoredArray:
    """The rows of one recording in a store. ``x[idx]`` reads those rows alone, ``np.asarray(x)`` all.

    Args:
        store: Where they are.
        modality: Which.
        part: Number of its part.
        start: Its first row there.
        n: Its rows.

    Example:
        >>> import tempfile
        >>> from mmcl.readers.shards import ShardStore, ShardWriter, StoredModality
        >>> place = Path(tempfile.mkdtemp()) / "store"
        >>> with ShardWriter(place, {"wrist": StoredModality("inertial", (6,))}) as writer:
        ...     writer.add("walk", {"wrist": np.ones((50, 6))}, {"wrist": 50.0})
        >>> float(ShardStore(place).array(0, "wrist")[10:12].sum())
        12.0
    """

    def __init__(self, store: ShardStore, modality: str, part: int, start: int, n: int):
        spec = store.modalities[modality]
        self.store, self.modality, self.part, self.start = store, modality, part, start
        self.shape, self.dtype, self.ndim = (n, *spec.shape), np.dtype(spec.dtype), 1 + len(spec.shape)

    def first(self, n: int) -> StoredArray:
        """The first ``n`` rows, not read yet."""
        return StoredArray(self.store, self.modality, self.part, self.start, n)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, idx: Any) -> np.ndarray:
        if isinstance(idx, slice):
            start, stop, step = idx.indices(len(self))
            if step == 1 and stop > start:
                return self.store.read_range(self.modality, self.part, self.start + start, self.start + stop)
        if isinstance(idx, np.ndarray) and idx.ndim == 1 and idx.dtype.kind in "iu" and len(idx):
            is_rising = idx[0] >= 0 and idx[-1] < len(self) and (idx[1:] >= idx[:-1]).all()
            if is_rising:
                return self.store.read(self.modality, self.part, self.start + idx)
        return self.store.read_range(self.modality, self.part, self.start, self.start + len(self))[idx]

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        content = self[:]
        return content if dtype is None else content.astype(dtype, copy=False)


def _bytes_of(table: Any, where: str) -> dict[str, int]:
    try:
        content = json.loads(table.schema.metadata[b"bytes"])
        return {str(m): int(n) for m, n in content.items()}
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise FileError(where, "is no index of a store", "copy the part again") from error
