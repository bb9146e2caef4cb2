"""The inference tool: recordings in, snippet scores out, a bad one told and the others done all the same."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from mmcl.config import Config
from mmcl.data.files import MODALITIES, find_pairs, read_recording
from mmcl.data.manifest import Row, read_manifest, read_rows
from mmcl.errors import FileError, InputError, reader_is_gone
from mmcl.events import EventRule, find_events
from mmcl.export import load_for_scoring
from mmcl.figures import timeline_figure
from mmcl.storage import check_writable, printable, why_failed, write_json, write_whole
from mmcl.tasks import scorer
from mmcl.training.folder import channels_of, device_of
from mmcl.types import Recording, Timeline

Item = TypeVar("Item")


@dataclass(frozen=True)
class Output:
    """What is made of timelines. folder: for NAME.json, .csv and .png, None = none. lines: one JSON
    object a recording on standard output, everything else going to standard error."""

    folder: Path | None
    rule: EventRule = field(default_factory=EventRule)
    lines: bool = False

    def say(self, text: str) -> None:
        tqdm.write(printable(text), file=sys.stderr if self.lines else sys.stdout)

    def write(self, timeline: Timeline, about: Mapping[str, Any]) -> None:
        content = {**to_json(timeline, self.rule), **about}
        if self.lines:
            sys.stdout.write(json.dumps(content, allow_nan=False) + "\n")
            sys.stdout.flush()
        if self.folder is not None:
            write_timeline(timeline, self.folder, content, self.rule)


def score_each(
    items: Sequence[Item],
    score: Callable[[Item], Timeline],
    output: Output,
    exclusive: bool,
    noun: str,
    name_of: Callable[[Item], str],
) -> None:
    """``score`` writes what it makes; InputError at the end when any item failed, listing them."""
    if output.folder is not None:
        check_writable(output.folder)  # before anything is scored
    failed: list[str] = []
    for item in tqdm(items, unit=noun, disable=None):
        try:
            output.say(summary(score(item), output.rule, exclusive))
        except Exception as error:  # whatever it is, the others are scored
            if reader_is_gone(error):
                raise
            failed.append(why_failed(name_of(item), error))
            output.say(f"failed: {failed[-1]}")
    where = f" into {output.folder}" if output.folder is not None else ""
    output.say(f"{len(items) - len(failed)} of {len(items)} scored{where}")
    if failed:
        raise InputError(f"{len(failed)} of {len(items)} {noun}s failed: " + " | ".join(failed))


def score_files(
    run: Path,
    paths: Sequence[Path],
    output: Output,
    rate_hz: Mapping[str, float | None],
    device: str = "cpu",
    runtime: str = "torch",
) -> None:
    """Score sensor recordings, pairs of files or the rows of a manifest; each one's results are written at once."""
    where = device_of(device)
    network, config, classes = load_for_scoring(run, runtime, where)
    judge = scorer(network, config, classes, where)
    items = list(
        _of_manifest(run, paths, config) if _needs_manifest(run, config) else _pairs(paths, config, rate_hz)
    )

    def score(item: Waiting) -> Timeline:
        (timeline,) = judge.score([item.read()])
        output.write(timeline, {"files": {m: path.name for m, path in item.files.items()}})
        return timeline

    score_each(
        items, score, output, judge.exclusive, "recording", lambda item: str(next(iter(item.files.values())))
    )


@dataclass(frozen=True)
class Waiting:
    """A recording that is read when its turn comes."""

    files: Mapping[str, Path]
    read: Callable[[], Recording]


def _pairs(paths: Sequence[Path], config: Config, rate_hz: Mapping[str, float | None]) -> Iterator[Waiting]:
    for pair in find_pairs(paths, config.bags.modalities):
        yield Waiting(pair, partial(read_recording, pair, rate_hz))


def _needs_manifest(run: Path, config: Config) -> bool:
    """Sensors unlike UTD-MHAD's, whose files no name tells apart."""
    return bool(channels_of(run)) or not set(config.bags.modalities) <= set(MODALITIES)


def _of_manifest(run: Path, paths: Sequence[Path], config: Config) -> Iterator[Waiting]:
    modalities, shapes = config.bags.modalities, channels_of(run)
    if len(paths) != 1 or paths[0].suffix != ".csv":
        raise InputError(
            f"{run}: was trained on {', '.join(modalities)} of a manifest; give one, a CSV file that names the recordings"
        )
    manifest = read_manifest(paths[0], has_labels=False)
    if lacking := [m for m in modalities if m not in manifest.kinds]:
        raise FileError(paths[0], f"has no column {lacking[0]}", f"{run} scores {', '.join(modalities)}")

    def read(row: Row) -> Recording:
        (recording,) = read_rows(manifest, [row], (), modalities)
        for m, x in recording.signal.items():
            shape = shapes.get(m, x.shape[1:])
            expected = (shape,) if isinstance(shape, int) else tuple(shape)
            if x.shape[1:] != expected:
                raise FileError(
                    row.files[m], f"holds {x.shape[1:]} a frame", f"{run} was trained on {expected}"
                )
        return recording

    for row in manifest.rows:
        yield Waiting({m: row.files[m] for m in modalities}, partial(read, row))


def summary(timeline: Timeline, rule: EventRule, exclusive: bool) -> str:
    if exclusive:
        best = int(timeline.bag_score.argmax())
        return f"{timeline.name}: {timeline.classes[best]} ({timeline.bag_score[best]:.2f})"
    top = timeline.score.max(1)
    n = len(find_events(timeline, rule))
    return f"{timeline.name}: {n} event{'s' * (n != 1)}, highest score {top.max():.2f} at {timeline.start_s[top.argmax()]:.1f} s"


def write_timeline(timeline: Timeline, folder: Path, content: Mapping[str, Any], rule: EventRule) -> None:
    """NAME.json, NAME.csv and NAME.png, each written whole."""
    write_json(folder / f"{timeline.name}.json", content)
    text = io.StringIO()
    writer = csv.writer(text)
    columns = {"joint": timeline.score, **timeline.modality_score}
    one = len(timeline.classes) == 1
    writer.writerow(
        ["start_s", "end_s", *(name if one else f"{name} {c}" for name in columns for c in timeline.classes)]
    )
    for i in range(len(timeline.score)):
        scores = (f"{v:.6f}" for s in columns.values() for v in s[i])
        writer.writerow([f"{timeline.start_s[i]:.3f}", f"{timeline.end_s[i]:.3f}", *scores])
    write_whole(folder / f"{timeline.name}.csv", lambda part: part.write_text(text.getvalue()))
    picture = timeline_figure(timeline, rule.high)
    write_whole(folder / f"{timeline.name}.png", lambda part: part.write_bytes(picture))


def to_json(timeline: Timeline, rule: EventRule) -> dict[str, Any]:
    snippets = [
        {
            "start_s": round(float(timeline.start_s[i]), 3),
            "end_s": round(float(timeline.end_s[i]), 3),
            "joint": [round(float(v), 6) for v in timeline.score[i]],
            **{m: [round(float(v), 6) for v in s[i]] for m, s in timeline.modality_score.items()},
        }
        for i in range(len(timeline.score))
    ]
    rounded = lambda e: {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(e).items()}
    return {
        "name": timeline.name,
        "classes": list(timeline.classes),
        "recording": dict(
            zip(timeline.classes, (round(float(v), 6) for v in timeline.bag_score), strict=True)
        ),
        "rule": asdict(rule),
        "events": [rounded(e) for e in find_events(timeline, rule)],
        "snippets": snippets,
    }
