"""Numeric arrays of MATLAB files.

Of version 5 (MATLAB 5 to 7.2) they are read here, every size held against the file before it is used: scipy's reader of
them is native code that damaged files crash. Older files are read by scipy.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mmcl.errors import FileError
from mmcl.io import first_line

MATRIX, COMPRESSED = 14, 15
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
ARRAYS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
OTHERS = {1: "cell array", 2: "struct", 3: "object", 4: "text", 5: "sparse array", 16: "function", 17: "object"}
COMPLEX = 0x8
MAX_BYTES = 8 << 28  # of the arrays of one file


class _Damaged(Exception):
    pass


def read_mat_arrays(path: Path) -> dict[str, np.ndarray | str]:
    """The variables of a file.

    Args:
        path: A ``.mat`` file.

    Returns:
        By name real arrays of numbers, column-major as MATLAB has them; of all else what it is ("struct").

    Raises:
        FileError: The file is not readable, or claims to hold more than 2 GB.
    """
    if not os.path.isfile(path):
        raise FileError(path, "no such file", "check the path")
    try:
        content = path.read_bytes()
        if content[:8] == b"\x89HDF\r\n\x1a\n" or content[512:520] == b"\x89HDF\r\n\x1a\n":
            raise FileError(path, "is of MATLAB 7.3", "save it with -v7, or as .npy")
        if content[126:128] in (b"IM", b"MI"):
            order = "<" if content[126:128] == b"IM" else ">"
            return dict(v for v in _variables(memoryview(content)[128:], order, MAX_BYTES) if v[0])
        return _version_4(path)
    except FileError:
        raise
    except Exception as error:  # damaged files end in many kinds
        text = first_line(error) if str(error) else type(error).__name__
        raise FileError(path, f"not a readable .mat file ({text})", "save or copy it again") from error


def _version_4(path: Path) -> dict[str, np.ndarray | str]:
    import scipy.io

    shapes = scipy.io.whosmat(path)
    if sum(math.prod(shape) for _, shape, _ in shapes) * 8 > MAX_BYTES:
        raise _Damaged("it claims to hold more than 2 GB")
    content = scipy.io.loadmat(path)
    return {name: content[name] if isinstance(content[name], np.ndarray) else "object" for name, _, _ in shapes}


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """(type, content) of each element, as the format's tags have them."""
    at = 0
    while at + 8 <= len(data):
        (first, size) = struct.unpack_from(f"{order}II", data, at)
        if first >> 16:  # both in four bytes, and up to four bytes behind them
            kind, size, start = first & 0xFFFF, first >> 16, at + 4
            if size > 4:
                raise _Damaged(f"a small element of {size} bytes")
            at += 8
        else:
            kind, start = first, at + 8
            at = start + size + (-size % 8 if kind != COMPRESSED else 0)
        if start + size > len(data):
            raise _Damaged("it is cut off")
        yield kind, data[start : start + size]


def _variables(data: memoryview, order: str, left: int) -> Iterator[tuple[str, np.ndarray | str]]:
    for kind, content in _elements(data, order):
        if kind == COMPRESSED:
            stream = zlib.decompressobj()
            raw = stream.decompress(content, left)
            if not stream.eof:
                raise _Damaged("it claims to hold more than 2 GB" if stream.unconsumed_tail else "it is cut off")
            left -= len(raw)
            (kind, content) = next(_elements(memoryview(raw), order), (0, memoryview(b"")))
        if kind != MATRIX:
            raise _Damaged(f"an element of type {kind}")
        yield _variable(content, order)


def _variable(data: memoryview, order: str) -> tuple[str, np.ndarray | str]:
    elements = _elements(data, order)
    flags, shape, name = (next(elements, (0, memoryview(b"")))[1] for _ in range(3))
    if len(flags) < 4:
        raise _Damaged("a variable without flags")
    (word,) = struct.unpack_from(f"{order}I", flags)
    of_class = word & 0xFF
    text = bytes(name).decode("utf-8", "replace")
    if of_class not in ARRAYS:
        return text, OTHERS.get(of_class, "unknown")
    if (word >> 8) & COMPLEX:
        return text, "complex array"
    kind, content = next(elements, (0, memoryview(b"")))
    sizes = np.frombuffer(shape, f"{order}i4").tolist()
    if len(sizes) < 2 or min(sizes) < 0 or kind not in STORED:
        raise _Damaged(f"'{text}' has the shape {sizes}")
    if math.prod(sizes) * np.dtype(STORED[kind]).itemsize != len(content):
        raise _Damaged(f"'{text}' of shape {sizes} holds {len(content)} bytes")
    stored = np.frombuffer(content, order + STORED[kind])
    return text, stored.astype(ARRAYS[of_class]).reshape(sizes, order="F")
