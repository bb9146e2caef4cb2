"""A user's own recordings: pairs of ``.mat`` or ``.csv`` files, any length."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mmcl.data.utd_mhad import INERTIAL_HZ, N_JOINTS, read_pair, read_signal
from mmcl.errors import FileError, InputError
from mmcl.types import Recording

NAME = re.compile(r"(.+)_(inertial|skeleton)\.(mat|csv)")
MODALITIES = ("skeleton", "inertial")
HZ = {"inertial": INERTIAL_HZ, "skeleton": 30.0}  # nominal rates of .mat files
N_COLUMNS = {"inertial": 6, "skeleton": 3 * N_JOINTS}
TIME = "time_s"


def find_pairs(paths: Iterable[Path], modalities: Sequence[str] = MODALITIES) -> list[dict[str, Path]]:
    """Group files by name: ``[{"inertial": path, "skeleton": path}]``, in order of names.

    A folder stands for all recordings in it and below. modalities: what a recording needs; files of
    others are left aside. Raises FileError on an odd name, half a pair or nothing found.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if NAME.fullmatch(p.name))
            if not inside:
                raise FileError(
                    path, "holds no NAME_inertial or NAME_skeleton files", "expected .mat or .csv pairs"
                )
            files += inside
        elif path.exists():
            files.append(path)
        else:
            raise FileError(path, "no such file", "check the path")
    pairs: dict[tuple[str, str], dict[str, Path]] = {}
    for path in files:
        match = NAME.fullmatch(path.name)
        if match is None:
            raise FileError(
                path,
                "not named after its modality",
                "expected NAME_inertial.mat and NAME_skeleton.mat, or .csv",
            )
        found = pairs.setdefault((match[1], match[3]), {})
        if match[2] in found and found[match[2]] != path:
            raise FileError(
                path, f"the same recording as {found[match[2]]}", "give each recording a name of its own"
            )
        found[match[2]] = path
    for name in {name for name, kind in pairs if kind == "csv"} & {
        name for name, kind in pairs if kind == "mat"
    }:
        raise FileError(
            pairs[name, "csv"].popitem()[1],
            "there also is a .mat of this name",
            "give each recording a name of its own",
        )
    for (name, kind), found in pairs.items():
        for there in modalities:
            if there not in found:
                path = next(iter(found.values()))
                raise FileError(path, f"its {there} half is missing", f"add {name}_{there}.{kind}")
    if not pairs:
        raise InputError("RECORDING: expected files or folders to score, got none")
    return [{m: found[m] for m in modalities} for found in pairs.values()]


def read_recording(pair: Mapping[str, Path], rate_hz: Mapping[str, float | None]) -> Recording:
    """One pair of files; CSV files without a time column take ``rate_hz[modality]``."""
    match = NAME.fullmatch(next(iter(pair.values())).name)
    assert match is not None
    if match[3] == "mat":
        if len(pair) == 2:
            return read_pair(pair["inertial"], pair["skeleton"], match[1])
        ((m, path),) = pair.items()
        return Recording(match[1], {m: read_signal(path, m)}, {m: HZ[m]})
    signal, rate, start = {}, {}, {}
    for m in sorted(pair, reverse=True):
        signal[m], rate[m], start[m] = read_csv(pair[m], N_COLUMNS[m], rate_hz.get(m), f"--{m}-hz")
    if "skeleton" in signal:
        signal["skeleton"] = signal["skeleton"].reshape(-1, N_JOINTS, 3)
    if len(pair) == 1:
        return Recording(match[1], signal, rate)
    starts = [s for s in start.values() if s is not None]
    if len(starts) == 2 and abs(starts[0] - starts[1]) > 0.25:
        raise FileError(
            pair["skeleton"],
            f"starts at {start['skeleton']:.2f} s, its inertial half at {start['inertial']:.2f} s",
            "cut both to the same time",
        )
    lasts = {m: len(x) / rate[m] for m, x in signal.items()}
    if abs(lasts["inertial"] - lasts["skeleton"]) > max(1.0, 0.05 * max(lasts.values())):
        raise FileError(
            pair["skeleton"],
            f"lasts {lasts['skeleton']:.1f} s, its inertial half {lasts['inertial']:.1f} s",
            "check the rates, or cut both to the same time",
        )
    return Recording(match[1], signal, rate)


def read_csv(
    path: Path, n_columns: int | None, rate_hz: float | None, option: str
) -> tuple[np.ndarray, float, float | None]:
    """``(frame, column)`` float32, the rate in Hz and the start in s of a CSV file with a header.

    A column ``time_s`` (seconds, rising) gives the rate and is taken out of the signal. n_columns: how many
    signal columns it must have, None = any number.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            header = [name.strip() for name in next(rows, [])]
            if not header or all(_is_number(name) for name in header):
                raise FileError(path, "has no header", "name the columns in the first line")
            x = np.array(
                [[float(v) for v in _whole(row, header, path, rows.line_num)] for row in rows if row],
                np.float64,
            )
    except FileError:
        raise
    except (ValueError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(
            path, f"line {rows.line_num}: {error}", "expected numbers separated by commas"
        ) from error
    except OSError as error:
        raise FileError(path, f"cannot be read ({error})", "check the file") from error
    if len(x) < 2:
        raise FileError(path, f"holds {len(x)} samples", "expected at least two")
    with np.errstate(over="ignore"):
        in_range = np.isfinite(x.astype(np.float32))
    if not in_range.all():
        row, column = np.argwhere(~in_range)[0]
        raise FileError(
            path,
            f"NaN or infinity in line {row + 2}, column '{header[column]}'",
            "repair or cut the recording",
        )
    start_s = None
    twice = {name for name in header if header.count(name) > 1}
    if twice:
        raise FileError(path, f"has two columns '{min(twice)}'", "name each column once")
    if TIME in header and rate_hz is not None:
        raise FileError(path, f"has a column {TIME}, and {option} was given too", f"leave out {option}")
    if TIME in header:
        at = header.index(TIME)
        time, x = x[:, at], np.delete(x, at, axis=1)
        step = np.diff(time)
        if (step <= 0).any():
            raise FileError(
                path, f"{TIME} does not rise in line {int(np.argmax(step <= 0)) + 3}", "sort the rows by time"
            )
        if step.max() > 1.0:
            raise FileError(
                path,
                f"a gap of {step.max():.1f} s in line {int(step.argmax()) + 3}",
                f"{TIME} is in seconds; split the recording there",
            )
        start_s = float(time[0])
        x, rate_hz = evenly(x, time)
    if rate_hz is None:
        raise FileError(path, f"has no column {TIME}", f"give its rate by {option}")
    if not 0.1 <= rate_hz <= 1e5:
        raise FileError(path, f"rate {rate_hz:g} Hz", f"expected 0.1 to 100000 Hz; check {TIME} or {option}")
    if x.shape[1] != (n_columns or x.shape[1]) or x.shape[1] == 0:
        raise FileError(path, f"has {x.shape[1]} signal columns", f"expected {n_columns or 'one or more'}")
    return x.astype(np.float32), rate_hz, start_s


def evenly(x: np.ndarray, time_s: np.ndarray) -> tuple[np.ndarray, float]:
    """``x (frame, column)`` taken at rising moments, at even ones from the first to the last; and their rate in Hz."""
    rate_hz = (len(time_s) - 1) / float(time_s[-1] - time_s[0])
    even = time_s[0] + np.arange(len(time_s)) / rate_hz
    return np.stack([np.interp(even, time_s, column) for column in x.T], 1), rate_hz


def _whole(row: list[str], header: list[str], path: Path, line: int) -> list[str]:
    if len(row) != len(header):
        raise FileError(
            path, f"line {line} has {len(row)} columns, the header {len(header)}", "repair the line"
        )
    return row


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
