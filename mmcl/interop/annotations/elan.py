"""ELAN: a tier a label, an annotation an event (EAF 3.0, Max Planck Institute for Psycholinguistics)."""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from mmcl.errors import FileError
from mmcl.interop.annotations._base import AnnotatedRecording, Annotation, AnnotationFormat, check_annotation

__all__ = ["Elan"]

TIER, TYPE = "events", "event"
MAX_BYTES = 64 << 20


class Elan(AnnotationFormat):
    """A tier ``events``, whose annotations' values are the labels; times in milliseconds. Of a file with other tiers,
    all tiers that are aligned to the time are read.

    Example:
        >>> "<ANNOTATION_VALUE>fall</ANNOTATION_VALUE>" in Elan().write(
        ...     [AnnotatedRecording("r", "r.mp4", 9.0, (Annotation(1.0, 2.0, "fall"),))], 24, ""
        ... )
        True
    """

    ending = ".eaf"
    reads = True

    def write(self, recordings: Sequence[AnnotatedRecording], fps: float, prefix: str) -> str:
        """See ``AnnotationFormat.write``."""
        (recording,) = recordings
        document = Element(
            "ANNOTATION_DOCUMENT", AUTHOR="mmcl", DATE="2000-01-01T00:00:00+00:00", FORMAT="3.0", VERSION="3.0"
        )
        header = SubElement(document, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
        if recording.file:
            kind = mimetypes.guess_type(recording.file)[0] or "video/mp4"
            SubElement(header, "MEDIA_DESCRIPTOR", MEDIA_URL=prefix + recording.file, MIME_TYPE=kind)
        order = SubElement(document, "TIME_ORDER")
        tier = SubElement(document, "TIER", LINGUISTIC_TYPE_REF=TYPE, TIER_ID=TIER)
        for n, a in enumerate(recording.annotations):
            slots = [f"ts{2 * n + k + 1}" for k in range(2)]
            for slot, seconds in zip(slots, (a.start_s, a.end_s), strict=True):
                SubElement(order, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=str(round(1000 * seconds)))
            aligned = SubElement(
                SubElement(tier, "ANNOTATION"),
                "ALIGNABLE_ANNOTATION",
                ANNOTATION_ID=f"a{n + 1}",
                TIME_SLOT_REF1=slots[0],
                TIME_SLOT_REF2=slots[1],
            )
            SubElement(aligned, "ANNOTATION_VALUE").text = a.label
        SubElement(
            document, "LINGUISTIC_TYPE", GRAPHIC_REFERENCES="false", LINGUISTIC_TYPE_ID=TYPE, TIME_ALIGNABLE="true"
        )
        ElementTree.indent(document)
        return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(document, encoding="unicode") + "\n"

    def read(self, path: Path, fps: float) -> list[AnnotatedRecording]:
        """See ``AnnotationFormat.read``."""
        if path.stat().st_size > MAX_BYTES:
            raise FileError(path, f"is larger than {MAX_BYTES >> 20} MB", "is it an ELAN file?")
        text = path.read_text(encoding="utf-8-sig")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise FileError(path, "declares entities", "save it again with ELAN")
        try:
            document = ElementTree.fromstring(text)
        except ElementTree.ParseError as error:
            raise FileError(path, f"not readable as XML ({error})", "save it again with ELAN") from error
        if document.tag != "ANNOTATION_DOCUMENT":
            raise FileError(path, f"is a {document.tag[:40]}, no ANNOTATION_DOCUMENT", "save it again with ELAN")
        header = document.find("HEADER")
        if header is not None and header.get("TIME_UNITS", "milliseconds") != "milliseconds":
            raise FileError(path, f"counts in {header.get('TIME_UNITS')}", "expected milliseconds")
        at = {slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE") for slot in document.iterfind("TIME_ORDER/TIME_SLOT")}
        annotations = []
        for element in document.iterfind("TIER/ANNOTATION/ALIGNABLE_ANNOTATION"):
            where = f"annotation {element.get('ANNOTATION_ID')}"
            start, end = (at.get(element.get(f"TIME_SLOT_REF{k}")) for k in (1, 2))
            if start is None or end is None or not start.isdigit() or not end.isdigit():
                raise FileError(path, f"{where}: has no time", "align its begin and end in ELAN")
            label = " ".join((element.findtext("ANNOTATION_VALUE") or "").split())
            annotation = Annotation(int(start) / 1000, int(end) / 1000, label)
            annotations.append(check_annotation(path, where, annotation))
        annotations.sort(key=lambda a: (a.start_s, a.label))
        return [AnnotatedRecording("", annotations=tuple(annotations))]
