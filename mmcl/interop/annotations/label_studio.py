"""Label Studio: a task a video with the model's events as predictions, to correct; and the corrected export."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from mmcl.errors import FileError
from mmcl.interop.annotations._base import AnnotatedRecording, Annotation, AnnotationFormat, check_annotation

__all__ = ["LabelStudio"]

CONTROL, OBJECT, NAME = "events", "video", "recording"
UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")  # Label Studio puts eight digits before the names of uploaded files


class LabelStudio(AnnotationFormat):
    """Tasks with predictions, for a project with the configuration of ``labeling_config``.

    Frames are counted from 1, and the last one of an event is in it.

    Example:
        >>> recording = AnnotatedRecording("r", "r.mp4", 9.0, (Annotation(1.0, 2.0, "fall", 0.9),))
        >>> (task,) = json.loads(LabelStudio().write([recording], 24, "/videos/"))
        >>> task["data"], task["predictions"][0]["result"][0]["value"]["ranges"]
        ({'video': '/videos/r.mp4', 'recording': 'r'}, [{'start': 25, 'end': 48}])
    """

    ending = ".json"
    is_joint = True
    reads = True

    def write(self, recordings: Sequence[AnnotatedRecording], fps: float, prefix: str) -> str:
        """See ``AnnotationFormat.write``."""
        return json.dumps([self._task(r, fps, prefix) for r in recordings], indent=1)

    def _task(self, recording: AnnotatedRecording, fps: float, prefix: str) -> dict[str, Any]:
        result = []
        for n, a in enumerate(recording.annotations):
            frames = {"start": round(a.start_s * fps) + 1, "end": max(round(a.end_s * fps), round(a.start_s * fps) + 1)}
            value = {"ranges": [frames], "timelinelabels": [a.label]}
            region = {
                "id": f"event-{n}",
                "type": "timelinelabels",
                "from_name": CONTROL,
                "to_name": OBJECT,
                "value": value,
            }
            result.append(region if a.score is None else {**region, "score": round(a.score, 6)})
        top = max((a.score or 0.0 for a in recording.annotations), default=0.0)
        prediction = {"model_version": "mmcl", "score": round(top, 6), "result": result}
        address = prefix + quote(recording.file or recording.name)
        return {"data": {OBJECT: address, NAME: recording.name}, "predictions": [prediction]}

    def read(self, path: Path, fps: float) -> list[AnnotatedRecording]:
        """See ``AnnotationFormat.read``; a task that nobody annotated is left out."""
        try:
            tasks = json.loads(path.read_text(encoding="utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise FileError(path, f"not readable as JSON ({error})", "export it again") from error
        if not isinstance(tasks, list) or not all(isinstance(t, dict) for t in tasks):
            raise FileError(path, "is no list of tasks", "export it as JSON from Label Studio")
        recordings = []
        for n, task in enumerate(tasks, 1):
            try:
                recording = self._recording(path, f"task {task.get('id', n)}", task, fps)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                if isinstance(error, FileError):
                    raise
                what = f"task {task.get('id', n)}: is not as expected ({type(error).__name__}: {error})"
                raise FileError(path, what, "export it as JSON from Label Studio") from error
            if recording is not None:
                recordings.append(recording)
        return recordings

    def _recording(self, path: Path, where: str, task: Mapping[str, Any], fps: float) -> AnnotatedRecording | None:
        data = task.get("data", task)  # JSON-MIN has the data's fields in the task
        address = data.get(OBJECT) or data.get("audio") or ""
        name = str(data.get(NAME) or (name_of_address(str(address)) if address else ""))
        if not name:
            raise FileError(path, f"{where}: names no video", f"expected a field {OBJECT} or {NAME}")
        if "data" in task:
            done = [a for a in task.get("annotations", ()) if not a.get("was_cancelled")]
            if not done:
                return None
            if len(done) > 1:
                raise FileError(path, f"{where}: has {len(done)} annotations", "keep one of each task")
            values = [region["value"] for region in done[0]["result"] if "value" in region]
        else:
            values = [v for field in task.values() if isinstance(field, list) for v in field if isinstance(v, dict)]
        annotations = []
        for value in values:
            for label in value.get("timelinelabels", value.get("labels", ())):
                spans = [(r["start"] - 1, r["end"]) for r in value.get("ranges", ())]
                seconds = [(a / fps, b / fps) for a, b in spans]
                if "ranges" not in value and "start" in value:
                    seconds = [(float(value["start"]), float(value["end"]))]  # of sound, in seconds
                annotations += [check_annotation(path, where, Annotation(a, b, str(label))) for a, b in seconds]
        annotations.sort(key=lambda a: (a.start_s, a.label))
        return AnnotatedRecording(name, annotations=tuple(annotations))


def name_of_address(address: str) -> str:
    """A recording's name by the address of its file.

    Example:
        >>> name_of_address("/data/local-files/?d=videos/day/a.mp4"), name_of_address("/data/upload/3/0123abcd-a.mp4")
        ('videos/day/a', 'a')
    """
    parts = urlsplit(address)
    local = parse_qs(parts.query).get("d")
    place = PurePosixPath(local[0] if local else unquote(parts.path))
    uploaded = UPLOADED.fullmatch(place.name)
    if uploaded and "upload" in place.parts:
        return PurePosixPath(uploaded[1]).stem
    return place.with_suffix("").as_posix().lstrip("/")


def labeling_config(labels: Sequence[str], fps: float) -> str:
    """The configuration of a project.

    Args:
        labels: Names of the classes.
        fps: Frames a second that events are counted in.

    Example:
        >>> print(labeling_config(["fall"], 24.0))
        <View>
          <TimelineLabels name="events" toName="video">
            <Label value="fall"/>
          </TimelineLabels>
          <Video name="video" value="$video" frameRate="24" timelineHeight="120"/>
        </View>
    """
    from xml.sax.saxutils import quoteattr

    lines = [f"    <Label value={quoteattr(label)}/>" for label in labels]
    return "\n".join(
        [
            "<View>",
            f'  <TimelineLabels name="{CONTROL}" toName="{OBJECT}">',
            *lines,
            "  </TimelineLabels>",
            f'  <Video name="{OBJECT}" value="${OBJECT}" frameRate="{fps:g}" timelineHeight="120"/>',
            "</View>",
        ]
    )
