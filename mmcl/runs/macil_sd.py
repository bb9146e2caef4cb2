"""MACIL-SD's released weights as a model folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from mmcl.config.files import override, to_dict
from mmcl.config.migrations import SCHEMA_VERSION
from mmcl.datasets import get_dataset
from mmcl.errors import FileError, InputError
from mmcl.features.cards import ExtractorCard
from mmcl.io import write_json
from mmcl.models.macil_sd import from_authors_weights
from mmcl.runs.run_dir import BEST, CONFIG, versions
from mmcl.runs.weights import save_weights

# What XD-Violence's authors say of their features; of the weights only the names are known.
EXTRACTORS = {"visual": ExtractorCard("i3d", 1024, crops=5), "audio": ExtractorCard("vggish", 128)}


def import_macil_sd(weights: Path, out: Path) -> None:
    """Make a model folder of the state dict that MACIL-SD's authors released; no code of it is run.

    Every command takes the folder as it takes a run.

    Args:
        weights: The authors' macil_sd.pkl.
        out: Folder to make.

    Raises:
        FileError: The file is not theirs, or the folder holds a model.
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
        student = from_authors_weights(released)
    except InputError as error:
        raise FileError(weights, str(error), "give the authors' macil_sd.pkl") from error
    save_weights(out / BEST, student)
    recipe = get_dataset("xd-violence").default_config()
    model = {
        "schema_version": SCHEMA_VERSION,
        **versions(),
        "processes": 1,
        "data": "",
        "start_from": None,
        "imported from": weights.name,
        "classes": ["violence"],
        "inputs": {m: {"kind": "features", "shape": [n]} for m, n in student.n_channels.items()},
        "extractors": {m: asdict(card) for m, card in EXTRACTORS.items()},
        "recordings": {},
        "config": to_dict(override(recipe, {"model.dim": student.projection_size})),
    }
    write_json(out / CONFIG, model)
