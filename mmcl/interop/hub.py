"""A trained model as a folder to give away: weights, settings, metrics, and a card that says what it is and is not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from mmcl.config.files import override, to_dict
from mmcl.config.loss_schema import ContrastConfig, LossConfig
from mmcl.errors import FileError, InputError
from mmcl.features.extractor_set import extras_of
from mmcl.io import atomic_write, check_writable, read_metrics, write_json
from mmcl.losses.contrastive.components import OPTION_SLOTS, named_by
from mmcl.runs.model import load_model
from mmcl.runs.run_dir import BEST, CONFIG, METRICS, WITHOUT_PATHS, RunInfo, read_saved
from mmcl.runs.weights import save_weights

CARD = "README.md"
FILES = [CONFIG, BEST, METRICS, CARD]  # of a shared model


def save_pretrained(run: Path, out: Path) -> None:
    """The run's selected weights (safetensors), settings, metrics and a model card.

    Without paths of this machine and without anything of the training. Every command takes the folder as it takes a
    run; those that train on or evaluate the data want --data.

    Args:
        run: Folder of a run.
        out: The folder to make.

    Raises:
        FileError: The run is not readable, or ``out`` holds a model already.
    """
    network, info = load_model(run, needs_scores=False)
    if (out / CONFIG).exists():
        raise FileError(out, "already holds a model or a run", "choose another --out")
    check_writable(out)
    settings = {**read_saved(run), "data": "", "signature": "", "start_from": None}
    settings["config"] = to_dict(override(info.config, WITHOUT_PATHS))
    metrics = read_metrics(run / METRICS) if (run / METRICS).exists() else {}
    save_weights(out / BEST, network)
    write_json(out / METRICS, metrics)
    card = model_card(out.resolve().name, info, metrics, settings.get("recordings", {}))
    atomic_write(out / CARD, lambda path: path.write_text(card))
    write_json(out / CONFIG, settings)  # last: with it the folder is a model


def from_pretrained(name: str | Path, revision: str | None = None) -> tuple[nn.Module, RunInfo]:
    """A network in evaluation mode, and what is known of its run.

    Args:
        name: A folder, or a hub's repository "owner/name".
        revision: Of the repository.

    Raises:
        InputError: There is neither, or it is not a model.
    """
    return load_model(find_model(name, revision), needs_scores=False)


def find_model(name: str | Path, revision: str | None = None) -> Path:
    """The folder of that name, or a copy of the hub's repository.

    Args:
        name: A folder, or a hub's repository "owner/name".
        revision: Of the repository.

    Raises:
        InputError: There is neither.
    """
    folder = Path(name)
    if (folder / CONFIG).exists():
        return folder
    if str(name).count("/") != 1 or folder.is_absolute():
        raise FileError(folder, f"holds no {CONFIG}", "give a model's folder, or owner/name of a hub's repository")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(name), revision=revision, allow_patterns=FILES))
    except Exception as error:  # the hub's own kinds, and the network's
        raise InputError(f"{name}: is no folder here and could not be fetched ({type(error).__name__})") from error


def push(folder: Path, name: str, private: bool = True) -> str:
    """Upload a folder that ``save_pretrained`` made to a hub: the files that it made, whatever else lies there.

    Args:
        folder: The model.
        name: The repository, "owner/name"; is made where it does not exist.
        private: Of a repository that is made.

    Returns:
        The repository's address.

    Raises:
        InputError: The folder has no card, or the hub refuses it.
    """
    from huggingface_hub import HfApi

    if not (folder / CARD).exists():
        raise FileError(folder, f"holds no {CARD}", "make it with mmcl share")
    try:
        api = HfApi()
        url = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=str(folder), allow_patterns=FILES)
        return str(url)
    except Exception as error:  # the hub's own kinds, and the network's
        raise InputError(f"{name}: could not be uploaded ({type(error).__name__}: {error})") from error


def used_components(loss: LossConfig) -> str:
    """The contrasts in use and their components that are not the default, as a Markdown list.

    Args:
        loss: Settings of the losses.

    Example:
        >>> print(used_components(LossConfig()))
        - semibag: weight 0.1, temperature 0.2, concentration beta 1
        - snippet: weight 1, temperature 0.2, concentration beta 0
    """
    lines, default = [], ContrastConfig()
    for name, config in loss.in_use.items():
        words = [f"weight {config.weight:g}", f"temperature {config.temperature:g}"]
        words.append(f"concentration beta {config.beta:g}")
        for option in OPTION_SLOTS:
            if named_by(config, option) != named_by(default, option):
                words.append(f"{option} {', '.join(named_by(config, option)) or 'none'}")
        lines.append(f"- {name}: {', '.join(words)}")
    return "\n".join(lines) or "No contrast."


def model_card(name: str, info: RunInfo, metrics: Mapping[str, float], n_recordings: Mapping[str, int]) -> str:
    """Markdown with the metrics as measured, how the model was made, and what nobody has measured.

    Args:
        name: Of the model.
        info: Of its run.
        metrics: Of its run.
        n_recordings: By split.
    """
    config = info.config
    counts_of_splits = ", ".join(f"{split} {n:,}" for split, n in n_recordings.items())
    data = f"\nRecordings: {counts_of_splits}.\n" if counts_of_splits else ""
    what = (
        f"It scores every {config.snippets.hop_s:.3g} s of a recording for: {', '.join(info.classes)}."
        if info.has_scores
        else "It gives embeddings, no scores: it learned from pairs of modalities without labels."
    )
    counts = ("selected epoch", "parameters of the network")
    rows = "\n".join(f"| {k} | {v:.0f} |" if k in counts else f"| {k} | {v:.4f} |" for k, v in metrics.items())
    rows = rows or "| none was measured | |"
    is_linear = config.model.linear_path and metrics.get("selected epoch") == 0
    kind = "The linear model of every run's baseline (no epoch of the network was better on validation recordings)"
    kind = f"{kind} for" if is_linear else "A network of mmcl for"
    losses = "The linear model uses none." if is_linear else used_components(config.loss)
    names = {m: card.name for m, card in info.extractors.items()}
    made_by = f"\nFeatures come from: {json.dumps(names)}.\n" if names else ""
    extras = extras_of(list(names.values()))
    install = f"    pip install 'mmcl[{','.join(extras)}]'\n" if extras else ""
    return f"""---
library_name: mmcl
tags: [multimodal, contrastive-learning, weak-labels]
---

# {name}

{kind} {" + ".join(info.inputs)}, trained on `{config.dataset}` (seed {config.seed},
{config.optim.epochs} epochs). {what}
{made_by}{data}
## Use

{install}    mmcl score FOLDER RECORDING...

or `mmcl.load("FOLDER")` in Python; `config.json` holds every setting.

## Contrastive losses

{losses}

## Metrics

Of one training, on the test split that its data set defines, as in `metrics.json`. Over seeds they vary; recordings of
other people, places or sensors were not measured.

| metric | value |
|---|---|
{rows}

## Not for

Decisions about people. Scores are ranks more than probabilities, and nothing says how well they are calibrated
elsewhere.
"""
