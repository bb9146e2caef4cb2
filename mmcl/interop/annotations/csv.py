"""A table of all recordings: name, start_s, end_s, label, score; a recording without events has a row of its name."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from mmcl.errors import FileError
from mmcl.interop.annotations._base import AnnotatedRecording, Annotation, AnnotationFormat, check_annotation

__all__ = ["Csv"]

HEADER = ("name", "start_s", "end_s", "label", "score")


class Csv(AnnotationFormat):
    """A row an annotation; of recordings that somebody looked at without one, a row with the name alone.

    Example:
        >>> Csv().write([AnnotatedRecording("r")], 24, "").splitlines()
        ['name,start_s,end_s,label,score', 'r,,,,']
    """

    ending = ".csv"
    is_joint = True
    reads = True

    def write(self, recordings: Sequence[AnnotatedRecording], fps: float, prefix: str) -> str:
        """See ``AnnotationFormat.write``."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(HEADER)
        for r in recordings:
            for a in r.annotations:
                score = "" if a.score is None else f"{a.score:.6f}"
                writer.writerow([r.name, f"{a.start_s:.3f}", f"{a.end_s:.3f}", a.label, score])
            if not r.annotations:
                writer.writerow([r.name, "", "", "", ""])
        return text.getvalue()

    def read(self, path: Path, fps: float) -> list[AnnotatedRecording]:
        """See ``AnnotationFormat.read``."""
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [(n, row) for n, row in enumerate(csv.reader(file), 1) if any(cell.strip() for cell in row)]
        header = [cell.strip() for cell in rows[0][1]] if rows else []
        if missing := [name for name in HEADER[:4] if name not in header]:
            raise FileError(path, f"has no column {missing[0]}", f"expected {', '.join(HEADER[:4])}")
        by_name: dict[str, list[Annotation]] = {}
        for line, row in rows[1:]:
            if len(row) != len(header):
                raise FileError(
                    path, f"line {line} has {len(row)} columns, the header {len(header)}", "repair the line"
                )
            cell = {name: value.strip() for name, value in zip(header, row, strict=True)}
            annotations = by_name.setdefault(cell["name"], [])
            if not cell["start_s"] and not cell["end_s"] and not cell["label"]:
                continue
            try:
                start, end = float(cell["start_s"]), float(cell["end_s"])
            except ValueError:
                raise FileError(
                    path, f"line {line}: '{cell['start_s']}' to '{cell['end_s']}'", "expected seconds"
                ) from None
            annotations.append(check_annotation(path, f"line {line}", Annotation(start, end, cell["label"])))
        return [AnnotatedRecording(name, annotations=tuple(a)) for name, a in by_name.items()]
