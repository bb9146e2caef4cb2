"""Commands for people who correct what a model takes for events."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mmcl.cli.options import Debug
from mmcl.errors import InputError


@dataclass(frozen=True)
class ExportAnnotations:
    """Write the events of scored recordings for a program in which a person looks at them and corrects them.

    Formats: label-studio (tasks with predictions, and the project's configuration beside them, NAME.xml), elan, webvtt,
    srt, edl (markers of editing programs), csv, fiftyone (temporal detections).
    """

    scores: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SCORES")]
    """Folder that mmcl score wrote."""
    out: Path
    """A file (label-studio, csv, fiftyone), or a folder for a file a recording (elan, webvtt, srt, edl)."""
    to: str = "label-studio"
    """The format."""
    threshold: float | None = None
    """An event's highest joint score is at least this; as when the recordings were scored by default."""
    low: float = 0.3
    """With --threshold: an event goes on while the joint score is at least this."""
    min_s: float = 0.0
    """With --threshold: shorter events are left out [s]."""
    fps: float = 24.0
    """Frames a second in which label-studio and edl count."""
    prefix: str = "/data/local-files/?d="
    """Before the paths of videos in label-studio's tasks: where its server finds them."""
    debug: Debug = False

    def run(self) -> None:
        """Export."""
        from mmcl.evaluation.events import EventRule
        from mmcl.interop.annotation_files import export_annotations, recordings_of_scores

        if not 1 <= self.fps <= 1000:
            raise InputError(f"--fps {self.fps:g}: expected 1 to 1000")
        rule = None if self.threshold is None else EventRule(self.threshold, min(self.low, self.threshold), self.min_s)
        recordings = recordings_of_scores(self.scores, rule)
        prefix = self.prefix if self.to == "label-studio" else ""
        files = export_annotations(recordings, self.to, self.out, self.fps, prefix)
        n = sum(len(r.annotations) for r in recordings)
        print(f"{n} events of {len(recordings)} recordings: {files[0] if len(files) < 3 else self.out}")
        for path in files[1:2] if len(files) == 2 else ():
            print(f"configuration of the project: {path}")


@dataclass(frozen=True)
class ImportAnnotations:
    """Make a manifest to train on from corrected annotations: labels and events of each video.

    Videos that nobody annotated are left out, and named; one in which somebody saw no event has no label.
    """

    annotations: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="ANNOTATIONS")]
    """A file (label-studio, csv), or a folder with a file a recording (elan, webvtt)."""
    videos: Path
    """Folder of the videos."""
    out: Path
    """The manifest, NAME.csv."""
    source: Annotated[str, tyro.conf.arg(name="from")] = "label-studio"
    """The format: label-studio, elan, webvtt or csv."""
    fps: float = 24.0
    """Frames a second in which label-studio counts (frameRate in its configuration)."""
    debug: Debug = False

    def run(self) -> None:
        """Import."""
        from mmcl.interop.annotation_files import manifest_of_annotations, read_annotations

        if not 1 <= self.fps <= 1000:
            raise InputError(f"--fps {self.fps:g}: expected 1 to 1000")
        recordings = read_annotations(self.annotations, self.source, self.fps)
        left_out = manifest_of_annotations(recordings, self.videos, self.out)
        if left_out:
            names = ", ".join(left_out[:5]) + " ..." * (len(left_out) > 5)
            print(f"{len(left_out)} videos without annotations are left out: {names}")
        n = sum(len(r.annotations) for r in recordings)
        print(f"{len(recordings)} recordings, {n} events: {self.out}")
        print(f"train on it: mmcl train events --data {self.out} --out RUN")
