"""Signals in CSV files with a header."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from mmcl.errors import FileError

TIME_COLUMN = "time_s"


def read_csv(
    path: Path, n_columns: int | None, rate_hz: float | None, option: str
) -> tuple[np.ndarray, float, float | None]:
    """A CSV file with a header; a column ``time_s`` (seconds, rising) gives the rate and is left out.

    Args:
        path: The file.
        n_columns: Columns that are expected beside it, None = any.
        rate_hz: Where there is no column time_s.
        option: Names it in errors.

    Returns:
        ``(frame, column)`` float32, the rate [Hz], and the start [s] or None.

    Raises:
        FileError: Naming the line that is wrong.
    """
    header, x = _parse(path)
    start_s = None
    if TIME_COLUMN in header and rate_hz is not None:
        raise FileError(path, f"has a column {TIME_COLUMN}, and {option} was given too", f"leave out {option}")
    if TIME_COLUMN in header:
        at = header.index(TIME_COLUMN)
        time_s, x = x[:, at], np.delete(x, at, axis=1)
        _check_times(path, time_s)
        start_s = float(time_s[0])
        x, rate_hz = resample_evenly(x, time_s)
    if rate_hz is None:
        raise FileError(path, f"has no column {TIME_COLUMN}", f"give its rate by {option}")
    if not 0.1 <= rate_hz <= 1e5:
        raise FileError(path, f"rate {rate_hz:g} Hz", f"expected 0.1 to 100000 Hz; check {TIME_COLUMN} or {option}")
    if x.shape[1] != (n_columns or x.shape[1]) or x.shape[1] == 0:
        raise FileError(path, f"has {x.shape[1]} signal columns", f"expected {n_columns or 'one or more'}")
    return x.astype(np.float32), rate_hz, start_s


def _parse(path: Path) -> tuple[list[str], np.ndarray]:
    """The names of the columns, and finite numbers ``(line, column)``, at least two lines."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file)
            header = [name.strip() for name in next(lines, [])]
            if not header or all(_is_number(name) for name in header):
                raise FileError(path, "has no header", "name the columns in the first line")
            x = np.array(
                [[float(v) for v in _check_width(line, header, path, lines.line_num)] for line in lines if line],
                np.float64,
            )
    except FileError:
        raise
    except (ValueError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(path, f"line {lines.line_num}: {error}", "expected numbers separated by commas") from error
    except OSError as error:
        raise FileError(path, f"cannot be read ({error})", "check the file") from error
    if len(x) < 2:
        raise FileError(path, f"holds {len(x)} samples", "expected at least two")
    with np.errstate(over="ignore"):
        in_range = np.isfinite(x.astype(np.float32))
    if not in_range.all():
        line, column = np.argwhere(~in_range)[0]
        where = f"line {line + 2}, column '{header[column]}'"
        raise FileError(path, f"NaN or infinity in {where}", "repair or cut the recording")
    repeated = {name for name in header if header.count(name) > 1}
    if repeated:
        raise FileError(path, f"has two columns '{min(repeated)}'", "name each column once")
    return header, x


def _check_times(path: Path, time_s: np.ndarray) -> None:
    step = np.diff(time_s)
    if (step <= 0).any():
        line = int(np.argmax(step <= 0)) + 3
        raise FileError(path, f"{TIME_COLUMN} does not rise in line {line}", "sort the rows by time")
    if step.max() > 1.0:
        raise FileError(
            path,
            f"a gap of {step.max():.1f} s in line {int(step.argmax()) + 3}",
            f"{TIME_COLUMN} is in seconds; split the recording there",
        )


def resample_evenly(x: np.ndarray, time_s: np.ndarray) -> tuple[np.ndarray, float]:
    """Samples taken at rising moments, at even ones from the first to the last.

    Args:
        x: ``(frame, column)``.
        time_s: ``(frame,)``, rising.

    Returns:
        The samples and their rate [Hz].
    """
    rate_hz = (len(time_s) - 1) / float(time_s[-1] - time_s[0])
    even = time_s[0] + np.arange(len(time_s)) / rate_hz
    return np.stack([np.interp(even, time_s, column) for column in x.T], 1), rate_hz


def _check_width(line: list[str], header: list[str], path: Path, number: int) -> list[str]:
    if len(line) != len(header):
        raise FileError(path, f"line {number} has {len(line)} columns, the header {len(header)}", "repair the line")
    return line


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
