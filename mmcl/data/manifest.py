"""A user's own data set without code: a CSV manifest, one row a recording, a file for each of its sensors.

Columns, in any order, a header first::

    name       of the recording (optional: the row's number)
    label      class name; several joined by ";", nothing or 0 = none of them (only where events are sought)
    group      who or where, so that parts do not share it (a subject, a site)
    part       train, validation or test (optional: groups may say it, see the command's options)
    SENSOR     any other name: the path of its file, relative to the manifest's folder
    SENSOR_hz  its rate; not needed where the file has a column time_s
    events     where events are known, for judging alone: "start-end;start-end" in seconds (optional)

A sensor's kind is told by its header, ``wrist:inertial``, ``pose:skeleton`` (x, y, z of each joint),
``pose:skeleton2d`` (x, y) or ``clip:features`` (one row a snippet); without it ``skeleton`` is a skeleton,
``visual`` and ``audio`` are features, and anything else is inertial, ``(frame, channel)``.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmcl.data.signals import read_any_signal
from mmcl.errors import FileError
from mmcl.types import Interval, Recording, kind_of

KNOWN = ("name", "label", "group", "part", "events")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
RESERVED = ("joint", "total", "keys", "values", "items", "pop", "update", "clear", "start_s", "end_s")
KINDS = {"inertial": "inertial", "skeleton": "skeleton", "skeleton2d": "skeleton", "features": "features"}


@dataclass(frozen=True)
class Row:
    """One recording of the manifest. ``files[m]``, ``rate_hz[m]`` by modality, rate None = the file tells it."""

    name: str
    labels: tuple[str, ...]
    group: str
    part: str
    files: dict[str, Path]
    rate_hz: dict[str, float | None]
    events: tuple[tuple[float, float], ...]
    line: int


@dataclass(frozen=True)
class Manifest:
    """``kinds[m]``: inertial, skeleton or features; ``n_coordinates[m]`` of a skeleton's joints."""

    path: Path
    kinds: dict[str, str]
    n_coordinates: dict[str, int]
    rows: tuple[Row, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """All class names, sorted."""
        return tuple(sorted({label for row in self.rows for label in row.labels}))


def read_manifest(path: Path, has_labels: bool = True) -> Manifest:
    """The table; no file of a signal is opened. has_labels: a column label must be there. Raises FileError naming the line that is wrong."""
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            table = [(n, [v.strip() for v in row]) for n, row in enumerate(csv.reader(file), 1) if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(path, f"not a readable manifest ({error})", "expected a CSV file") from error
    if len(table) < 2:
        raise FileError(path, "holds no recordings", "expected a header and one line a recording")
    header = table[0][1]
    if len(set(header)) < len(header):
        raise FileError(path, f"names column '{max(header, key=header.count)}' twice", "name each once")
    sensors = [name for name in header if name not in KNOWN and not name.endswith("_hz")]
    kinds: dict[str, str] = {}
    n_coordinates: dict[str, int] = {}
    for column in sensors:
        name, _, kind = column.partition(":")
        if kind and kind not in KINDS:
            raise FileError(path, f"column '{column}': unknown kind", f"expected one of {', '.join(KINDS)}")
        if not NAME.fullmatch(name) or name in RESERVED:
            raise FileError(
                path,
                f"column '{column}': not a name for a sensor",
                "use letters, digits and _, and not a word of the scores",
            )
        kinds[name] = KINDS[kind] if kind else kind_of(name)
        n_coordinates[name] = 2 if kind == "skeleton2d" else 3
    stray = [n for n in header if n.endswith("_hz") and n.removesuffix("_hz") not in kinds]
    lacks_label = has_labels and "label" not in header
    if stray or not kinds or lacks_label or len(kinds) < len(sensors):
        wrong = (
            f"column '{stray[0]}' belongs to no sensor" if stray else f"has the columns {', '.join(header)}"
        )
        raise FileError(path, wrong, "expected label, group, and a column with files for each sensor")
    rows = tuple(_row(path, n, dict(zip(header, row)), row, header, sensors) for n, row in table[1:])
    names = [row.name for row in rows]
    if len(set(names)) < len(names):
        twice = max(names, key=names.count)
        raise FileError(path, f"names two recordings '{twice}'", "give each a name of its own")
    return Manifest(path, kinds, n_coordinates, rows)


def _row(
    path: Path,
    line: int,
    cell: dict[str, str],
    row: Sequence[str],
    header: Sequence[str],
    sensors: Sequence[str],
) -> Row:
    def wrong(what: str, do: str) -> FileError:
        return FileError(path, f"line {line}: {what}", do)

    if len(row) != len(header):
        raise wrong(f"has {len(row)} columns, the header {len(header)}", "repair the line")
    files, rates = {}, {}
    for column in sensors:
        m = column.partition(":")[0]
        if not cell[column]:
            raise wrong(f"no file of {m}", "give each recording a file of each sensor")
        files[m] = path.parent / cell[column]
        text = cell.get(f"{m}_hz", "")
        try:
            rates[m] = float(text) if text else None
        except ValueError:
            raise wrong(f"{m}_hz is '{text}'", "expected samples a second, or nothing") from None
        if rates[m] is not None and not 0.01 <= rates[m] <= 1e6:  # type: ignore[operator]
            raise wrong(f"{m}_hz is {text}", "expected samples a second, 0.01 to 1,000,000")
    part = cell.get("part", "")
    if part not in ("", "train", "validation", "test"):
        raise wrong(f"part is '{part}'", "expected train, validation or test")
    labels = tuple(v.strip() for v in cell.get("label", "").split(";") if v.strip())
    events = []
    for text in filter(None, cell.get("events", "").split(";")):
        start, _, end = text.strip().partition("-")
        try:
            events.append((float(start), float(end)))
        except ValueError:
            raise wrong(f"events holds '{text}'", "expected start-end;start-end in seconds") from None
        if not 0 <= events[-1][0] < events[-1][1]:
            raise wrong(f"events holds '{text}'", "expected 0 <= start < end")
    name = cell.get("name") or f"recording-{line - 1}"
    return Row(name, labels, cell.get("group", ""), part, files, rates, tuple(events), line)


def read_rows(
    manifest: Manifest, rows: Sequence[Row], classes: Sequence[str], modalities: Sequence[str] = ()
) -> list[Recording]:
    """The recordings of these rows, labels ``(class,)`` 0 or 1. All must be alike in shape.

    Raises FileError naming the file, or the manifest's line whose signals do not last equally long.
    """
    chosen = tuple(modalities) or tuple(manifest.kinds)
    shapes: dict[str, tuple[int, ...]] = {}
    made = []
    for row in rows:
        signal, rate = {}, {}
        for m in chosen:
            option = f"the column {m}_hz"
            x, rate[m] = read_any_signal(row.files[m], row.rate_hz[m], option)
            signal[m] = _shaped(x, row.files[m], manifest.kinds[m], manifest.n_coordinates[m])
            if shapes.setdefault(m, signal[m].shape[1:]) != signal[m].shape[1:]:
                raise FileError(
                    row.files[m],
                    f"holds {signal[m].shape[1:]} a frame, others {shapes[m]}",
                    "all recordings of a sensor must have the same channels",
                )
        lasts = {m: len(x) / rate[m] for m, x in signal.items()}
        if max(lasts.values()) - min(lasts.values()) > max(1.0, 0.1 * max(lasts.values())):
            seconds = ", ".join(f"{m} {s:.1f} s" for m, s in lasts.items())
            raise FileError(
                manifest.path,
                f"line {row.line}: {seconds} do not match",
                "check the rates, or cut both alike",
            )
        label = np.array([c in row.labels for c in classes], np.float32)
        intervals = tuple(Interval(a, b, ", ".join(row.labels)) for a, b in row.events)
        made.append(Recording(row.name, signal, rate, label, row.group, intervals))
    return made


def _shaped(x: np.ndarray, path: Path, kind: str, n_coordinates: int) -> np.ndarray:
    if kind != "skeleton":
        return x.reshape(len(x), -1)
    joints = (
        x if x.ndim == 3 else x.reshape(len(x), -1, n_coordinates) if x.shape[1] % n_coordinates == 0 else x
    )
    if joints.ndim != 3 or joints.shape[2] != n_coordinates or joints.shape[1] < 2:
        raise FileError(
            path, f"holds shape {x.shape}", f"expected {n_coordinates} coordinates of two joints or more"
        )
    return joints
