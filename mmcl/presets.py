"""Recipes: the settings of each job, and of each step on the way to the full method."""

from __future__ import annotations

import dataclasses
from typing import Any

from mmcl.config import Config


def changed(config: Config, **sections: dict[str, Any]) -> Config:
    """A copy with some settings replaced: ``changed(c, objective={"beta": 1.0})``."""
    new = {name: dataclasses.replace(getattr(config, name), **values) for name, values in sections.items()}
    return dataclasses.replace(config, **new)


def utd_mhad_streams() -> Config:
    """Events in untrimmed streams, from one bit a stream: the full system."""
    return Config(task="utd-mhad-streams")


def utd_mhad() -> Config:
    """27-class recognition of trimmed recordings, each a bag, all labels."""
    return changed(
        Config(task="utd-mhad"),
        bags={
            "augment": 2.0,
            "window_s": 4.0,
            "stretch_s": 4.0,
            "crop": 0.7,
            "shuffle_hops": 0,
            "insertion": 0.0,
        },
        model={"kernel": 9, "window": "pool", "n_layers": 0, "joint": "late", "dropout": 0.15, "smooth": 1},
        objective={
            "exclusive": True,
            "divisor": 1,
            "smoothing": 0.1,
            "normal": 0.0,
            "contrast": 0.0,
            "instance": 0.0,
        },
        teacher={"distill": 0.0},
        optim={"epochs": 100, "batch_size": 16},
    )


def mmact() -> Config:
    """36-class recognition of MMAct's trimmed recordings, chosen and judged by macro F1."""
    return dataclasses.replace(utd_mhad(), task="mmact")


def recordings() -> Config:
    """Recognition of a user's own recordings, named by a manifest; the same recipe."""
    config = changed(utd_mhad(), bags={"modalities": (), "validation_subjects": ()})
    return dataclasses.replace(config, task="recordings")


def events() -> Config:
    """Events in a user's own long recordings, from a label a recording; the recipe of the streams."""
    return changed(Config(task="events"), bags={"modalities": (), "validation_subjects": ()})


def pretrain(recipe: Config) -> Config:
    """The recognition recipe of a data set turned to learning from pairs of streams without labels, on all training
    recordings."""
    return changed(
        recipe,
        bags={"validation_subjects": (), "views": 2},
        model={"projection_layers": 2, "dim": 256},
        objective={
            "supervised": 0.0,
            "pair": 1.0,
            "within": 0.5,
            "temperature": 0.5,
            "instance_beta": 1.0,
            "negatives": ("own-group", "concentration"),
        },
        optim={"epochs": 80, "batch_size": 64, "learning_rate": 1.4e-3, "validate_every": 20},
    )


def to_compare(task: str) -> Config:
    """The recipe of a task with a contrast to compare: recognition, which does without, gets that of pairs, concentrated
    on hard negatives as in pre-training."""
    config = PRESETS[task]()
    return changed(config, objective={"pair": 0.3, "instance_beta": 1.0}) if task in RECOGNITION else config


def utd_mhad_pretrain() -> Config:
    """Skeleton + inertial pairs of UTD-MHAD without labels."""
    return pretrain(utd_mhad())


def xd_violence() -> Config:
    """MACIL-SD on XD-Violence's features, with the authors' settings and, where their code departs
    from their paper, the paper's."""
    return changed(
        Config(task="xd-violence"),
        bags={
            "hop_s": 2 / 3,
            "window_s": 2 / 3,
            "modalities": ("visual", "audio"),
            "max_snippets": 200,
            "augment": 0.0,
            "shuffle_hops": 0,
            "insertion": 0.0,
        },
        model={"architecture": "macil-sd"},
        objective={
            "divisor": 16,
            "unimodal": 0.0,
            "normal": 0.0,
            "contrast": 1.5,
            "contrast_rise": 0.1,
            "instance": 0.0,
            "instance_end": 0.0,
            "temperature": 0.1,
            "beta": 0.0,
            "against": ("background", "normal"),
            "split": "topk",
            "assign": "predicted",
        },
        teacher={"modality": "visual", "learning_rate_ratio": 0.2, "average": 0.0, "distill": 0.0},
        optim={
            "epochs": 50,
            "batch_size": 128,
            "learning_rate": 4e-4,
            "warmup": 0.0,
            "decay_epochs": 60,
            "weight_decay": 0.0,
            "clip": 0.0,
        },
    )


def clips() -> Config:
    """Our network on features of short clips, where neither stream alone tells what the label says: the
    streams' own heads are not asked to."""
    return changed(
        Config(task="xd-violence"),
        bags={
            "hop_s": 2 / 3,
            "window_s": 2 / 3,
            "modalities": ("visual", "audio"),
            "augment": 0.0,
            "shuffle_hops": 3,
            "insertion_from": 0.0,
        },
        model={"dropout": 0.3, "n_layers": 0, "reach": 1, "smooth": 1},
        objective={"divisor": 8, "unimodal": 0.0, "instance": 0.0, "contrast": 0.3},
        optim={"epochs": 40},
    )


PRESETS = {
    "utd-mhad-streams": utd_mhad_streams,
    "utd-mhad": utd_mhad,
    "xd-violence": xd_violence,
    "mmact": mmact,
    "recordings": recordings,
    "events": events,
}
RECOGNITION = ("utd-mhad", "mmact", "recordings")  # one class a recording: few labels, learning without any


def ablation(full: Config) -> dict[str, Config]:
    """The full system taken apart: each step adds one part to the one before. Then what one stream's network
    reaches by itself, and the full system with MACIL-SD's teacher, which hands over parameters, beside its own."""
    alone: dict[str, dict[str, Any]] = {
        "objective": {
            "contrast": 0.0,
            "instance": 0.0,
            "beta": 0.0,
            "tau": 0.0,
            "instance_beta": 0.0,
            "instance_tau": 0.0,
        },
        "teacher": {"modality": "", "distill": 0.0},
    }
    contrast = {**alone, "objective": {"beta": 0.0, "tau": 0.0, "instance_beta": 0.0, "instance_tau": 0.0}}
    concentration = {"teacher": alone["teacher"]}
    mil = changed(full, **alone)
    streams = full.bags.modalities
    return {
        "MIL alone": mil,
        "+ contrast": changed(full, **contrast),
        "+ concentration": changed(full, **concentration),
        "+ teacher": full,
        **{f"network of {m} alone": changed(mil, bags={"modalities": (m,)}) for m in streams},
        "+ unimodal teacher": changed(full, teacher={"modality": streams[0]}),
    }
