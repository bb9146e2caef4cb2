"""What earlier runs give a new one: weights to begin with, labels by a probe, a finished teacher."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from mmcl.config import Config
from mmcl.errors import InputError
from mmcl.models.build import clock_of, kinds_of
from mmcl.presets import changed
from mmcl.probe import embed, probe_scores
from mmcl.tasks import TASKS, Task
from mmcl.training import checkpoint
from mmcl.training.folder import load_network, read_config
from mmcl.training.loop import BEST
from mmcl.types import Clock, Recording


def begin_with(run: Path, student: nn.Module, config: Config) -> None:
    """Give the student a run's selected weights: all of them, or, where the run learned without labels or
    from more streams, those of the encoders and projections (macil-sd: all that its network has)."""
    before, _, _ = read_config(run)
    theirs, ours = before.bags.modalities, config.bags.modalities
    if set(theirs) == set(ours) and theirs != ours:
        raise InputError(
            f"--start-from {run}: its streams are {' '.join(theirs)}; name them in this order, --bags.modalities {' '.join(theirs)}"
        )
    if before.objective.supervised > 0 and theirs == ours:
        checkpoint.load_weights(run / BEST, student)
        return
    parts = ("encoder.", "project.") if config.model.architecture == "mmcl" else ("",)
    checkpoint.load_weights(run / BEST, student, parts)
    what = "encoders and projections" if config.model.architecture == "mmcl" else "all that fits"
    print(f"began with the weights of {run}: {what}; the rest starts anew", flush=True)


def labelled_by_probe(
    train: list[Recording], config: Config, data: Path, start_from: Path | None
) -> list[Recording]:
    """The recordings without a label given what a linear probe says of them: on the frozen embeddings, of all streams that it
    knows, of the run that training starts from, fitted to the labelled ones. Soft labels, adding up to 1."""
    if start_from is None:
        raise InputError("--bags.unlabelled probe: needs a pre-trained run, --start-from")
    net, theirs, _ = load_network(start_from, to_score=False)
    wide = changed(config, bags={"modalities": theirs.bags.modalities, "kinds": theirs.bags.kinds})
    seen = TASKS[config.task](data, wide, ("train",)).train
    said = probe_scores(embed(net, seen, clock_of(theirs)), train)
    return [
        r if r.label is None or r.label.any() else replace(r, label=p)
        for r, p in zip(train, said, strict=True)
    ]


def taught_by(config: Config, task: Task, data: Path) -> tuple[nn.Module | None, list[Recording], Clock]:
    """The network of ``teacher.run``, and the training part with all streams that it or the student sees."""
    if not config.teacher.run:
        return None, task.train, clock_of(config)
    run = Path(config.teacher.run)
    guide, theirs, classes = load_network(run)
    b, t = config.bags, theirs.bags
    timing = ("hop_s", "window_s", "stretch_s", "inertial_frames_per_hop", "skeleton_frames_per_hop")
    if other := [name for name in timing if getattr(b, name) != getattr(t, name)]:
        raise InputError(
            f"--teacher.run {run}: its bags.{other[0]} is {getattr(t, other[0])}, this run's {getattr(b, other[0])}"
        )
    if classes != task.classes:
        raise InputError(f"--teacher.run {run}: knows other classes than {data}")
    if theirs.objective.exclusive != config.objective.exclusive:
        raise InputError(f"--teacher.run {run}: one of the two scores exclusive classes, the other not")
    extra = [i for i, m in enumerate(t.modalities) if m not in b.modalities]
    kinds = () if not (b.kinds or t.kinds) else tuple(kinds_of(config).values()) + tuple(
        list(kinds_of(theirs).values())[i] for i in extra
    )  # fmt: skip
    wide = changed(
        config, bags={"modalities": (*b.modalities, *(t.modalities[i] for i in extra)), "kinds": kinds}
    )
    return guide.requires_grad_(False), TASKS[config.task](data, wide, ("train",)).train, clock_of(wide)
