"""A manifest of a folder of videos, to look at and to edit."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from pathlib import Path

from mmcl.data.media import probe_rows
from mmcl.data.recording_index import RecordingIndex, RecordingRow
from mmcl.datasets.sources.folder import read_folder
from mmcl.datasets.sources.splits import DEFAULT_FOLDS, assign_splits
from mmcl.errors import FileError
from mmcl.io import atomic_write
from mmcl.media.find import content_id
from mmcl.media.probe import Media
from mmcl.media.timing import SNIPPET_S

HEADER = ("name", "labels", "split", "group", "video", "seconds", "streams", "problem")


def write_manifest(folder: Path, out: Path, group_by: str = "", folds: int = DEFAULT_FOLDS, seed: int = 0) -> str:
    """Index a folder of class folders: class, split, group, duration, streams and problems of each video.

    Splits are those of the folders train/ and test/, else drawn by groups, each with about the same share of every
    class. Files with a problem are listed without a split, so that training refuses the manifest until they are
    repaired or removed.

    Args:
        folder: Of class folders.
        out: The CSV file.
        group_by: As ``read_folder`` takes it.
        folds: One of so many folds is tested on, one validates.
        seed: Draws the folds.

    Returns:
        A summary, a line each.

    Raises:
        FileError: The folder is not as expected, ``out`` exists, or cannot be written.
    """
    if out.suffix != ".csv":
        raise FileError(out, "is no name for a manifest", "expected --out NAME.csv")
    if out.exists():
        raise FileError(out, "is there already", "it may hold your edits: remove it, or choose another --out")
    index = read_folder(folder, group_by)
    media, failures = probe_rows(index.rows)
    problems = dict(failures) | _problems(index, media)
    good = RecordingIndex(
        tuple(row for row in index.rows if str(row.media_files[0]) not in problems), index.classes, folder
    )
    split_of = {
        row.name: row.split for row in assign_splits(good, folds=0 if _has_splits(good) else folds, seed=seed).rows
    }
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEADER)
    for row in index.rows:
        path = row.media_files[0]
        held = media.get(path)
        writer.writerow(
            [
                row.name,
                ";".join(row.labels),
                split_of.get(row.name, ""),
                row.group,
                _relative(path, out.parent),
                f"{held.duration_s:.2f}" if held is not None and held.duration_s else "",
                "" if held is None else "+".join(_streams(held)),
                problems.get(str(path), ""),
            ]
        )
    atomic_write(out, lambda file: file.write_text(text.getvalue(), encoding="utf-8"))
    return _summary(index, split_of, media, problems)


def _has_splits(index: RecordingIndex) -> bool:
    return any(row.split for row in index.rows)


def _problems(index: RecordingIndex, media: dict[Path, Media]) -> dict[str, str]:
    """Of readable files: too short, or the content of another one."""
    problems: dict[str, str] = {}
    first: dict[str, RecordingRow] = {}
    for row in index.rows:
        path = row.media_files[0]
        if path not in media:
            continue
        seconds = media[path].duration_s
        other = first.setdefault(content_id(path), row)
        if other is not row:
            problems[str(path)] = f"the same content as {other.name}"
        elif seconds is not None and seconds < SNIPPET_S:
            problems[str(path)] = f"shorter than one snippet of {SNIPPET_S:.2f} s"
    return problems


def _streams(media: Media) -> list[str]:
    return [name for name, s in (("picture", media.video), ("sound", media.audio)) if s is not None]


def _relative(path: Path, folder: Path) -> str:
    below = os.path.relpath(path.absolute(), folder.absolute())
    return str(path.absolute()) if below.startswith("..") else below


def _summary(
    index: RecordingIndex, split_of: dict[str, str], media: dict[Path, Media], problems: dict[str, str]
) -> str:
    counts = Counter((split_of.get(row.name, "none"), row.labels[0]) for row in index.rows)
    splits = [s for s in ("train", "validation", "test", "none") if any(k[0] == s for k in counts)]
    lines = [f"{len(index.rows)} videos, {len({r.group for r in index.rows if r.group})} groups"]
    for split in splits:
        lines.append(f"  {split:11}" + "  ".join(f"{c} {counts[split, c]}" for c in index.classes))
    silent = [row for row in index.rows if row.media_files[0] in media and media[row.media_files[0]].audio is None]
    if silent:
        of_class = Counter(row.labels[0] for row in silent)
        lines.append(f"without sound: {', '.join(f'{c} {n}' for c, n in sorted(of_class.items()))}")
    if problems:
        lines.append(f"with a problem: {len(problems)} (column problem): repair or remove them before you train")
    by_name: dict[str, str] = {}
    for name in index.classes:
        if (other := by_name.setdefault(name.casefold(), name)) != name:
            lines.append(f"classes {other} and {name} differ in case alone: write both alike before you train")
    for split in splits:
        shown = [c for c in index.classes if counts[split, c]]
        if split != "none" and len(shown) == 1 and len(index.classes) > 1:
            lines.append(f"the {split} split shows {shown[0]} alone: give it other recordings before you train")
    return "\n".join(lines)
