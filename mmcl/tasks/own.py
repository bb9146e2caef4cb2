"""A user's own recordings, named by a manifest: which of some classes each shows, or where in it something happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmcl.config import Config
from mmcl.data.manifest import Manifest, Row, read_manifest, read_rows
from mmcl.errors import FileError, InputError
from mmcl.tasks.task import PARTS, Task, judge_recognition, judge_streams, with_labels
from mmcl.types import Recording


def complete(config: Config, data: Path) -> Config:
    """The settings with the manifest's sensors and their kinds filled in."""
    if config.task not in ("recordings", "events"):
        return config
    kinds = read_manifest(data).kinds
    chosen = config.bags.modalities or tuple(kinds)
    unknown = [m for m in chosen if m not in kinds]
    if unknown:
        raise InputError(f"--bags.modalities {unknown[0]}: {data} names {', '.join(kinds)}")
    bags = replace(config.bags, modalities=chosen, kinds=tuple(kinds[m] for m in chosen))
    return replace(config, bags=bags)


def recordings(data: Path, config: Config, parts: Sequence[str] = PARTS) -> Task:
    """Recognition: each recording shows one class as a whole."""
    manifest = read_manifest(data)
    wrong = [row for row in manifest.rows if len(row.labels) != 1]
    if wrong:
        raise FileError(
            data, f"line {wrong[0].line}: has {len(wrong[0].labels)} labels", "expected one class"
        )
    if len(manifest.classes) < 2:
        raise FileError(data, f"has one class alone, {manifest.classes[0]}", "expected two or more")
    made = _parts(manifest, config, parts, manifest.classes)
    train, repeats = with_labels(made["train"], config)
    return Task(
        manifest.classes, train, made["validation"], made["test"], judge_recognition, "accuracy",
        _shapes(train), repeats=repeats,
    )  # fmt: skip


def events(data: Path, config: Config, parts: Sequence[str] = PARTS) -> Task:
    """Where in a long recording does it happen, from a label for all of it; a bag without a label holds nothing."""
    manifest = read_manifest(data)
    none = lambda row: replace(row, labels=tuple(v for v in row.labels if v != "0"))
    manifest = replace(manifest, rows=tuple(map(none, manifest.rows)))
    if not manifest.classes or all(row.labels for row in manifest.rows):
        raise FileError(data, "needs recordings with and without events", "leave their label empty, or 0")
    made = _parts(manifest, config, parts, manifest.classes)
    known = any(r.intervals for r in made["validation"])
    return Task(
        manifest.classes, made["train"], made["validation"], made["test"], judge_streams,
        "snippet average precision" if known else "bag average precision", _shapes(made["train"]),
    )  # fmt: skip


def _parts(
    manifest: Manifest, config: Config, parts: Sequence[str], classes: Sequence[str]
) -> dict[str, list[Recording]]:
    d = config.bags
    of: dict[str, list[Row]] = {p: [] for p in PARTS}
    given = [row for row in manifest.rows if row.part]
    if given and len(given) < len(manifest.rows):
        line = next(row.line for row in manifest.rows if not row.part)
        raise FileError(
            manifest.path, f"line {line}: no part", "fill the column part in every line, or in none"
        )
    if not given and not d.test_groups:
        raise FileError(
            manifest.path, "does not say what to test on", "add a column part, or give --bags.test-groups"
        )
    groups = {row.group for row in manifest.rows}
    for option, named in (
        ("--bags.test-groups", d.test_groups),
        ("--bags.validation-groups", d.validation_groups),
    ):
        if given and named:
            raise InputError(f"{option}: {manifest.path} has a column part, which says it already")
        if missing := [g for g in named if g not in groups]:
            raise InputError(f"{option} {missing[0]}: no recording of {manifest.path} is of this group")
    for row in manifest.rows:
        by_group = (
            "test"
            if row.group in d.test_groups
            else "validation"
            if row.group in d.validation_groups
            else "train"
        )
        of[row.part or by_group].append(row)
    for part in ("train", "test"):
        if not of[part]:
            raise FileError(manifest.path, f"holds no recordings of the {part} part", "assign some to it")
    shared = {r.group for r in of["train"]} & {r.group for r in of["test"]} - {""}
    if shared:
        print(f"{manifest.path}: group {min(shared)} is in the train and in the test part", flush=True)
    return {p: read_rows(manifest, of[p], classes, d.modalities) if p in parts else [] for p in PARTS}


def _shapes(recordings: Sequence[Recording]) -> dict[str, int | tuple[int, ...]]:
    """What one frame holds, by modality: channels, or joints and coordinates."""
    if not recordings:
        return {}
    shapes = {m: x.shape[1:] for m, x in recordings[0].signal.items()}
    return {m: s[0] if len(s) == 1 else s for m, s in shapes.items()}
