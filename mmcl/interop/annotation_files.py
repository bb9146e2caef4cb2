"""From scores to annotations that a person corrects, and from corrected ones to a manifest."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmcl.errors import FileError, InputError
from mmcl.evaluation.events import EventRule, find_events
from mmcl.interop.annotations import AnnotatedRecording, Annotation, get_format
from mmcl.interop.annotations.label_studio import LabelStudio, labeling_config
from mmcl.io import atomic_write, place_below, read_json
from mmcl.media.find import find_media
from mmcl.types import SnippetScores

HEADER = ("name", "video", "labels", "events")


def recordings_of_scores(folder: Path, rule: EventRule | None = None) -> list[AnnotatedRecording]:
    """The recordings that ``mmcl score`` wrote into a folder.

    Args:
        folder: Of NAME.json files.
        rule: What an event is; None = as when they were scored.

    Raises:
        FileError: A file is not as the command writes it, or there is none.
    """
    recordings = []
    for path in sorted(folder.rglob("*.json")):
        content = read_json(path)
        if not isinstance(content, dict) or not {"rule", "snippets", "events", "classes"} <= content.keys():
            continue  # another program's
        try:
            recordings.append(_recording(path.relative_to(folder).with_suffix("").as_posix(), content, rule))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            if isinstance(error, InputError):
                raise
            raise FileError(path, f"holds no scores ({type(error).__name__}: {error})", "score it again") from error
    if not recordings:
        raise FileError(folder, "holds no scores", "give the folder that mmcl score wrote")
    return recordings


def _recording(name: str, content: dict, rule: EventRule | None) -> AnnotatedRecording:
    snippets, classes = content["snippets"], tuple(content["classes"])
    start, end = (np.array([s[k] for s in snippets], np.float64) for k in ("start_s", "end_s"))
    file = content.get("file", "")
    if rule is None or content.get("multiclass", False):
        events = [Annotation(e["start_s"], e["end_s"], e["name"], e["peak"]) for e in content["events"]]
    else:
        score = np.array([s["joint"] for s in snippets], np.float64)
        scores = SnippetScores(name, start, end, score, {}, score.max(0), {}, classes)
        events = [Annotation(round(e.start_s, 3), round(e.end_s, 3), e.name, e.peak) for e in find_events(scores, rule)]
    ending = Path(file).suffix
    below = "" if not file else name if name.endswith(ending) else f"{name}{ending}"
    return AnnotatedRecording(name, below, float(end[-1]), tuple(events))


def export_annotations(
    recordings: Sequence[AnnotatedRecording], name: str, out: Path, fps: float = 24.0, prefix: str = ""
) -> list[Path]:
    """Write annotations in a program's format.

    Args:
        recordings: What is written.
        name: Of the format (``annotations.REGISTRY``).
        out: A file where one holds all recordings, else a folder for a file each.
        fps: Frames a second, where times are counted in frames.
        prefix: Of the addresses of media files, where there are such.

    Returns:
        The files; for Label Studio also the project's configuration.

    Raises:
        InputError: The format is unknown, or a file cannot be written.
    """
    chosen = get_format(name)
    texts: dict[Path, str] = {}
    if chosen.is_joint:
        texts[out] = chosen.write(recordings, fps, prefix)
        if isinstance(chosen, LabelStudio):
            labels = sorted({a.label for r in recordings for a in r.annotations})
            texts[out.with_suffix(".xml")] = labeling_config(labels, fps)
    else:
        for r in recordings:
            texts[place_below(out, r.name + chosen.ending)] = chosen.write([r], fps, prefix)
    for path, text in texts.items():
        atomic_write(path, lambda file, text=text: file.write_text(text, encoding="utf-8"))  # type: ignore[misc]
    return list(texts)


def read_annotations(path: Path, name: str, fps: float = 24.0) -> list[AnnotatedRecording]:
    """Read annotations in a program's format.

    Args:
        path: A file where one holds all recordings, else a folder (or a file) of which each holds one.
        name: Of the format.
        fps: Frames a second, where times are counted in frames.

    Raises:
        InputError: The format is unknown or is not read, or a file is not of it.
    """
    chosen = get_format(name)
    if not chosen.reads:
        chosen.read(path, fps)
    if not path.exists():
        raise FileError(path, "no such file", "check the path")
    files = [path]
    if path.is_dir():
        files = sorted(path.rglob(f"*{chosen.ending}"))
        if chosen.is_joint and len(files) != 1:
            raise FileError(path, f"holds {len(files)} {chosen.ending} files", "give the file itself")
        if not files:
            raise FileError(path, f"holds no {chosen.ending} files", "check the path")
    recordings = []
    for file in files:
        try:
            read = chosen.read(file, fps)
        except (OSError, UnicodeDecodeError) as error:
            raise FileError(file, f"cannot be read ({error})", "export it again") from error
        place = file.relative_to(path) if path.is_dir() else Path(file.name)
        own = place.with_suffix("").as_posix()
        recordings += [r if r.name else AnnotatedRecording(own, annotations=r.annotations) for r in read]
    names = [r.name for r in recordings]
    if twice := {n for n in names if names.count(n) > 1}:
        raise FileError(path, f"annotates {min(twice)} twice", "keep one")
    if not recordings:
        raise FileError(path, "holds no annotations that somebody made", "annotate, submit and export")
    return recordings


def manifest_of_annotations(recordings: Sequence[AnnotatedRecording], videos: Path, out: Path) -> list[str]:
    """Write a manifest of annotated videos.

    Args:
        recordings: By name: the path of the video below the folder, or its end, without the ending.
        videos: Folder of the videos.
        out: The CSV file, which must not be there.

    Returns:
        Names of videos without annotations, which are left out.

    Raises:
        FileError: A recording has no video, or several; or ``out`` is there.
    """
    if out.suffix != ".csv":
        raise FileError(out, "is no name for a manifest", "expected NAME.csv")
    if out.exists():
        raise FileError(out, "is there already", "it may hold your edits: remove it, or choose another --out")
    by_name = {file.name: file.path for file in find_media([videos])}
    used: dict[str, str] = {}
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEADER)
    for r in recordings:
        name = _match(r.name, by_name, videos)
        if name in used:
            raise FileError(by_name[name], f"is annotated as {used[name]} and as {r.name}", "keep one")
        used[name] = r.name
        labels = ";".join(sorted({a.label for a in r.annotations}))
        events = ";".join(f"{a.start_s:.3f}-{a.end_s:.3f} {a.label}" for a in r.annotations)
        writer.writerow([name, _relative(by_name[name], out.parent), labels, events])
    atomic_write(out, lambda path: path.write_text(text.getvalue(), encoding="utf-8"))
    return sorted(set(by_name) - set(used))


def _match(name: str, by_name: dict[str, Path], videos: Path) -> str:
    if name in by_name:
        return name
    near = [n for n in by_name if name.endswith(f"/{n}") or n.endswith(f"/{name}")]
    if len(near) != 1:
        what = f"holds {len(near)} videos of the name {name}"
        raise FileError(videos, what, "give the folder that was scored, or rename")
    return near[0]


def _relative(path: Path, folder: Path) -> str:
    import os

    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
