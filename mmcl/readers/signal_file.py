"""One sensor's signal from a file of any common kind: ``.npy``, ``.csv``, ``.mat``, ``.parquet``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.io

from mmcl.errors import FileError
from mmcl.readers.csv_table import TIME_COLUMN, read_csv, resample_evenly

SUFFIXES = (".npy", ".csv", ".mat", ".parquet")


def read_signal_file(path: Path, rate_hz: float | None, option: str) -> tuple[np.ndarray, float]:
    """A signal of a .npy, .mat, .csv or .parquet file.

    Args:
        path: The file.
        rate_hz: None where the file has a column ``time_s``.
        option: What the user would give the rate with, for errors.

    Returns:
        ``(frame, ...)`` float32 and its rate [Hz].

    Raises:
        FileError: The file is unreadable, or holds NaN, no rate, or several arrays.
    """
    if path.suffix not in SUFFIXES:
        raise FileError(path, "is of no kind that is read here", f"expected one of {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise FileError(path, "no such file", "check the path; it is relative to the manifest's folder")
    if path.suffix == ".csv":
        x, rate, _ = read_csv(path, None, rate_hz, option)
        return x, rate
    if path.suffix == ".parquet":
        x, rate_of_file = _parquet(path)
        if rate_of_file is not None and rate_hz is not None:
            raise FileError(path, f"has a column {TIME_COLUMN}, and {option} was given too", f"leave out {option}")
        rate_hz = rate_of_file if rate_of_file is not None else rate_hz
    else:
        x = _npy(path) if path.suffix == ".npy" else _mat(path)
    if rate_hz is None:
        raise FileError(path, "does not tell its rate", f"give it by {option}")
    if x.ndim < 2 or len(x) < 2 or not np.issubdtype(x.dtype, np.number) or np.iscomplexobj(x):
        raise FileError(path, f"holds shape {x.shape} of {x.dtype}", "expected numbers, (frame, channel)")
    x = np.asarray(x, np.float32)
    if not np.isfinite(x).all():
        frame = int(np.argwhere(~np.isfinite(x))[0][0])
        raise FileError(path, f"NaN or infinity at frame {frame}", "repair or leave out the recording")
    return x, rate_hz


def _npy(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FileError(path, f"not a readable .npy file ({error})", "save it again") from error


def _mat(path: Path) -> np.ndarray:
    try:
        content = scipy.io.loadmat(path)
    except Exception as error:  # scipy raises many kinds on damaged files
        raise FileError(path, f"not a readable .mat file ({error})", "save it again") from error
    arrays = {
        k: v
        for k, v in content.items()
        if not k.startswith("__") and isinstance(v, np.ndarray) and v.ndim >= 2 and max(v.shape) > 1
    }
    if len(arrays) != 1:
        rate_of_file = ", ".join(arrays) or "none"
        raise FileError(path, f"holds the arrays {rate_of_file}", "expected exactly one signal in it")
    (x,) = arrays.values()
    return np.ascontiguousarray(x.transpose(2, 0, 1)) if x.ndim == 3 else x


def _parquet(path: Path) -> tuple[np.ndarray, float | None]:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise FileError(path, "needs pyarrow to be read", "pip install pyarrow, or save it as .csv") from None
    try:
        table = parquet.read_table(path)
        columns = {name: table[name].to_numpy().astype(np.float64) for name in table.column_names}
    except Exception as error:  # pyarrow's own kinds, and columns that are no numbers
        raise FileError(path, f"not a readable table of numbers ({error})", "save it again") from error
    time = columns.pop(TIME_COLUMN, None)
    if not columns:
        raise FileError(path, "holds no signal columns", "expected one column a channel")
    x = np.stack(list(columns.values()), 1)
    if time is None:
        return x, None
    if len(time) < 2 or (np.diff(time) <= 0).any():
        raise FileError(path, f"{TIME_COLUMN} does not rise", "sort the rows by time")
    return resample_evenly(x, time)
