"""A user's own recordings of UTD-MHAD's sensors: pairs of ``.mat`` or ``.csv`` files, any length."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mmcl.errors import FileError, InputError
from mmcl.readers.text_table import read_text_table
from mmcl.readers.timed_table import TimedSignal, signal_of_columns, start_apart
from mmcl.readers.utd_mhad_mat import INERTIAL_HZ, N_JOINTS, read_mat
from mmcl.types import Recording

FILE_NAME = re.compile(r"(.+)_(inertial|skeleton)\.(mat|csv|MAT|CSV)")
MODALITIES = ("skeleton", "inertial")
NOMINAL_HZ = {"inertial": INERTIAL_HZ, "skeleton": 30.0}  # of .mat files
SHAPES = {"inertial": (6,), "skeleton": (N_JOINTS, 3)}  # of a frame


def find_recordings(paths: Iterable[Path], modalities: Sequence[str] = MODALITIES) -> list[dict[str, Path]]:
    """Group files by name, in order of names.

    Args:
        paths: Files, or folders that stand for all recordings in them and below.
        modalities: What a recording needs; files of others are ignored.

    Returns:
        ``[{"inertial": path, "skeleton": path}]``.

    Raises:
        FileError: A name is odd, half of a pair is missing, or nothing is found.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if FILE_NAME.fullmatch(p.name))
            if not inside:
                raise FileError(path, "holds no NAME_inertial or NAME_skeleton files", "expected .mat or .csv pairs")
            files += inside
        elif path.exists():
            files.append(path)
        else:
            raise FileError(path, "no such file", "check the path")
    pairs: dict[tuple[str, str], dict[str, Path]] = {}
    for path in files:
        match = FILE_NAME.fullmatch(path.name)
        if match is None:
            raise FileError(
                path,
                "not named after its modality",
                "expected NAME_inertial.mat and NAME_skeleton.mat, or .csv",
            )
        files_of = pairs.setdefault((match[1], match[3].lower()), {})
        if match[2] in files_of and files_of[match[2]] != path:
            raise FileError(
                path, f"the same recording as {files_of[match[2]]}", "give each recording a name of its own"
            )
        files_of[match[2]] = path
    for name in {name for name, kind in pairs if kind == "csv"} & {name for name, kind in pairs if kind == "mat"}:
        raise FileError(
            pairs[name, "csv"].popitem()[1],
            "there also is a .mat of this name",
            "give each recording a name of its own",
        )
    for (name, kind), files_of in pairs.items():
        for modality in modalities:
            if modality not in files_of:
                path = next(iter(files_of.values()))
                raise FileError(path, f"its {modality} half is missing", f"add {name}_{modality}.{kind}")
    if not pairs:
        raise InputError("RECORDING: expected files or folders to score, got none")
    return [{m: files_of[m] for m in modalities} for files_of in pairs.values()]


def read_recording(pair: Mapping[str, Path], rate_hz: Mapping[str, float | None]) -> Recording:
    """One recording from its files.

    Args:
        pair: The file of each modality.
        rate_hz: Of CSV files without a time column, by modality [Hz].

    Raises:
        FileError: A file cannot be read, or the two do not cover the same time.
    """
    match = FILE_NAME.fullmatch(next(iter(pair.values())).name)
    assert match is not None
    if match[3].lower() == "mat":
        return _read_mat_pair(pair, match[1])
    signal, rate, start = {}, {}, {}
    for m in sorted(pair, reverse=True):
        n_columns = math.prod(SHAPES[m])
        read = signal_of_columns(read_text_table(pair[m]), pair[m], rate_hz.get(m), f"--{m}-hz")
        check_columns(pair[m], read, n_columns)
        signal[m], rate[m], start[m] = read.x.reshape(-1, *SHAPES[m]), read.rate_hz, read.start_s
    if len(pair) == 2:
        _check_times(pair, signal, rate, start)
    return Recording(match[1], signal, rate)


def check_columns(path: Path, signal: TimedSignal, n: int) -> None:
    """The file has so many channels.

    Raises:
        FileError: It has others, which it names.
    """
    if len(signal.channels) != n:
        names = ", ".join(signal.channels[:8]) + " ..." * (len(signal.channels) > 8)
        raise FileError(path, f"has {len(signal.channels)} signal columns ({names})", f"expected {n}")


def _read_mat_pair(pair: Mapping[str, Path], name: str) -> Recording:
    """Nominal rates do not align the two modalities (the camera dropped frames), so both are taken to last as long as
    the inertial one does."""
    signal = {m: read_mat(path, m) for m, path in pair.items()}
    if len(pair) == 1:
        return Recording(name, signal, {m: NOMINAL_HZ[m] for m in pair})
    duration_s = len(signal["inertial"]) / INERTIAL_HZ
    return Recording(name, signal, {m: len(x) / duration_s for m, x in signal.items()})


def _check_times(
    pair: Mapping[str, Path],
    signal: Mapping[str, np.ndarray],
    rate: Mapping[str, float],
    start: Mapping[str, float | None],
) -> None:
    starts = [s for s in start.values() if s is not None]
    first, last = min(starts, default=0.0), max(starts, default=0.0)
    if len(starts) == 2 and start_apart(first, last):
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
