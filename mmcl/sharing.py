"""A trained model as a folder to give away: weights, settings, figures, and a card that says what it is and is not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from mmcl.config import Config, to_dict
from mmcl.errors import FileError, InputError
from mmcl.presets import changed
from mmcl.storage import check_writable, read_figures, read_json, write_json, write_whole
from mmcl.training import checkpoint
from mmcl.training.folder import CONFIG, load_network, read_config
from mmcl.training.loop import BEST, METRICS

CARD = "README.md"
PRIVATE = ("data", "start from")  # paths of the machine that trained it


def save_pretrained(run: Path, out: Path) -> None:
    """The run's selected weights (safetensors), settings, figures and a model card into ``out``, without paths of this
    machine and without anything of the training. Every command takes the folder as it takes a run; those that train on or judge
    the data want --data."""
    config, classes, _ = read_config(run)
    network, _, _ = load_network(run, to_score=False)
    if (out / CONFIG).exists():
        raise FileError(out, "already holds a model or a run", "choose another --out")
    check_writable(out)
    settings: dict[str, Any] = {k: "" if k in PRIVATE else v for k, v in read_json(run / CONFIG).items()}
    settings["start from"] = None
    settings["config"] = to_dict(changed(config, teacher={"run": ""}))
    figures = read_figures(run / METRICS) if (run / METRICS).exists() else {}
    checkpoint.save_weights(out / BEST, network)
    write_json(out / METRICS, figures)
    card = model_card(out.resolve().name, config, classes, figures, settings)
    write_whole(out / CARD, lambda part: part.write_text(card))
    write_json(out / CONFIG, settings)  # last: with it the folder is a model


def from_pretrained(
    name: str | Path, revision: str | None = None
) -> tuple[nn.Module, Config, tuple[str, ...]]:
    """Network (in evaluation mode), settings and classes of a folder, or of a hub's repository "owner/name"."""
    return load_network(find(name, revision), to_score=False)


def find(name: str | Path, revision: str | None = None) -> Path:
    """The folder of that name, or a copy of the hub's repository; InputError when there is neither."""
    folder = Path(name)
    if (folder / CONFIG).exists():
        return folder
    if str(name).count("/") != 1 or folder.is_absolute():
        raise FileError(
            folder, f"holds no {CONFIG}", "give a model's folder, or owner/name of a hub's repository"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(str(name), revision=revision, allow_patterns=[CONFIG, BEST, METRICS, CARD])
        )
    except Exception as error:  # the hub's own kinds, and the network's
        raise InputError(
            f"{name}: is no folder here and could not be fetched ({type(error).__name__})"
        ) from error


def push(folder: Path, name: str, private: bool = True) -> str:
    """Upload a folder that ``save_pretrained`` made to the hub's repository "owner/name"; returns its address."""
    from huggingface_hub import HfApi

    if not (folder / CARD).exists():
        raise FileError(folder, f"holds no {CARD}", "make it with mmcl share")
    try:
        api = HfApi()
        made = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=str(folder))
        return str(made)
    except Exception as error:  # the hub's own kinds, and the network's
        raise InputError(f"{name}: could not be uploaded ({type(error).__name__}: {error})") from error


def model_card(
    name: str,
    config: Config,
    classes: tuple[str, ...],
    figures: Mapping[str, float],
    settings: Mapping[str, Any],
) -> str:
    """Markdown with the figures as measured, how the model was made, and what nobody has measured."""
    o = config.objective
    what = (
        "It gives embeddings, no scores: it learned from pairs of streams without labels."
        if o.supervised == 0
        else f"It scores every {config.bags.hop_s:.3g} s of a recording for: {', '.join(classes)}."
    )
    rows = "\n".join(f"| {k} | {v:.4f} |" for k, v in figures.items()) or "| none was measured | |"
    parts = {
        "row": o.row, "similarity": o.similarity, "negatives": ", ".join(o.negatives), "target": o.target,
        "transforms": ", ".join(o.transforms), "anchors": ", ".join(o.anchors), "regularisers": ", ".join(o.regularisers),
    }  # fmt: skip
    said = "\n".join(f"- {k}: {v}" for k, v in parts.items() if v)
    front = {m: card.get("name", "") for m, card in settings.get("front-ends", {}).items()}
    made_by = f"\nFeatures come from: {json.dumps(front)}.\n" if front else ""
    return f"""---
library_name: mmcl
tags: [multimodal, contrastive-learning, weak-labels]
---

# {name}

A network of mmcl for {" + ".join(config.bags.modalities)}, trained as `{config.task}` (seed {config.optim.seed}, {config.optim.epochs}
epochs). {what}
{made_by}
## Use

    mmcl score FOLDER RECORDING...

or `mmcl.sharing.from_pretrained("FOLDER")` in Python; `config.json` holds every setting.

## Objective

{said}

## Figures

Of one training, on the test part that its task defines, as in `metrics.json`. Over seeds they vary; recordings of
other people, places or sensors were not measured.

| figure | value |
|---|---|
{rows}

## Not for

Decisions about people. Scores are ranks more than probabilities, and nothing says how well they are calibrated elsewhere.
"""
