"""Base of all formats, and what they hold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmcl.errors import FileError, InputError


@dataclass(frozen=True)
class Annotation:
    """A labelled stretch of a recording.

    Attributes:
        start_s: Its begin [s].
        end_s: Its end [s].
        label: What it shows.
        score: Of a model, None of a person.

    Example:
        >>> Annotation(1.0, 2.5, "fall").score is None
        True
    """

    start_s: float
    end_s: float
    label: str
    score: float | None = None


@dataclass(frozen=True)
class AnnotatedRecording:
    """A recording with its annotations.

    Attributes:
        name: Of the recording: the path of its file below a folder, without the ending.
        file: Name of the file below that folder, "" where it is not known.
        seconds: How long it is, 0 where it is not known.
        annotations: By their begin; none = somebody looked, and there is nothing.

    Example:
        >>> AnnotatedRecording("day/clip", "day/clip.mp4", 12.0).annotations
        ()
    """

    name: str
    file: str = ""
    seconds: float = 0.0
    annotations: tuple[Annotation, ...] = ()


class AnnotationFormat(ABC):
    """A format. A subclass is one file in ``interop/annotations``, or in another package.

    Attributes:
        ending: Of its files.
        is_joint: One file holds all recordings; else each has a file of its own.
        reads: It can be read, too.

    Example:
        >>> AnnotationFormat.reads
        False
    """

    ending: str = ""
    is_joint: bool = False
    reads: bool = False

    @abstractmethod
    def write(self, recordings: Sequence[AnnotatedRecording], fps: float, prefix: str) -> str:
        """The text of a file.

        Args:
            recordings: All, or the one that the file is of.
            fps: Frames a second, where times are counted in frames.
            prefix: Of the addresses of media files, where there are such.
        """

    def read(self, path: Path, fps: float) -> list[AnnotatedRecording]:
        """What a file holds; of a format with a file a recording, one without a name.

        Args:
            path: The file.
            fps: Frames a second, where times are counted in frames.

        Raises:
            FileError: It is not of this format.
        """
        raise InputError(f"annotations in this format ({self.ending}) are written only, not read")


def check_annotation(path: Path, where: str, annotation: Annotation) -> Annotation:
    """The annotation, if its times are right.

    Args:
        path: The file, for errors.
        where: Its place in the file.
        annotation: As it was read.

    Raises:
        FileError: It has no label, or does not end behind its begin.
    """
    if not 0 <= annotation.start_s < annotation.end_s < 1e9:
        what = f"{where}: from {annotation.start_s:g} to {annotation.end_s:g} s"
        raise FileError(path, what, "expected 0 <= start < end, in seconds")
    if not annotation.label.strip():
        raise FileError(path, f"{where}: has no label", "give it one")
    if ";" in annotation.label:
        raise FileError(path, f"{where}: label '{annotation.label}' holds a semicolon", "rename it")
    return annotation


def stamp(seconds: float, point: str = ".") -> str:
    """Hours, minutes, seconds and milliseconds.

    Example:
        >>> stamp(3661.5), stamp(0.0204, ",")
        ('01:01:01.500', '00:00:00,020')
    """
    ms = round(1000 * seconds)
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}{point}{ms % 1000:03d}"
