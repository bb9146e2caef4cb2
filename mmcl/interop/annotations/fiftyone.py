"""FiftyOne: temporal detections of all videos, as its FiftyOneTemporalDetectionDataset reads them; written only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mmcl.interop.annotations._base import AnnotatedRecording, AnnotationFormat

__all__ = ["Fiftyone"]


class Fiftyone(AnnotationFormat):
    """``labels.json`` beside a folder ``data/`` with the videos.

    Example:
        >>> json.loads(Fiftyone().write([AnnotatedRecording("r")], 24, ""))
        {'classes': [], 'labels': {'r': []}}
    """

    ending = ".json"
    is_joint = True

    def write(self, recordings: Sequence[AnnotatedRecording], fps: float, prefix: str) -> str:
        """See ``AnnotationFormat.write``."""
        labels = {
            r.name: [
                {"label": a.label, "timestamps": [a.start_s, a.end_s]}
                | ({} if a.score is None else {"confidence": a.score})
                for a in r.annotations
            ]
            for r in recordings
        }
        content: dict[str, Any] = {
            "classes": sorted({a.label for r in recordings for a in r.annotations}),
            "labels": labels,
        }
        return json.dumps(content, indent=1)
