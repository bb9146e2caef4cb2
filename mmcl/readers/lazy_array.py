"""An array that stays in its file: opened for each reading, so that any number of them can wait.

A mapped array keeps its file open, and a data set has more files than a process may open.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmcl.errors import FileError


class LazyArray:
    """The first ``n`` rows of a ``.npy`` file. ``x[idx]`` reads those rows alone, ``np.asarray(x)`` all.

    Raises FileError when the file cannot be read (any more).
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype):
        self.path, self.shape, self.dtype, self.ndim = path, shape, dtype, len(shape)

    def first(self, n: int) -> LazyArray:
        """The first ``n`` rows, not read yet."""
        return LazyArray(self.path, (n, *self.shape[1:]), self.dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, idx: Any) -> np.ndarray:
        try:
            mapped = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise FileError(self.path, f"cannot be read any more ({error})", "was it moved or changed?") from error
        if mapped.shape[1:] != self.shape[1:] or len(mapped) < len(self):
            raise FileError(
                self.path,
                f"holds shape {mapped.shape} now, had {self.shape} before",
                "it changed while in use; start again",
            )
        return np.array(mapped[: len(self)][idx])

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        content = self[:]
        return content if dtype is None else content.astype(dtype, copy=False)


class LazyCrop:
    """One crop of a lazy array ``(row, crop, channel)``, as rows ``(row, channel)``.

    Args:
        array: All crops.
        crop: Which.
    """

    ndim = 2

    def __init__(self, array: LazyArray, crop: int):
        self.array, self.crop = array, crop
        self.shape, self.dtype, self.path = (array.shape[0], array.shape[2]), array.dtype, array.path

    def first(self, n: int) -> LazyCrop:
        """The first ``n`` rows, not read yet."""
        return LazyCrop(self.array.first(n), self.crop)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, idx: Any) -> np.ndarray:
        return self.array[idx][..., self.crop, :]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        content = self[:]
        return content if dtype is None else content.astype(dtype, copy=False)


class SideBySide:
    """Lazy arrays of the same rows, their channels concatenated when rows are read.

    Args:
        arrays: ``(row, channel)`` each.
    """

    ndim = 2

    def __init__(self, arrays: Sequence[LazyArray]):
        n = min(len(x) for x in arrays)
        self.arrays = [x.first(n) for x in arrays]
        self.shape = (n, sum(x.shape[1] for x in arrays))
        self.dtype = self.arrays[0].dtype

    def first(self, n: int) -> SideBySide:
        """The first ``n`` rows, not read yet."""
        return SideBySide([x.first(n) for x in self.arrays])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, idx: Any) -> np.ndarray:
        return np.concatenate([x[idx] for x in self.arrays], -1)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        content = self[:]
        return content if dtype is None else content.astype(dtype, copy=False)


def open_npy(path: Path, remedy: str = "extract or download it again") -> LazyArray:
    """``open_lazy``, its errors told as those of the file.

    Args:
        path: The file.
        remedy: What to do about a file that cannot be read.

    Raises:
        FileError: It is no readable ``.npy`` file.
    """
    try:
        return open_lazy(path)
    except (OSError, ValueError, EOFError) as error:
        what = "holds no plain array" if "pickle" in str(error) else f"not a readable .npy file ({error})"
        raise FileError(path, what, remedy) from error


def open_lazy(path: Path) -> LazyArray:
    """Read a ``.npy`` file's header only.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be opened.
        ValueError: It is no plain array, or is shorter than it says.
    """
    with open(path, "rb") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        try:
            shape, _, dtype = read(file)
        except (ValueError, OSError, EOFError):
            raise
        except Exception as error:  # the header is Python's syntax, and what parses it has errors of its own
            raise ValueError(f"a broken header ({type(error).__name__})") from error
        if dtype.hasobject:
            raise ValueError("objects that only pickle reads")
        if any(n < 0 for n in shape):
            raise ValueError(f"negative shape {shape}")
        size = file.tell() + dtype.itemsize * math.prod(shape)
        if path.stat().st_size < size:
            raise ValueError("it is cut off")
    return LazyArray(path, shape, dtype)
