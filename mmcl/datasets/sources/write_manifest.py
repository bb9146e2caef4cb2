"""A manifest of a folder of videos, to look at and to edit."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from pathlib import Path

from mmcl.data.media import keep_streams, probe_rows
from mmcl.data.recording_index import RecordingIndex
from mmcl.datasets._missing_streams import describe_missing_of_rows
from mmcl.datasets.sources.folder import read_folder
from mmcl.datasets.sources.splits import DEFAULT_FOLDS, assign_splits, class_problems
from mmcl.errors import FileError, InputError
from mmcl.io import atomic_write
from mmcl.media.find import find_copies
from mmcl.media.probe import Media

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

    What forbids splits, such as one group in two folders of them, is told in the summary, and the table is written with
    the splits that the folders say.

    Raises:
        FileError: The folder is not as expected, ``out`` exists, or cannot be written.
    """
    if out.suffix != ".csv":
        raise FileError(out, "is no name for a manifest", "expected --out NAME.csv")
    if out.exists():
        raise FileError(out, "is there already", "it may hold your edits: remove it, or choose another --out")
    index = read_folder(folder, group_by)
    media, failures = probe_rows(index.rows)
    problems = dict(failures) | _copies(index, media)
    good = RecordingIndex(
        tuple(row for row in index.rows if str(row.media_files[0]) not in problems), index.classes, folder
    )
    has_splits = any(row.split for row in good.rows)
    wrong = ""
    try:
        assigned = assign_splits(good, folds=0 if has_splits else folds, seed=seed)
    except InputError as error:  # the table shows what to repair
        assigned, wrong = good, str(error)
    split_of = {row.name: row.split for row in assigned.rows}
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
    summary = _summary(index, assigned, media, problems)
    return f"{summary}\nbefore you train: {wrong}" if wrong else summary


def _copies(index: RecordingIndex, media: dict[Path, Media]) -> dict[str, str]:
    """Of readable files with the content of another one: what is wrong."""
    name_of = {row.media_files[0]: row.name for row in index.rows}
    copies = find_copies(path for path in name_of if path in media)
    return {str(path): f"the same content as {name_of[first]}" for path, first in copies.items()}


def _streams(media: Media) -> list[str]:
    return [name for name, s in (("picture", media.video), ("sound", media.audio)) if s is not None]


def _relative(path: Path, folder: Path) -> str:
    below = os.path.relpath(path.absolute(), folder.absolute())
    return str(path.absolute()) if below.startswith("..") else below


def _summary(
    index: RecordingIndex, assigned: RecordingIndex, media: dict[Path, Media], problems: dict[str, str]
) -> str:
    split_of = {row.name: row.split for row in assigned.rows}
    counts = Counter((split_of.get(row.name, "none"), row.labels[0]) for row in index.rows)
    splits = [s for s in ("train", "validation", "test", "none") if any(k[0] == s for k in counts)]
    lines = [f"{len(index.rows)} videos, {len({r.group for r in index.rows if r.group})} groups"]
    for split in splits:
        lines.append(f"  {split:11}" + "  ".join(f"{c} {counts[split, c]}" for c in index.classes))
    silent = [row for row in index.rows if row.media_files[0] in media and media[row.media_files[0]].audio is None]
    if silent:
        of_class = Counter(row.labels[0] for row in silent)
        lines.append(f"without sound: {', '.join(f'{c} {n}' for c, n in sorted(of_class.items()))}")
    held = keep_streams(RecordingIndex(index.rows, index.classes, index.path), media)
    with_streams = RecordingIndex(tuple(row for row in held.rows if row.media), index.classes, index.path)
    warnings = describe_missing_of_rows(with_streams, ("visual", "audio"), by_split=False)[0]
    lines += [line for line in warnings if line.startswith("warning")]
    if problems:
        lines.append(f"with a problem: {len(problems)} (column problem): repair or remove them before you train")
    lines += [f"before you train: {what}; {remedy}" for what, remedy in class_problems(assigned)]
    return "\n".join(lines)
