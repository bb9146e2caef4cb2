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
        bags={"augment": 1.5, "shuffle_hops": 0, "insertion": 0.0},
        model={"smooth": 1},
        objective={
            "exclusive": True,
            "divisor": 1,
            "smoothing": 0.1,
            "normal": 0.0,
            "contrast": 0.0,
            "instance": 0.0,
        },
        teacher={"distill": 0.0},
        optim={"epochs": 50, "batch_size": 16, "learning_rate": 2e-3},
    )


PRESETS = {"utd-mhad-streams": utd_mhad_streams, "utd-mhad": utd_mhad}


def ablation(full: Config) -> dict[str, Config]:
    """The full system taken apart: each step adds one part to the one before."""
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
    return {
        "MIL alone": changed(full, **alone),
        "+ contrast": changed(full, **contrast),
        "+ concentration": changed(full, **concentration),
        "+ teacher": full,
    }
