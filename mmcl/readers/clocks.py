"""Columns of a table that tell the time: by which names, in which units, and what they say in seconds."""

from __future__ import annotations

import datetime
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mmcl.errors import FileError

TIME_COLUMN = "time_s"
UNITS = {
    "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "msecs": 1e-3,
    "millis": 1e-3, "millisec": 1e-3, "milliseconds": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "usec": 1e-6,
    "usecs": 1e-6, "micros": 1e-6, "microsec": 1e-6, "microseconds": 1e-6, "ns": 1e-9, "nsec": 1e-9, "nsecs": 1e-9,
    "nanos": 1e-9, "nanosec": 1e-9, "nanosecs": 1e-9, "nanoseconds": 1e-9, "min": 60.0, "mins": 60.0, "minutes": 60.0,
    "hours": 3600.0,
}  # fmt: skip
CLOCKS = {
    "time", "times", "timestamp", "timestamps", "datetime", "date", "epoch", "epoc", "clock", "unixtime", "elapsed",
    "t", "ts", "tick", "ticks", "zeit", "ms", "sec", "secs", "seconds", "msec", "msecs", "millisec", "milliseconds",
    "usec", "usecs", "microsec", "microseconds", "nsec", "nsecs", "nanosec", "nanosecs", "nanoseconds",
}  # fmt: skip
BESIDE = {
    "unix", "utc", "local", "system", "sensor", "device", "of", "day", "since", "start", "stamp", "in", "event",
    "header",
}  # fmt: skip
WORD = re.compile(r"[a-zµμ]+")
MULTIPLE = re.compile(r"\d\s*[a-zµμ]+\W*$", re.I)  # 100ns, 10 us, 1/10 s
TIME_OF_DAY = re.compile(r"\d{1,2}:\d\d:\d\d([.,:]\d+)?")
LEVEL = re.compile(r"__index_level_\d+__|Unnamed: \d+")  # what pandas calls an index that it writes


def is_clock(name: str) -> bool:
    """Does a column tell the time, by its name?

    Example:
        >>> is_clock("timestamp"), is_clock("Time (ms)"), is_clock("reaction time")
        (True, True, False)
    """
    words = _words(name)
    return bool(CLOCKS.intersection(words)) and CLOCKS.union(BESIDE, UNITS).issuperset(words)


def _words(name: str) -> list[str]:
    return WORD.findall(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())


def _unit(name: str) -> float | None:
    words = _words(name)
    return UNITS.get(words[-1]) if words else None


def counts_multiples(name: str) -> bool:
    """Does a clock count multiples of the unit that its name ends with?

    Example:
        >>> counts_multiples("timestamp_100ns"), counts_multiples("Elapsed (1/10 s)"), counts_multiples("time_ms")
        (True, True, False)
    """
    return bool(MULTIPLE.search(name))


def find_clock(columns: Mapping[str, np.ndarray]) -> str | None:
    """``time_s``, else a time column whose unit its name or its type tells; a time before a date.

    Args:
        columns: By name.
    """
    if TIME_COLUMN in columns:
        return TIME_COLUMN
    clocks = [c for c, x in columns.items() if is_clock(c) or (LEVEL.fullmatch(c) and x.dtype.kind in "mM")]
    usable = [c for c in clocks if columns[c].dtype.kind not in "fiu" or _unit(c) is not None]
    return min(usable, key=lambda c: "time" not in c.lower(), default=None)


def join_clocks(columns: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Whole seconds in one column and their fraction in another, of names that differ in the unit alone (ROS's ``sec``
    and ``nanosec``), as one clock, ``time_s``.

    Args:
        columns: By name.

    Example:
        >>> list(join_clocks({"sec": np.array([7, 8]), "nanosec": np.array([500, 0]), "x": np.zeros(2)}))
        ['time_s', 'x']
    """
    if TIME_COLUMN in columns:
        return columns
    clocks = [c for c, x in columns.items() if is_clock(c) and x.dtype.kind in "fiu" and len(x)]
    for seconds_column in (c for c in clocks if _unit(c) == 1.0):
        for part in clocks:
            unit = _unit(part)
            if unit is None or unit >= 1.0 or _words(part)[:-1] != _words(seconds_column)[:-1]:
                continue
            seconds, fraction = (columns[c].astype(np.float64) for c in (seconds_column, part))
            is_split = (seconds % 1 == 0).all() and (fraction >= 0).all() and (fraction * unit < 1).all()
            if is_split:
                others = {c: x for c, x in columns.items() if c not in (seconds_column, part)}
                return {TIME_COLUMN: seconds + fraction * unit, **others}
    return columns


def seconds_of(values: np.ndarray, name: str, path: Path) -> tuple[np.ndarray, float]:
    """A time column in seconds, of datetimes from its first value on, and what its first value says in seconds.

    Args:
        values: Numbers, datetimes, or strings that are such.
        name: Of the column.
        path: The file, for errors.

    Raises:
        FileError: It holds no moments.
    """
    if values.dtype.kind in "fiu":
        time_s = values.astype(np.float64) * (_unit(name) or 1.0)
        return time_s, float(time_s[0])
    try:
        moments = values if values.dtype.kind in "mM" else _moments(values)
    except (ValueError, TypeError, OverflowError) as error:
        raise FileError(path, f"column '{name}' holds no moments that are read here", "write seconds") from error
    if moments.dtype.kind not in "mM" or np.isnat(moments).any():
        raise FileError(path, f"column '{name}' holds empty or mixed moments", "repair or cut the recording")
    unit = np.timedelta64(1, "ns")
    start = moments[0] if moments.dtype.kind == "m" else moments[0] - np.datetime64(0, "ns")
    return (moments - moments[0]) / unit * 1e-9, float(start / unit * 1e-9)


def _moments(values: np.ndarray) -> np.ndarray:
    """Datetimes of strings; of several time zones, in UTC. Fractions of a second may be left out where they are 0."""
    import pandas

    if all(isinstance(v, datetime.time) for v in values):
        values = np.array([v.isoformat() for v in values], dtype=object)
    text = pandas.Series(values)
    if text.map(lambda v: isinstance(v, str) and bool(TIME_OF_DAY.fullmatch(v))).all():
        text = text.str.replace(r":(\d+)$", lambda m: f".{m[1]}" if len(m[1]) > 2 else m[0], regex=True)
        return pandas.to_timedelta(text.str.replace(",", ".")).to_numpy()
    with warnings.catch_warnings():  # about formats that it guesses
        warnings.simplefilter("ignore")
        try:
            moments = pandas.to_datetime(text, utc=True)
        except ValueError:
            moments = pandas.to_datetime(text, utc=True, format="mixed")
    return moments.dt.tz_localize(None).to_numpy()
