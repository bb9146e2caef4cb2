"""MMAct: recognition of 36 actions from skeleton and inertial sensors, by its published protocols."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmcl.config import Config
from mmcl.data.mmact import CLASSES, N_JOINTS, find_clips, part_of, read_clip
from mmcl.errors import InputError
from mmcl.models.build import Shape
from mmcl.tasks.task import PARTS, Task, judge_recognition, with_labels
from mmcl.types import Recording


def mmact(data: Path, config: Config, parts: Sequence[str] = PARTS) -> Task:
    """A trimmed recording is a bag; chosen and judged by macro F1."""
    d = config.bags
    clips, lacking = find_clips(data)
    if lacking:
        print(f"{data}: {len(lacking)} recordings lack a sensor and are left out; {lacking[0]}", flush=True)
    made: dict[str, list[Recording]] = {p: [] for p in PARTS}
    for clip in clips:
        part = part_of(clip.subject, clip.scene, d.protocol)
        if part in parts:
            made[part].append(read_clip(clip).only(d.modalities))
    for part in parts:
        if not made[part]:
            raise InputError(f"{data}: holds no recordings of the {part} part of the {d.protocol} protocol")
    train, repeats = with_labels(made["train"], config)
    shapes: dict[str, Shape] = {"skeleton": (N_JOINTS, 2), "inertial": 12}
    return Task(
        CLASSES,
        train,
        made["validation"],
        made["test"],
        judge_recognition,
        "macro F1",
        {m: shapes[m] for m in d.modalities},
        repeats=repeats,
    )
