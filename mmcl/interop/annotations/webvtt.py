"""WebVTT: a cue an annotation (W3C, WebVTT: The Web Video Text Tracks Format)."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path

from mmcl.errors import FileError
from mmcl.interop.annotations._base import (
    AnnotatedRecording,
    Annotation,
    AnnotationFormat,
    check_annotation,
    stamp,
)

__all__ = ["Webvtt"]

TIMES = re.compile(r"\s*(?:(\d+):)?(\d{2}):(\d{2}\.\d{3})\s+-->\s+(?:(\d+):)?(\d{2}):(\d{2}\.\d{3})(?:\s.*)?")


class Webvtt(AnnotationFormat):
    """Subtitles of browsers and players; a cue's text is its label.

    Example:
        >>> print(Webvtt().write([AnnotatedRecording("r", annotations=(Annotation(1.0, 2.5, "a & b"),))], 24, ""))
        WEBVTT
        <BLANKLINE>
        00:00:01.000 --> 00:00:02.500
        a &amp; b
        <BLANKLINE>
    """

    ending = ".vtt"
    reads = True

    def write(self, recordings: Sequence[AnnotatedRecording], fps: float, prefix: str) -> str:
        """See ``AnnotationFormat.write``."""
        (recording,) = recordings
        cues = [
            f"{stamp(a.start_s)} --> {stamp(a.end_s)}\n{html.escape(' '.join(a.label.split()), quote=False)}\n"
            for a in recording.annotations
        ]
        return "\n".join(["WEBVTT\n", *cues])

    def read(self, path: Path, fps: float) -> list[AnnotatedRecording]:
        """See ``AnnotationFormat.read``."""
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        if not lines or not re.fullmatch(r"WEBVTT([ \t].*)?", lines[0]):
            raise FileError(path, "does not begin with WEBVTT", "export it again")
        annotations = []
        i = 1
        while i < len(lines):
            if "-->" not in lines[i]:
                i += 1
                continue
            match = TIMES.fullmatch(lines[i])
            if match is None:
                raise FileError(
                    path, f"line {i + 1}: '{lines[i].strip()}' are no times", "expected MM:SS.mmm --> MM:SS.mmm"
                )
            start, end = (_seconds(match.groups()[k : k + 3]) for k in (0, 3))
            text, where = [], f"line {i + 1}"
            i += 1
            while i < len(lines) and lines[i].strip():
                text.append(re.sub(r"<[^>]*>", "", lines[i]).strip())
                i += 1
            annotations.append(check_annotation(path, where, Annotation(start, end, html.unescape(" ".join(text)))))
        return [AnnotatedRecording("", annotations=tuple(annotations))]


def _seconds(groups: Sequence[str | None]) -> float:
    hours, minutes, seconds = groups
    return 3600 * int(hours or 0) + 60 * int(minutes or 0) + float(seconds or 0)
