"""Recordings into a part of a store."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from mmcl.errors import FileError, InputError
from mmcl.io import write_failure
from mmcl.readers.shards.layout import (
    BATCH_ROWS,
    CARD,
    INDEX,
    StoredModality,
    arrow,
    data_file,
    file_size,
    index_schema,
    parse_card,
    texts_of,
    write_card,
)

PART_MB = 256.0  # of all modalities
COMMIT_S = 300.0  # what a writer that is killed loses at most


class ShardWriter:
    """Adds recordings to a store, in a part of its own. A context: the last part is committed at its end.

    Args:
        folder: Of the store; it is made, or must hold the same modalities.
        modalities: What it holds.
        extractors: Cards of what made the features, as JSON holds them.
        part_mb: A part is committed when it is so large,
        commit_s: or so old [s].

    Raises:
        FileError: The folder holds something else, or cannot be written.

    Example:
        >>> import tempfile
        >>> from mmcl.readers.shards import ShardStore
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with ShardWriter(Path(folder), {"wrist": StoredModality("inertial", (6,))}) as writer:
        ...         writer.add("r", {"wrist": np.ones((100, 6))}, {"wrist": 50.0}, labels=("wave",))
        ...     store = ShardStore(folder)
        ...     len(store), store.array(0, "wrist").shape, store.text("labels", 0)
        (1, (100, 6), 'wave')
    """

    def __init__(
        self,
        folder: Path,
        modalities: Mapping[str, StoredModality],
        extractors: Mapping[str, Any] | None = None,
        part_mb: float = PART_MB,
        commit_s: float = COMMIT_S,
    ):
        self.folder, self.modalities, self.part_bytes, self.commit_s = folder, dict(modalities), part_mb * 1e6, commit_s
        self._open_card(extractors or {})
        self._part: _Part | None = None

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, FileError):  # the disk
            self.discard()
        else:
            self.commit()

    def add(
        self,
        name: str,
        signal: Mapping[str, np.ndarray],
        rate_hz: Mapping[str, float],
        split: str = "",
        labels: Sequence[str] = (),
        group: str = "",
        events: Sequence[tuple[float, float, str]] = (),
        info: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a recording.

        Args:
            name: Of the recording, unique in the store.
            signal: ``{modality: (row, ...)}``; it may lack some.
            rate_hz: Rows a second of each [Hz].
            split: "train", "validation", "test" or "".
            labels: Of its classes.
            group: Who or where it was recorded.
            events: (start_s, end_s, label) of the true ones.
            info: What else is known, as JSON holds it.

        Raises:
            InputError: A signal is not as the store's.
            FileError: The store cannot be written.
        """
        if not signal or any(";" in label for label in labels):
            raise InputError(f"{name}: expected signals, and labels without ';', got {list(signal)}, {list(labels)}")
        for m, x in signal.items():
            if m not in self.modalities or np.shape(x)[1:] != self.modalities[m].shape or len(x) == 0:
                expected = ", ".join(f"{k} (row, {', '.join(map(str, s.shape))})" for k, s in self.modalities.items())
                raise InputError(f"{name}: {m} {np.shape(x)}; the store holds {expected}")
        if self._part is None:
            self._part = self._on_disk(lambda: _Part(self.folder, self.modalities))
        part = self._part
        row: dict[str, Any] = {"name": name, **texts_of(split, labels, group, events), "info": json.dumps(info or {})}
        self._on_disk(lambda: part.add(row, signal, rate_hz))
        if part.n_bytes > self.part_bytes or time.monotonic() - part.began > self.commit_s:
            self.commit()

    def commit(self) -> None:
        """What was added so far is in the store from now on.

        Raises:
            FileError: The store cannot be written.
        """
        if self._part is not None:
            part, self._part = self._part, None
            self._on_disk(part.commit, part)

    def discard(self) -> None:
        """Forget what was added since the last commit."""
        if self._part is not None:
            self._part.discard()
            self._part = None

    def _on_disk(self, write: Any, part: _Part | None = None) -> Any:
        try:
            return write()
        except (OSError, ValueError) as error:
            failure = write_failure(self.folder / INDEX, error)
            if part := part or self._part:
                part.discard()
            self._part = None
            raise failure from error

    def _open_card(self, extractors: Mapping[str, Any]) -> None:
        card = self.folder / CARD
        if not card.exists():
            write_card(self.folder, self.modalities, extractors)
            return
        held, made_by = parse_card(card.read_bytes(), str(self.folder))
        if held != self.modalities:
            raise FileError(self.folder, f"is a store of {_describe(held)}, not of {_describe(self.modalities)}", "")
        if json.loads(json.dumps(extractors)) != made_by:
            raise FileError(self.folder, "is a store of features of other extractors", "choose another folder")


def _describe(modalities: Mapping[str, StoredModality]) -> str:
    return ", ".join(f"{m} {s.shape} {s.dtype}" for m, s in modalities.items())


class _Part:
    """Files that are being written; they have their names when all is in them."""

    def __init__(self, folder: Path, modalities: Mapping[str, StoredModality]):
        self.name = (
            f"{time.time_ns():016x}-{secrets.token_hex(4)}"  # parts are read in the order in which they were begun
        )
        self.folder, self.modalities, self.began = folder, modalities, time.monotonic()
        self.rows: list[dict[str, Any]] = []
        self.n_bytes = 0
        self.files = {m: _RowFile(self._hidden(data_file(self.name, m)), s) for m, s in modalities.items()}

    def _hidden(self, name: str) -> Path:
        return self.folder / f".{name}.part"

    def add(self, row: dict[str, Any], signal: Mapping[str, np.ndarray], rate_hz: Mapping[str, float]) -> None:
        for m, file in self.files.items():
            row[f"{m}.start"] = file.n_rows if m in signal else -1
            row[f"{m}.rows"] = len(signal[m]) if m in signal else 0
            row[f"{m}.rate_hz"] = float(rate_hz[m]) if m in signal else 0.0
        for m, x in signal.items():
            self.n_bytes += self.files[m].write(np.asarray(x))
        self.rows.append(row)

    def commit(self) -> None:
        pa = arrow()
        for file in self.files.values():
            file.close()
        sizes = {m: file_size(file.path) for m, file in self.files.items()}
        schema = index_schema(self.modalities, sizes)
        index = self._hidden(self.name + INDEX)
        with pa.OSFile(str(index), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            writer.write_table(pa.Table.from_pylist(self.rows, schema))
        for path in [*(file.path for file in self.files.values()), index]:
            with open(path, "rb+") as written:
                os.fsync(written.fileno())
        for m, file in self.files.items():
            os.replace(file.path, self.folder / data_file(self.name, m))
        os.replace(index, self.folder / (self.name + INDEX))

    def discard(self) -> None:
        for file in self.files.values():
            with contextlib.suppress(Exception):
                file.close()
            file.path.unlink(missing_ok=True)
        self._hidden(self.name + INDEX).unlink(missing_ok=True)


class _RowFile:
    """Rows of one modality in batches of equal size."""

    def __init__(self, path: Path, modality: StoredModality):
        pa = arrow()
        self.path, self.modality, self.n_rows = path, modality, 0
        self.schema = pa.schema([pa.field("x", pa.list_(pa.type_for_alias(modality.dtype), modality.width))])
        self.sink = pa.OSFile(str(path), "wb")
        self.writer = pa.ipc.new_file(self.sink, self.schema)
        self.waiting: list[np.ndarray] = []
        self.n_waiting = 0

    def write(self, x: np.ndarray) -> int:
        flat = np.ascontiguousarray(x, self.modality.dtype).reshape(len(x), -1)
        self.waiting.append(flat)
        self.n_rows, self.n_waiting = self.n_rows + len(flat), self.n_waiting + len(flat)
        if self.n_waiting >= BATCH_ROWS:
            rows = np.concatenate(self.waiting)
            n = len(rows) // BATCH_ROWS * BATCH_ROWS
            for k in range(0, n, BATCH_ROWS):
                self._write_batch(rows[k : k + BATCH_ROWS])
            self.waiting, self.n_waiting = [rows[n:]], len(rows) - n
        return flat.nbytes

    def _write_batch(self, rows: np.ndarray) -> None:
        pa = arrow()
        values = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), self.modality.width)
        self.writer.write_batch(pa.record_batch([values], schema=self.schema))

    def close(self) -> None:
        if self.n_waiting:
            self._write_batch(np.concatenate(self.waiting))
            self.n_waiting = 0
        self.writer.close()
        self.sink.close()
