"""Weights that MACIL-SD's authors released, as a model folder of ours."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from mmcl.config import to_dict
from mmcl.errors import FileError, InputError
from mmcl.features.frontends import Card
from mmcl.models.macil_sd import from_released
from mmcl.presets import PRESETS
from mmcl.storage import write_json
from mmcl.training import checkpoint
from mmcl.training.folder import CONFIG, versions
from mmcl.training.loop import BEST

# What XD-Violence's authors say of their features; of which weights, only the names are known.
RELEASED_FEATURES = {"visual": Card("i3d", 1024, crops=5), "audio": Card("vggish", 128)}


def import_macil_sd(weights: Path, out: Path) -> None:
    """A model folder from the state dict that MACIL-SD's authors released; no code of it is run.

    It scores, evaluates and fine-tunes (``start_from``) like a run of ours.
    """
    if (out / CONFIG).exists():
        raise FileError(out, "already holds a model or a run", "choose another --out")
    try:
        released = torch.load(weights, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FileError(weights, "no such file", "check the path") from None
    except Exception as error:
        raise FileError(
            weights, f"not a plain state dict ({type(error).__name__})", "give the authors' macil_sd.pkl"
        ) from error
    if not isinstance(released, dict):
        raise FileError(weights, f"holds a {type(released).__name__}", "expected a state dict")
    try:
        student = from_released(released)
    except InputError as error:
        raise FileError(weights, str(error), "give the authors' macil_sd.pkl") from error
    checkpoint.save_weights(out / BEST, student)
    model = {
        **versions(),
        "processes": 1,
        "data": "",
        "imported from": weights.name,
        "classes": ["violence"],
        "channels": student.n_channels,
        "front-ends": {m: asdict(card) for m, card in RELEASED_FEATURES.items()},
        "config": to_dict(PRESETS["xd-violence"]()),
    }
    write_json(out / CONFIG, model)
