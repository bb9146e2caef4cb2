"""The inference tool: recordings in, snippet scores out as JSON, CSV and a picture each."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mmcl.data.files import MODALITIES, find_pairs, read_recording
from mmcl.errors import InputError
from mmcl.figures import timeline_figure
from mmcl.storage import write_json, write_whole
from mmcl.tasks import scorer
from mmcl.training.run import device_of, load_network
from mmcl.types import Timeline


def score_files(
    run: Path,
    paths: Sequence[Path],
    out: Path,
    rate_hz: Mapping[str, float | None],
    threshold: float = 0.5,
    device: str = "cpu",
) -> None:
    """Score each recording and write its files at once; a bad one is told and the others go on.

    Raises InputError at the end when any recording failed, listing them.
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"--threshold: expected 0 to 1, got {threshold}")
    network, config, classes = load_network(run)
    judge = scorer(network.to(device_of(device)), config, classes, device)
    if not set(config.bags.modalities) <= set(MODALITIES):
        raise InputError(f"{run}: scores {' and '.join(config.bags.modalities)} features, not recordings")
    pairs = find_pairs(paths, config.bags.modalities)
    failed: list[str] = []
    for pair in tqdm(pairs, unit="recording", disable=None):
        try:
            (timeline,) = judge.score([read_recording(pair, rate_hz)])
            write_timeline(timeline, out, threshold)
            tqdm.write(summary(timeline, threshold, judge.exclusive))
        except (InputError, MemoryError) as error:
            failed.append(str(error) or f"{next(iter(pair.values()))}: not enough memory")
            tqdm.write(f"failed: {error}")
    print(f"{len(pairs) - len(failed)} of {len(pairs)} scored into {out}")
    if failed:
        raise InputError(f"{len(failed)} of {len(pairs)} recordings failed: " + " | ".join(failed))


def summary(timeline: Timeline, threshold: float, exclusive: bool) -> str:
    if exclusive:
        best = int(timeline.bag_score.argmax())
        return f"{timeline.name}: {timeline.classes[best]} ({timeline.bag_score[best]:.2f})"
    top = timeline.score.max(1)
    above = int((top >= threshold).sum())
    return f"{timeline.name}: {above} of {len(top)} snippets at {threshold} or more, highest {top.max():.2f} at {timeline.start_s[top.argmax()]:.1f} s"


def write_timeline(timeline: Timeline, out: Path, threshold: float) -> None:
    """NAME.json, NAME.csv and NAME.png, each written whole."""
    write_json(out / f"{timeline.name}.json", to_json(timeline))
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
    write_whole(out / f"{timeline.name}.csv", lambda part: part.write_text(text.getvalue()))
    picture = timeline_figure(timeline, threshold)
    write_whole(out / f"{timeline.name}.png", lambda part: part.write_bytes(picture))


def to_json(timeline: Timeline) -> dict[str, Any]:
    snippets = [
        {
            "start_s": round(float(timeline.start_s[i]), 3),
            "end_s": round(float(timeline.end_s[i]), 3),
            "joint": [round(float(v), 6) for v in timeline.score[i]],
            **{m: [round(float(v), 6) for v in s[i]] for m, s in timeline.modality_score.items()},
        }
        for i in range(len(timeline.score))
    ]
    return {
        "name": timeline.name,
        "classes": list(timeline.classes),
        "recording": dict(
            zip(timeline.classes, (round(float(v), 6) for v in timeline.bag_score), strict=True)
        ),
        "snippets": snippets,
    }
