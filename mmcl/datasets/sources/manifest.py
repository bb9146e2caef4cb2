"""A manifest: the recording index on the disk, as CSV, Parquet or JSON lines.

Columns, in any order::

    name       of the recording (optional: the row's number)
    labels     class name; several joined by ";", nothing or 0 = none of them (where events are detected)
    group      who or where, so that splits do not share it (a subject, a site)
    split      train, validation or test (optional: groups may say it, see the command's options)
    video      a video or audio file, or its address; its picture is the modality visual, its sound audio (optional)
    SENSOR     any other name: the path of its file, relative to the manifest's folder; nothing = it lacks this sensor
    SENSOR_hz  its rate; not needed where the file has a column time_s
    events     where events are known, for evaluation alone: "start-end;start-end" in seconds, each followed by a space
               and its class where there are several (optional)

A sensor's kind is told by its header, ``wrist:inertial``, ``pose:skeleton`` (x, y, z of each joint),
``pose:skeleton2d`` (x, y), ``clip:features`` (one row a hop) or any other of ``mmcl.readers.kinds``; without it
``skeleton`` is a skeleton, ``visual`` and ``audio`` are features (or media files, whose features are made), and
anything else is inertial. The columns ``seconds``, ``streams`` and ``problem``, which ``mmcl index`` writes, are for
the reader.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mmcl.data.recording_index import SPLITS, RecordingIndex, RecordingRow, Source, SourceSignal
from mmcl.errors import FileError, InputError
from mmcl.features.weights import cache_folder
from mmcl.io import check_file_name
from mmcl.media.fetch import is_url, place_of_url
from mmcl.media.find import has_media_ending
from mmcl.readers.kinds import REGISTRY, get_kind
from mmcl.readers.signal_file import read_signal_file
from mmcl.types import Interval, default_kind

COLUMNS = ("name", "labels", "group", "split", "events")
FOR_READERS = ("seconds", "streams", "problem")
VIDEO = "video"
RENAMED = {"part": "split"}
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
INTEGRAL = re.compile(r"^(\d+)\.0+$")  # a class of numbers, beside missing values, as pandas writes it
MISSING = ("nan", "NaN", "NAN", "null", "NULL", "NA", "N/A", "n/a", "<NA>", "NaT")
RESERVED = ("joint", "total", "keys", "values", "items", "pop", "update", "clear", "start_s", "end_s")


def read_manifest(path: Path, has_labels: bool = True) -> RecordingIndex:
    """The recording index of a manifest; no file of a signal is opened.

    Args:
        path: A ``.csv``, ``.parquet`` or ``.jsonl`` file.
        has_labels: The column labels must be there.

    Raises:
        FileError: Naming the line that is wrong.
    """
    path = Path(path)
    header, table = _read_table(path)
    for old, new in RENAMED.items():
        if old in header:
            raise FileError(path, f"has a column {old}", f"it is called {new} now")
    known = {*COLUMNS, *FOR_READERS, VIDEO, "label"}
    header = [name.lower() if name.lower() in known and name.lower() not in header else name for name in header]
    header = ["labels" if name == "label" else name for name in header]
    others = (*COLUMNS, *FOR_READERS, VIDEO)
    sensors = [name for name in header if name not in others and not name.endswith("_hz")]
    kinds: dict[str, str] = {}
    for column in sensors:
        cells = [text for _, row in table if (text := row[header.index(column)])]
        if cells and not any(Path(text).suffix for text in cells):
            what = f"column '{column}': '{cells[0]}' is no file"
            raise FileError(path, what, "a column of another name holds a sensor's files; remove it")
        name, _, kind = column.partition(":")
        if kind and kind not in REGISTRY.names() and ":" not in kind:
            raise FileError(path, f"column '{column}': unknown kind", f"expected one of {', '.join(REGISTRY.names())}")
        if not NAME.fullmatch(name) or name in RESERVED:
            raise FileError(
                path,
                f"column '{column}': not a name for a sensor",
                "use letters, digits and _, and not a word of the scores",
            )
        kinds[name] = kind or default_kind(name)
    stray = [n for n in header if n.endswith("_hz") and n.removesuffix("_hz") not in kinds]
    has_source = bool(kinds) or VIDEO in header
    if stray or not has_source or (has_labels and "labels" not in header) or len(kinds) < len(sensors):
        wrong = f"column '{stray[0]}' belongs to no sensor" if stray else f"has the columns {', '.join(header)}"
        raise FileError(path, wrong, "expected labels, group, and a column video, or one with files for each sensor")
    rows = tuple(_row(path, line, dict(zip(header, cells, strict=True)), sensors, kinds) for line, cells in table)
    if "name" not in header and len({row.name for row in rows}) < len(rows):  # files of one name, in other folders
        texts = [cells[header.index(VIDEO)] for _, cells in table] if VIDEO in header else []
        rows = tuple(replace(r, name=_name_of_file(t, 2)) if t else r for r, t in zip(rows, texts, strict=True))
    line_of: dict[str, int] = {}
    for row, (line, _) in zip(rows, table, strict=True):
        if row.name in line_of:
            what = f"lines {line_of[row.name]} and {line}: both are named '{row.name}'"
            raise FileError(path, what, "give each a name of its own")
        line_of[row.name] = line
    classes = tuple(sorted({label for row in rows for label in row.labels}))
    return RecordingIndex(rows, classes, path)


def _read_table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Header, and (line, cells) of each row that is not empty."""
    import pandas

    readers: dict[str, Any] = {
        ".parquet": pandas.read_parquet,
        ".jsonl": partial(pandas.read_json, lines=True, dtype=False),
    }
    try:
        if path.suffix in readers:
            frame = readers[path.suffix](path)
            header = [str(c) for c in frame.columns]
            table = [
                (n, ["" if pandas.isna(v) else str(v).strip() for v in row])
                for n, row in enumerate(frame.itertuples(index=False), 1)
            ]
        else:
            header, table = _read_csv(path)
    except FileError:
        raise
    except ImportError:
        raise FileError(path, "is read by pyarrow, which is not here", "pip install 'mmcl[parquet]'") from None
    except Exception as error:  # pandas' and pyarrow's own kinds
        raise FileError(
            path,
            f"not a readable manifest ({str(error).splitlines()[0] if str(error) else type(error).__name__})",
            "expected a CSV, Parquet (.parquet) or JSON lines (.jsonl) file",
        ) from error
    if not table:
        raise FileError(path, "holds no recordings", "expected a header and one line a recording")
    if len(set(header)) < len(header):
        raise FileError(path, f"names column '{max(header, key=header.count)}' twice", "name each once")
    return header, table


def _read_csv(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    import csv

    with open(path, newline="", encoding="utf-8-sig") as file:
        first = file.readline()
        delimiter = "," if "," in first else max(";\t", key=first.count)  # as spreadsheets of some countries write
        file.seek(0)
        reader = csv.reader(file, delimiter=delimiter if delimiter in first else ",")
        rows = [(n, [v.strip() for v in row]) for n, row in enumerate(reader, 1) if any(row)]
    if not rows:
        raise FileError(path, "holds no recordings", "expected a header and one line a recording")
    header = rows[0][1]
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise FileError(
                path,
                f"line {line}: has {len(row)} columns, the header {len(header)}",
                "repair the line",
            )
    return header, rows[1:]


def _row(
    path: Path, line: int, cell: Mapping[str, str], sensors: Sequence[str], kinds: Mapping[str, str]
) -> RecordingRow:
    def wrong(what: str, do: str) -> FileError:
        return FileError(path, f"line {line}: {what}", do)

    sources: dict[str, Source] = {}
    media: dict[str, tuple[Path, ...]] = {}
    url = ""
    if video := cell.get(VIDEO, ""):
        url = video if is_url(video) else ""
        video = url2pathname(urlsplit(video).path) if video.startswith("file://") else video
        file = place_of_url(url, cache_folder() / "fetched") if url else path.parent / video
        media = dict.fromkeys(("visual", "audio"), (file,))
    for column in sensors:
        m = column.partition(":")[0]
        if not cell[column]:
            continue
        media.pop(m, None)
        file = path.parent / cell[column]
        if kinds[m] == "features" and m in ("visual", "audio") and has_media_ending(file.name):
            media[m] = (file,)
            continue
        rate = _rate(cell.get(f"{m}_hz", ""), m, wrong)
        sources[m] = Source(kinds[m], (file,), partial(_read_signal, file, rate, kinds[m], m))
    if not sources and not media:
        raise wrong("names no file", "give each recording a file of one sensor at least")
    if cell.get("problem"):
        raise wrong(f"has a problem: {cell['problem']}", "repair the file and empty the cell, or remove the line")
    split = cell.get("split", "")
    if split not in ("", *SPLITS):
        raise wrong(f"split is '{split}'", "expected train, validation or test")
    text = unicodedata.normalize("NFC", cell.get("labels", ""))  # accents are written in two ways
    labels = tuple(INTEGRAL.sub(r"\1", v.strip()) for v in text.split(";") if v.strip())
    if missing := [v for v in labels if v in MISSING]:
        raise wrong(f"the label '{missing[0]}' is how a missing value is written", "write the class, or leave it empty")
    events = _events(cell.get("events", ""), labels, wrong)
    name = cell.get("name") or (_name_of_file(cell[VIDEO]) if cell.get(VIDEO) else f"recording-{line - 1}")
    where = f"{path}: line {line}"
    try:
        check_file_name(name)
    except InputError as error:
        raise FileError(path, f"line {line}: {error}", "rename it") from error
    group = unicodedata.normalize("NFC", cell.get("group", ""))
    return RecordingRow(name, split, labels, group, events, sources, where=where, media=media, url=url)


def _name_of_file(text: str, n_parts: int = 1) -> str:
    """A recording's name by its video: the path below the manifest's folder, without the ending.

    Args:
        text: The video's path or address.
        n_parts: Of one that lies elsewhere, how many parts of its path to take from the end.
    """
    below = PurePosixPath(urlsplit(text).path if is_url(text) else Path(text).as_posix()).with_suffix("")
    if below.is_absolute() or ".." in below.parts:
        return "/".join([part for part in below.parts if part not in ("/", "..")][-n_parts:])
    return below.as_posix()


def _rate(text: str, m: str, wrong: Any) -> float | None:
    if not text:
        return None
    try:
        rate = float(text)
    except ValueError:
        raise wrong(f"{m}_hz is '{text}'", "expected samples a second, or nothing") from None
    if not 0.01 <= rate <= 1e6:
        raise wrong(f"{m}_hz is {text}", "expected samples a second, 0.01 to 1,000,000")
    return rate


def _events(text: str, labels: Sequence[str], wrong: Any) -> tuple[Interval, ...]:
    events = []
    for item in filter(None, text.split(";")):
        times, _, label = item.strip().partition(" ")
        start, _, end = times.partition("-")
        label = INTEGRAL.sub(r"\1", unicodedata.normalize("NFC", label.strip()))
        if label and label not in labels:
            raise wrong(f"events holds '{item}', labels {', '.join(labels) or 'nothing'}", "name its class there too")
        try:
            interval = Interval(float(start), float(end), label or ", ".join(labels))
            if "_" in item or not math.isfinite(interval.end_s):
                raise ValueError(item)
        except ValueError:
            raise wrong(f"events holds '{item}'", "expected start-end;start-end in seconds") from None
        if not 0 <= interval.start_s < interval.end_s:
            raise wrong(f"events holds '{item}'", "expected 0 <= start < end")
        events.append(interval)
    return tuple(events)


def _read_signal(path: Path, rate_hz: float | None, kind: str, m: str) -> SourceSignal:
    read = read_signal_file(path, rate_hz, f"the column {m}_hz")
    return SourceSignal(get_kind(kind).shaped(read.x, path), read.rate_hz, read.channels, read.start_s)
