"""Edit decision list (CMX 3600) with a marker an event, for editing programs; written only."""

from __future__ import annotations

from collections.abc import Sequence

from mmcl.interop.annotations._base import AnnotatedRecording, AnnotationFormat

__all__ = ["Edl"]


class Edl(AnnotationFormat):
    """Markers of DaVinci Resolve, Premiere and Avid; times in frames of the video.

    Example:
        >>> from mmcl.interop.annotations._base import Annotation
        >>> print(Edl().write([AnnotatedRecording("r", annotations=(Annotation(1.0, 2.5, "fall"),))], 24, ""))
        TITLE: r
        FCM: NON-DROP FRAME
        <BLANKLINE>
        001  AX       V     C        00:00:01:00 00:00:02:12 00:00:01:00 00:00:02:12
        * LOC: 00:00:01:00 RED     fall
        <BLANKLINE>
    """

    ending = ".edl"

    def write(self, recordings: Sequence[AnnotatedRecording], fps: float, prefix: str) -> str:
        """See ``AnnotationFormat.write``."""
        (recording,) = recordings
        lines = [f"TITLE: {recording.name}", "FCM: NON-DROP FRAME", ""]
        for n, a in enumerate(recording.annotations, 1):
            start, end = timecode(a.start_s, fps), timecode(a.end_s, fps)
            lines += [f"{n:03d}  AX       V     C        {start} {end} {start} {end}"]
            lines += [f"* LOC: {start} RED     {' '.join(a.label.split())}", ""]
        return "\n".join(lines)


def timecode(seconds: float, fps: float) -> str:
    """Hours, minutes, seconds and frames, without dropped frames.

    Example:
        >>> timecode(61.52, 25)
        '00:01:01:13'
    """
    base = round(fps)
    frames = round(seconds * fps)
    return f"{frames // base // 3600:02d}:{frames // base // 60 % 60:02d}:{frames // base % 60:02d}:{frames % base:02d}"
