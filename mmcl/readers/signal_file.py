"""One sensor's signal from a file of any common kind: ``.npy``, ``.csv``, ``.mat``, ``.parquet``."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np

from mmcl.errors import FileError
from mmcl.io import first_line
from mmcl.readers.clocks import is_clock
from mmcl.readers.lazy_array import open_npy
from mmcl.readers.mat_file import read_mat_arrays
from mmcl.readers.text_table import read_text_table
from mmcl.readers.timed_table import TimedSignal, check_channels, check_rate, check_rounding, signal_of_columns

SUFFIXES = (".npy", ".csv", ".mat", ".parquet")
PLAIN = ("int", "uint", "float", "double", "halffloat", "bool", "timestamp", "date", "duration", "decimal")
RATES = {"fs", "hz", "rate", "srate", "sfreq", "samplerate", "sample_rate", "sampling_rate", "samplingrate", "freq"}
MAX_VALUES = 1 << 28  # of one file: what a small file may claim to hold is looked at before it is read


def read_signal_file(path: Path, rate_hz: float | None, option: str) -> TimedSignal:
    """A signal of a .npy, .mat, .csv or .parquet file.

    Args:
        path: The file.
        rate_hz: None where the file has a clock, such as the column ``time_s``, or an array of one value named ``fs``.
        option: What the user would give the rate with, for errors.

    Returns:
        The signal, of a table ``(frame, channel)``, else as the array is; its rate and channels.

    Raises:
        FileError: The file is unreadable, or holds NaN, no rate, or several arrays.
    """
    suffix = _suffix(path)
    if suffix in (".csv", ".parquet"):
        columns = read_text_table(path) if suffix == ".csv" else _parquet(path)
        return signal_of_columns(columns, path, rate_hz, option, 2 if suffix == ".csv" else 1)
    x, own_hz = (_npy(path), None) if suffix == ".npy" else _mat(path)
    if own_hz is not None:
        if rate_hz is not None and abs(rate_hz - own_hz) > 0.01 * own_hz:
            raise FileError(path, f"says {own_hz:g} Hz, {option} {rate_hz:g}", "leave one of them out")
        rate_hz = own_hz if rate_hz is None else rate_hz
    if rate_hz is None:
        raise FileError(path, "does not tell its rate", f"give it by {option}")
    check_rate(rate_hz, path, option)
    if x.ndim not in (2, 3) or len(x) < 2 or x.size == 0 or x.dtype.kind not in "fiu":
        raise FileError(path, f"holds shape {x.shape} of {x.dtype}", "expected numbers, (frame, channel)")
    raw = x
    with np.errstate(over="ignore"):
        x = np.asarray(x, np.float32)
    if not np.isfinite(x).all():
        frame = int(np.argwhere(~np.isfinite(x))[0][0])
        raise FileError(path, f"NaN or infinity at frame {frame}", "repair or leave out the recording")
    check_channels(x, (), path)
    check_rounding(raw, (), path)
    return TimedSignal(x, rate_hz, None, ())


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise FileError(path, "is of no kind that is read here", f"expected one of {', '.join(SUFFIXES)}")
    if not os.path.isfile(path):
        raise FileError(path, "no such file", "check the path; it is relative to the manifest's folder")
    return suffix


def _check_size(path: Path, shape: tuple[int, ...]) -> None:
    if math.prod(shape) > MAX_VALUES:
        raise FileError(path, f"claims to hold {shape} values", f"expected {MAX_VALUES:,} at most; cut the recording")


def _npy(path: Path) -> np.ndarray:
    lazy = open_npy(path, "save it again")
    _check_size(path, lazy.shape)
    return np.load(path, allow_pickle=False) if lazy.ndim == 0 else np.asarray(lazy)


def _mat(path: Path) -> tuple[np.ndarray, float | None]:
    """The one array of a file, and its rate [Hz] where a value beside it says so."""
    content = read_mat_arrays(path)
    values = {k: x for k, x in content.items() if isinstance(x, np.ndarray)}
    rates = {k: float(x.item()) for k, x in values.items() if k.lower() in RATES and x.size == 1}
    if len(set(rates.values())) > 1:
        raise FileError(path, f"says several rates, {', '.join(f'{k} {v:g}' for k, v in rates.items())}", "keep one")
    rate_hz = next(iter(rates.values()), None)
    arrays = {k: x for k, x in values.items() if max(x.shape) > 1}
    if len(arrays) != 1:
        others = [f"{k} ({x})" for k, x in content.items() if isinstance(x, str)]
        names = ", ".join([*arrays, *others]) or "none"
        raise FileError(path, f"holds the arrays {names}", "expected exactly one signal in it, a full array")
    (x,) = arrays.values()
    _check_size(path, x.shape)
    return (np.ascontiguousarray(x.transpose(2, 0, 1)) if x.ndim == 3 else x), rate_hz


def _parquet(path: Path) -> dict[str, np.ndarray]:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise FileError(path, "needs pyarrow to be read", "pip install pyarrow, or save it as .csv") from None
    try:
        metadata = parquet.read_metadata(path)
        _check_size(path, (metadata.num_rows, metadata.num_columns))
        size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        if size > 8 * MAX_VALUES:
            raise FileError(path, f"claims to hold {size:,} bytes", "cut the recording")
        for field in parquet.read_schema(path):
            if not str(field.type).startswith(PLAIN) and not is_clock(field.name):
                what = f"column '{field.name}' holds {field.type}"
                raise FileError(path, what, "expected numbers; remove the column")
        table = parquet.read_table(path)
        columns = {name: _plain(table[name]) for name in table.column_names}
    except FileError:
        raise
    except Exception as error:  # pyarrow's own kinds
        raise FileError(path, f"not a readable table of numbers ({first_line(error)})", "save it again") from error
    if len(columns) < len(table.column_names):
        raise FileError(path, "names a column twice", "name each once")
    return columns


def _plain(column: object) -> np.ndarray:
    """A column as NumPy has it; moments lose their time zone, which is one for all."""
    values = np.asarray(column.to_pandas())  # type: ignore[attr-defined]
    if values.dtype == object and len(values) and hasattr(values[0], "to_datetime64"):
        values = np.array([v.to_datetime64() for v in values])
    return values
