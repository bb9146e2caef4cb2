"""Recordings of arrays and tables, checked as those of files are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmcl.data.recording_index import RecordingRow, Source, SourceSignal
from mmcl.errors import FileError, InputError
from mmcl.inference.sensors import check_shapes
from mmcl.readers.kinds import get_kind
from mmcl.readers.timed_table import check_channels, check_rate, check_rounding, signal_of_columns
from mmcl.runs.run_dir import RunInfo
from mmcl.types import InputSpec, Recording


def recording_of_arrays(
    arrays: Mapping[str, Any], rate_hz: Mapping[str, float | None], name: str, info: RunInfo
) -> Recording:
    """A recording of signals in memory.

    Args:
        arrays: By modality: ``(frame, ...)``, or a ``pandas.DataFrame``.
        rate_hz: Of each [Hz]; not needed of features and of tables with a clock.
        name: Of the recording.
        info: Of the run that it is for.

    Raises:
        InputError: A signal is not what the run takes, or has no rate.
    """
    sources = {}
    for m, x in arrays.items():
        read = partial(_read, x, rate_hz.get(m), info.inputs[m], f"{name}, {m}", 1 / info.grid.hop_s)
        sources[m] = Source(info.inputs[m].kind, (Path(f"{name}, {m}"),), read)
    is_features = all(info.inputs[m].kind == "features" for m in arrays)
    row = RecordingRow(name, sources=sources, where=name, align="rows" if is_features else "rates")
    return check_shapes(row, row.load(tuple(arrays), ()), info.inputs)


def check_recording(recording: Recording, info: RunInfo) -> None:
    """A recording that another program made is what a run takes.

    Args:
        recording: Its signals need not be in memory.
        info: Of the run.

    Raises:
        InputError: It has no signal that the run takes, or one of another shape, without frames, or no usable rate.
    """
    if not any(m in info.inputs for m in recording.signal):
        has = ", ".join(recording.signal) or "nothing"
        raise InputError(f"{recording.name}: the model takes {', '.join(info.inputs)}; the recording holds {has}")
    for m, x in recording.signal.items():
        if m not in info.inputs:
            continue
        path, shape = Path(f"{recording.name}, {m}"), tuple(info.inputs[m].shape)
        if tuple(x.shape[1:]) != shape or not x.shape[0]:
            raise FileError(
                path, f"holds shape {tuple(x.shape)}", f"the model takes (frame, {', '.join(map(str, shape))})"
            )
        if m not in recording.rate_hz:
            raise FileError(path, "has no rate", "give samples a second in rate_hz")
        if info.inputs[m].kind != "features":
            check_rate(recording.rate_hz[m], path, "rate_hz")


def _read(x: Any, rate_hz: float | None, spec: InputSpec, name: str, hop_hz: float) -> SourceSignal:
    path, kind = Path(name), get_kind(spec.kind)
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        raise FileError(path, "holds masked values", "repair or cut the recording")
    if hasattr(x, "columns"):
        if not x.columns.is_unique:
            raise FileError(path, "names a column twice", "name each once")
        columns = {str(c): x[c].to_numpy() for c in x.columns}
        if hasattr(x.index, "tz"):  # moments
            columns = {"timestamp": x.index.to_numpy(), **columns}
        table = signal_of_columns(columns, path, rate_hz, "rate_hz")
        return SourceSignal(kind.shaped(table.x, path), table.rate_hz, table.channels, table.start_s)
    raw = np.asarray(x)
    if raw.dtype.kind not in "fiu" or raw.ndim < 2 or len(raw) < (1 if spec.kind == "features" else 2):
        raise FileError(path, f"holds shape {raw.shape} of {raw.dtype}", "expected numbers, (frame, ...)")
    with np.errstate(over="ignore"):
        signal = raw.astype(np.float32)
    if not np.isfinite(signal).all():
        frame = int(np.argwhere(~np.isfinite(signal))[0][0])
        raise FileError(path, f"NaN or infinity at frame {frame}", "repair or leave out the recording")
    if rate_hz is None:
        if spec.kind != "features":
            raise InputError(f"{name}: expected rate_hz, its samples a second, got none")
        rate_hz = hop_hz
    if kind.has_units:
        check_channels(signal, (), path)
        check_rounding(raw, (), path)
    if spec.kind != "features":
        check_rate(rate_hz, path, "rate_hz")
    is_shaped = signal.shape[1:] == tuple(spec.shape)
    return SourceSignal(signal if is_shaped else kind.shaped(signal.reshape(len(signal), -1), path), float(rate_hz))
