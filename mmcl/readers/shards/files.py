"""Files of a store, on this machine or in an object store."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mmcl.errors import FileError
from mmcl.readers.shards.layout import BATCH_ROWS, StoredModality, arrow

T = TypeVar("T")
ATTEMPTS, PAUSE_S = 4, 0.5  # of an object store that does not answer; each pause is twice the one before


class StoreFiles(ABC):
    """Files of a store, wherever it is."""

    def __init__(self, address: str):
        self.address = address

    @abstractmethod
    def read(self, name: str) -> bytes:
        """A file's bytes."""

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """Bytes of each file, by name."""

    @abstractmethod
    def buffer(self, name: str) -> Any:
        """All of a file, as pyarrow reads it."""

    @abstractmethod
    def batches(self, name: str, spec: StoredModality) -> Callable[[int], np.ndarray]:
        """What returns a batch ``(row, width)`` by its number."""

    def open(self, name: str, content: Any) -> Any:
        """pyarrow's reader of a file's content."""
        pa = arrow()
        try:
            return pa.ipc.open_file(content)
        except pa.ArrowException as error:
            raise FileError(f"{self.address}/{name}", f"is torn or no Arrow file ({error})", "copy it again") from error

    def table(self, name: str) -> Any:
        """All of an index."""
        return self.open(name, self.buffer(name)).read_all()

    def flat(self, reader: Any, k: int, name: str, spec: StoredModality) -> tuple[Any, np.ndarray]:
        """A batch's buffer, and its rows ``(row, width)`` without copying."""
        pa = arrow()
        try:
            values = reader.get_batch(k).column(0).flatten()
            rows = values.to_numpy(zero_copy_only=True).reshape(-1, spec.width)
            if len(rows) != BATCH_ROWS and k < reader.num_record_batches - 1:
                raise ValueError(f"batch {k} has {len(rows)} rows")
            return values.buffers()[1], rows
        except (pa.ArrowException, ValueError, IndexError) as error:
            raise FileError(f"{self.address}/{name}", f"is torn ({error})", "copy it again") from error


class LocalFiles(StoreFiles):
    """Mapped into memory: a batch is found once, then it is a view."""

    def read(self, name: str) -> bytes:
        path = Path(self.address) / name
        try:
            return path.read_bytes()
        except OSError as error:
            raise FileError(path, f"cannot be read ({error.strerror})", "is this a store?") from error

    def sizes(self) -> dict[str, int]:
        return {p.name: p.stat().st_size for p in Path(self.address).iterdir() if not p.name.startswith(".")}

    def buffer(self, name: str) -> Any:
        path = Path(self.address) / name
        try:
            return arrow().memory_map(str(path)).read_buffer()
        except OSError as error:
            raise FileError(path, f"cannot be read ({error})", "is it still there?") from error

    def batches(self, name: str, spec: StoredModality) -> Callable[[int], np.ndarray]:
        mapped = self.buffer(name)
        reader = self.open(name, mapped)
        content, itemsize = np.frombuffer(mapped, np.uint8), np.dtype(spec.dtype).itemsize
        offset, count = np.full((2, reader.num_record_batches), -1, np.int64)

        def batch(k: int) -> np.ndarray:
            if offset[k] < 0:
                buffer, rows = self.flat(reader, k, name, spec)
                count[k], offset[k] = rows.size, buffer.address - mapped.address
            flat = content[offset[k] : offset[k] + count[k] * itemsize].view(spec.dtype)
            return flat.reshape(-1, spec.width)

        return batch


class RemoteFiles(StoreFiles):
    """By fsspec: a batch is fetched alone; the latest one of each file is kept."""

    def __init__(self, address: str):
        super().__init__(address.rstrip("/"))
        try:
            import fsspec
        except ImportError as error:
            raise FileError(address, f"needs {error.name}", "pip install 'mmcl[store]'") from None
        try:
            self.system, self.root = fsspec.core.url_to_fs(self.address)
        except (ImportError, ValueError, OSError) as error:
            raise FileError(address, f"cannot be opened ({error})", "install what fsspec asks for") from error
        self.lock = threading.Lock()

    def _again(self, name: str, ask: Callable[[], T]) -> T:
        for attempt in range(ATTEMPTS):
            try:
                return ask()
            except FileError:  # the file is torn: asking again changes nothing
                raise
            except FileNotFoundError as error:
                raise FileError(f"{self.address}/{name}", "no such file", "is this a store?") from error
            except Exception as error:  # whatever the service's own library raises
                if attempt == ATTEMPTS - 1:
                    text = f"the object store does not answer ({type(error).__name__}: {error})"
                    raise FileError(f"{self.address}/{name}", text, "check the network; it goes on later") from error
                time.sleep(PAUSE_S * 2**attempt)
        raise AssertionError

    def read(self, name: str) -> bytes:
        return bytes(self._again(name, lambda: self.system.cat_file(f"{self.root}/{name}")))

    def sizes(self) -> dict[str, int]:
        listed = self._again("", lambda: self.system.ls(self.root, detail=True, refresh=True))
        return {f["name"].rsplit("/", 1)[-1]: int(f["size"]) for f in listed if f["type"] == "file"}

    def buffer(self, name: str) -> Any:
        return arrow().py_buffer(self.read(name))

    def batches(self, name: str, spec: StoredModality) -> Callable[[int], np.ndarray]:
        pa, latest = arrow(), dict[int, np.ndarray]()
        path = f"{self.root}/{name}"
        reader = self._again(name, lambda: self.open(name, pa.PythonFile(self.system.open(path, "rb"), mode="r")))

        def batch(k: int) -> np.ndarray:
            with self.lock:
                if k not in latest:
                    _, rows = self._again(name, lambda: self.flat(reader, k, name, spec))
                    latest.clear()
                    latest[k] = rows
                return latest[k]

        return batch
