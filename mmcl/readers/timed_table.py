"""A signal from the columns of a table: which are channels, which tell the time, and at what rate.

The same rules hold for CSV and Parquet: counters of samples and clocks are never channels; a time column rises, without
gaps; stamps of whole seconds are spread over their second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmcl.errors import FileError
from mmcl.readers.clocks import LEVEL, TIME_COLUMN, counts_multiples, find_clock, is_clock, join_clocks, seconds_of

COUNTERS = {"", "index", "sample", "samples", "frame", "frames", "row", "n", "id", "no", "number"}
ANNOTATIONS = {
    "label", "labels", "class", "target", "annotation", "annotations", "activity", "subject", "split", "event",
}  # fmt: skip
MAX_GAP_S = 1.5  # a sensor of 1 Hz jitters; slower ones need their rate told, as milliseconds called seconds look so
MAX_APART_S, OTHER_CLOCK_S, FAR_APART_S = 0.25, 3600.0, 1e8  # begins of signals that are recorded together
MAX_ROUNDING = 0.01  # of a channel's range, by float32
MIN_HZ, MAX_HZ = 0.1, 1e5
MAX_HZ_OF_CLOCK = 20_000.0  # more is a wrong unit
LEAST_ROWS = 20  # for which a column that only rises is taken for a clock


@dataclass(frozen=True)
class TimedSignal:
    """A signal at an even rate.

    Attributes:
        x: ``(frame, channel)`` float32.
        rate_hz: Samples a second [Hz].
        start_s: What the time column says of the first sample [s], of datetimes since 1970; None without such a column.
        channels: Names of the columns, in order.
    """

    x: np.ndarray
    rate_hz: float
    start_s: float | None
    channels: tuple[str, ...]


def signal_of_columns(
    columns: Mapping[str, np.ndarray], path: Path, rate_hz: float | None, option: str, first_line: int = 2
) -> TimedSignal:
    """The signal in a table.

    Args:
        columns: By name: numbers, datetimes, or strings that are such; equally long.
        path: The file, for errors.
        rate_hz: Where the table has no time column of its own.
        option: Names it in errors.
        first_line: Number of the first row in the file, for errors.

    Raises:
        FileError: A column is no channel, the time column does not rise or has gaps, or nothing tells the rate.
    """
    columns = join_clocks(columns)
    channels = channel_names(columns, path)
    time_column = find_clock(columns)
    if time_column is not None and rate_hz is not None:
        raise FileError(path, f"has a column {time_column}, and {option} was given too", f"leave out {option}")
    x = np.stack([_numbers(columns[name], name, path) for name in channels], 1)
    if len(x) < 2:
        raise FileError(path, f"holds {len(x)} samples", "expected at least two")
    check_channels(x, channels, path)
    check_rounding(x, channels, path)
    if rate_hz is not None or time_column is None:
        if rate_hz is None:
            numeric = [c for c in columns if is_clock(c)]
            what = f"column '{numeric[0]}' has no unit" if numeric else f"has no column {TIME_COLUMN}"
            do = f"call it {TIME_COLUMN} (seconds) or time_ms, or give" if numeric else "give"
            raise FileError(path, what, f"{do} its rate by {option}")
        return TimedSignal(x.astype(np.float32), check_rate(rate_hz, path, option), None, channels)
    if counts_multiples(time_column) and columns[time_column].dtype.kind in "fiu":
        raise FileError(path, f"{time_column} counts multiples of a unit", f"write seconds, as {TIME_COLUMN}")
    time_s, start_s = seconds_of(columns[time_column], time_column, path)
    even, rate_hz = _resample(x, time_s, time_column, path, option, first_line)
    if rate_hz > MAX_HZ_OF_CLOCK:
        raise FileError(path, f"{time_column} makes {rate_hz:g} Hz", "is it in the unit that its name says?")
    rate_hz = check_rate(rate_hz, path, option)
    return TimedSignal(even.astype(np.float32), rate_hz, start_s, channels)


def channel_names(columns: Mapping[str, np.ndarray], path: Path) -> tuple[str, ...]:
    """The columns that are channels: all but clocks and counters of samples.

    Args:
        columns: By name.
        path: The file, for errors.

    Raises:
        FileError: None is, or a column has no name and is no counter.
    """
    names = []
    for name, values in columns.items():
        if is_clock(name) or LEVEL.fullmatch(name):
            continue
        if name.strip().lower() in COUNTERS and _counts(values):
            continue
        if name.strip().lower() in ANNOTATIONS:
            raise FileError(
                path, f"has a column '{name}', which is no channel", "remove it; labels are in the manifest"
            )
        if not name.strip():
            raise FileError(path, "has a column without a name that is no index", "name it, or remove it")
        names.append(name)
    if not names:
        raise FileError(path, "has 0 signal columns", "expected one column a channel")
    return tuple(names)


def check_channels(x: np.ndarray, channels: tuple[str, ...], path: Path) -> None:
    """No channel is a clock or a counter by its values: one that only rises, by steps half of which are
    alike, or nearly always by the same step. What rises by steps of any size, such as the place of a joint, is none.

    Args:
        x: ``(frame, channel)`` or ``(frame, joint, axis)``.
        channels: Names; of arrays none.
        path: The file, for errors.

    Raises:
        FileError: Naming the channel.
    """
    step = np.diff(np.asarray(x, np.float64).reshape(len(x), -1), axis=0)
    if len(step) < LEAST_ROWS:
        return
    usual = np.median(step, axis=0)
    alike = (np.abs(step - usual) <= 0.25 * np.abs(usual)).mean(0) >= 0.5
    rises = ((step > 0).all(0) & alike) | ((usual != 0) & ((step == usual).mean(0) > 0.9))
    if rises.any():
        name = _name_of(int(np.argmax(rises)), channels)
        raise FileError(path, f"{name} rises like a clock or a counter", f"call it {TIME_COLUMN}, or remove it")


def check_rounding(x: np.ndarray, channels: tuple[str, ...], path: Path) -> None:
    """float32, in which networks compute, holds what varies in each channel.

    Args:
        x: ``(frame, ...)``, as read.
        channels: Names; of arrays none.
        path: The file, for errors.

    Raises:
        FileError: Naming the channel, whose values are large and alike.
    """
    if x.dtype.itemsize < 4 or x.dtype == np.float32:
        return
    flat = np.asarray(x, np.float64).reshape(len(x), -1)
    lost, spread = np.abs(flat - flat.astype(np.float32)).max(0), flat.max(0) - flat.min(0)
    bad = (lost > MAX_ROUNDING * spread) & (spread > 0)
    if bad.any():
        k = int(np.argmax(bad))
        what = f"varies by {spread[k]:.3g} about {flat[:, k].mean():.10g}, which float32 rounds away"
        raise FileError(path, f"{_name_of(k, channels)} {what}", "subtract its offset")


def _name_of(k: int, channels: tuple[str, ...]) -> str:
    return f"column '{channels[k]}'" if k < len(channels) else f"channel {k + 1}"


def start_apart(first_s: float, last_s: float) -> bool:
    """Do two signals begin apart, by their clocks? Not where these count from different moments: one from the begin,
    the other from midnight or 1970.

    Args:
        first_s: The earlier begin [s].
        last_s: The later one [s].

    Example:
        >>> start_apart(0.0, 2.0), start_apart(0.0, 1.7e9)
        (True, False)
    """
    is_other_clock = abs(first_s) <= MAX_APART_S and last_s > OTHER_CLOCK_S
    return MAX_APART_S < last_s - first_s < FAR_APART_S and not is_other_clock


def _counts(values: np.ndarray) -> bool:
    """Are they whole numbers that rise by one?"""
    return values.dtype.kind in "fiu" and bool((np.diff(values.astype(np.float64)) == 1).all())


def _numbers(values: np.ndarray, name: str, path: Path) -> np.ndarray:
    if values.dtype.kind not in "fiub":
        raise FileError(path, f"column '{name}' holds {_kind(values)}", "expected numbers; remove the column")
    x = values.astype(np.float64)
    if not np.isfinite(x.astype(np.float32)).all():
        row = int(np.argmin(np.isfinite(x.astype(np.float32))))
        raise FileError(path, f"NaN or infinity in row {row}, column '{name}'", "repair or cut the recording")
    return x


def _kind(values: np.ndarray) -> str:
    return "dates or times" if values.dtype.kind in "mM" else "text"


def _resample(
    x: np.ndarray, time_s: np.ndarray, time_column: str, path: Path, option: str, first_line: int
) -> tuple[np.ndarray, float]:
    """Samples at even moments from the first to the last, and their rate [Hz]."""
    step = np.diff(time_s)
    if (step < 0).any():
        line = int(np.argmax(step < 0)) + first_line + 1
        raise FileError(path, f"{time_column} does not rise in line {line}", "sort the rows by time")
    if step.max() > MAX_GAP_S:
        raise FileError(
            path,
            f"a gap of {step.max():.1f} s in line {int(step.argmax()) + first_line + 1}",
            f"is {time_column} in the unit that its name says? split the recording at the gap",
        )
    if (step > 0).all() and np.median(step) < 0.5 * step.mean():
        raise FileError(
            path, f"the stamps of {time_column} come in bursts", f"give the rate by {option} and remove the column"
        )
    if (step > 0).all():
        rate_hz = (len(time_s) - 1) / float(time_s[-1] - time_s[0])
        even = time_s[0] + np.arange(len(time_s)) / rate_hz
        return np.stack([np.interp(even, time_s, column) for column in x.T], 1), rate_hz
    # equal stamps: even within their second, where all seconds hold as many
    stamps, counts = np.unique(time_s, return_counts=True)
    inner, periods = counts[1:-1], np.diff(stamps)
    usual = float(np.median(inner)) if len(inner) else 0.0
    is_even = len(inner) and np.ptp(periods) < 1e-3 * periods.mean() and np.ptp(inner) <= max(0.1 * usual, 1)
    if not is_even or usual < 2 or max(counts[0], counts[-1]) > usual + max(0.1 * usual, 1):
        line = int(np.argmax(step == 0)) + first_line + 1
        raise FileError(
            path, f"{time_column} does not rise in line {line}", f"give the rate by {option} and remove the column"
        )
    return x, float(inner.mean() / periods.mean())


def check_rate(rate_hz: float, path: Path, option: str) -> float:
    """A rate that a sensor can have, which is returned.

    Args:
        rate_hz: Samples a second [Hz].
        path: The file, for errors.
        option: What gives the rate, for errors.

    Raises:
        FileError: It is none.

    Example:
        >>> check_rate(50.0, Path("a.npy"), "--inertial-hz")
        50.0
    """
    if not MIN_HZ <= rate_hz <= MAX_HZ:
        raise FileError(
            path,
            f"rate {rate_hz:g} Hz",
            f"expected {MIN_HZ:g} to {MAX_HZ:g} Hz; check {TIME_COLUMN} or {option}",
        )
    return rate_hz
