"""What earlier runs give a new one: weights to begin with, labels by a probe, a finished teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from mmcl.config.loss_schema import LossConfig
from mmcl.config.schema import DataConfig, LabelsConfig
from mmcl.datasets import DataSplits, load_splits
from mmcl.errors import InputError
from mmcl.inference.embeddings import embed
from mmcl.inference.representation import probe_scores
from mmcl.runs.model import load_model
from mmcl.runs.run_dir import BEST, read_run
from mmcl.runs.run_splits import check_fits
from mmcl.runs.weights import load_weights
from mmcl.types import Recording, SnippetGrid


def warm_start(
    run: Path, student: nn.Module, modalities: Sequence[str], classes: Sequence[str], architecture: str
) -> None:
    """Give the student a run's selected weights.

    All of them, or, where the run learned without labels, other classes or from more modalities, those of the encoders
    and projections (of macil-sd's network all but the classifier of other classes). The one class of a detector is
    taken for another's.

    Args:
        run: Folder of a run, or of an imported or shared model.
        student: Gets the weights.
        modalities: Of the student, in order.
        classes: Of the student.
        architecture: Of the student.

    Raises:
        InputError: The order of the modalities differs.
        FileError: The weights are of another architecture.
    """
    before = read_run(run)
    theirs, ours = tuple(before.inputs), tuple(modalities)
    if set(theirs) == set(ours) and theirs != ours:
        names = " ".join(theirs)
        raise InputError(
            f"--start-from {run}: its modalities are {names}; name them in this order, --data.modalities {names}"
        )
    known, names = (", ".join(c[:12]) for c in (before.classes, tuple(classes)))
    is_same = before.classes == tuple(classes) or len(before.classes) == len(classes) == 1
    if before.has_scores and theirs == ours and is_same:
        load_weights(run / BEST, student)
        if known != names:
            print(f"began with the weights of {run}: its class {known} is taken for {names}", flush=True)
        return
    prefixes: tuple[str, ...] = ("encoder.", "project.")
    what = "encoders and projections"
    if architecture != "mmcl":
        prefixes, what = ("",), "all that fits"
        if before.has_scores and not is_same:
            prefixes, what = ("encoder.", "fusion."), "all but the classifier"
    if before.has_scores and not is_same:
        print(f"{run}: knows the classes {known}, not {names}", flush=True)
    load_weights(run / BEST, student, prefixes)
    print(f"began with the weights of {run}: {what}; the rest starts anew", flush=True)


def pseudo_label(
    splits: DataSplits, data_config: DataConfig, labels: LabelsConfig, seed: int, data: Path, start_from: Path | None
) -> Sequence[Recording]:
    """The training split, its recordings without a label given soft ones by a linear probe.

    The probe is fitted to the labelled ones, on the frozen embeddings of all modalities of the run that training starts
    from. Soft labels add up to 1.

    Args:
        splits: The data set's recordings.
        data_config: The data set's own options.
        labels: Which recordings are labelled.
        seed: Of the run, which draws splits too.
        data: The data set.
        start_from: The pre-trained run.

    Raises:
        InputError: There is no pre-trained run, or a recording is not among those with all of its modalities.
    """
    if start_from is None:
        raise InputError("--labels.unlabelled probe: needs a pre-trained run, --start-from")
    network, info = load_model(start_from, needs_scores=False)
    wide = replace(data_config, modalities=tuple(info.inputs))
    everything = load_splits(splits.dataset, data, wide, labels, seed, ("train",), features=splits.features)
    check_fits(start_from, info, everything, data)
    by_name = {r.name: r for r in everything.train}
    if missing := [r.name for r in splits.train if r.name not in by_name]:
        raise InputError(f"--labels.unlabelled probe: {start_from} has no embedding of {missing[0]}")
    scores = probe_scores(embed(network, [by_name[r.name] for r in splits.train], info.grid), splits.train)
    return [
        r if r.label is None or r.label.any() else replace(r, label=p)
        for r, p in zip(splits.train, scores, strict=True)
    ]


def load_teacher(
    loss: LossConfig,
    options: DataConfig,
    labels: LabelsConfig,
    seed: int,
    splits: DataSplits,
    grid: SnippetGrid,
    data: Path,
) -> tuple[nn.Module, Sequence[Recording], SnippetGrid]:
    """The finished teacher, and the training split on a grid with all modalities that it or the student sees.

    Args:
        loss: Settings of the student's losses, which name the teacher's run.
        options: The data set's own options.
        labels: Which recordings are labelled.
        seed: Of the student's run.
        splits: The student's recordings.
        grid: The student's.
        data: The data set.

    Raises:
        InputError: The teacher cuts recordings otherwise, or knows other classes.
    """
    run = Path(loss.distill.teacher_run)
    teacher, info = load_model(run)
    theirs = info.grid
    for name in ("hop_s", "window_s", "stretch_s"):
        if getattr(theirs, name) != getattr(grid, name):
            raise InputError(
                f"--loss.distill.teacher-run {run}: its snippets.{name} is {getattr(theirs, name)}, this run's "
                f"{getattr(grid, name)}"
            )
    for m in theirs.frames_per_hop.keys() & grid.frames_per_hop.keys():
        if theirs.frames_per_hop[m] != grid.frames_per_hop[m]:
            raise InputError(
                f"--loss.distill.teacher-run {run}: its snippets.frames_per_hop of {m} is {theirs.frames_per_hop[m]}, "
                f"this run's {grid.frames_per_hop[m]}"
            )
    if info.classes != splits.classes:
        raise InputError(f"--loss.distill.teacher-run {run}: has other classes than {data}")
    if info.config.loss.mil.multiclass != loss.mil.multiclass:
        raise InputError(
            f"--loss.distill.teacher-run {run}: one of the two scores classes that exclude each other, the other not"
        )
    extra = [m for m in info.inputs if m not in grid.frames_per_hop]
    wide = replace(options, modalities=(*grid.frames_per_hop, *extra))
    everything = load_splits(splits.dataset, data, wide, labels, seed, ("train",), features=splits.features)
    check_fits(run, info, everything, data)
    bag_grid = replace(
        grid,
        frames_per_hop={**theirs.frames_per_hop, **grid.frames_per_hop},
        kinds={**theirs.kinds, **grid.kinds},
    )
    return teacher.requires_grad_(False), everything.train, bag_grid
