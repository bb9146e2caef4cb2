"""SubRip: numbered subtitles, for players; written only."""

from __future__ import annotations

from collections.abc import Sequence

from mmcl.interop.annotations._base import AnnotatedRecording, AnnotationFormat, stamp

__all__ = ["Srt"]


class Srt(AnnotationFormat):
    """Subtitles of video players; a subtitle's text is the label.

    Example:
        >>> Srt().write([AnnotatedRecording("r")], 24, "")
        ''
    """

    ending = ".srt"

    def write(self, recordings: Sequence[AnnotatedRecording], fps: float, prefix: str) -> str:
        """See ``AnnotationFormat.write``."""
        (recording,) = recordings
        return "\n".join(
            f"{n}\n{stamp(a.start_s, ',')} --> {stamp(a.end_s, ',')}\n{' '.join(a.label.split())}\n"
            for n, a in enumerate(recording.annotations, 1)
        )
