"""Versions of ``config.json``: one small function from each version to the next.

``SCHEMA_VERSION`` is written into every run; a file without it is of version 0 (mmcl 0.1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmcl.config.specs import split_specs
from mmcl.errors import FileError

SCHEMA_VERSION = 2

# Settings of version 0 and where each is now.
RENAMED_SETTINGS: dict[str, str] = {
    **{
        f"bags.{name}": f"data.{name}"
        for name in (
            "modalities", "train_subjects", "test_subjects", "validation_subjects", "validation_groups", "test_groups",
            "protocol", "validation_share", "labels", "crops", "n_train_streams", "n_test_streams", "targets",
            "actions_per_stream", "targets_per_stream", "stream_seed",
        )
    },
    **{f"bags.{name}": f"snippets.{name}" for name in ("hop_s", "window_s", "stretch_s", "max_snippets")},
    **{
        f"bags.{name}": f"augment.{name}"
        for name in ("crop", "repetition", "shuffle_hops", "insertion", "modality_dropout")
    },
    "bags.augment": "augment.strength",
    "bags.insertion_from": "augment.insertion_start",
    "bags.inertial_frames_per_hop": "snippets.frames_per_hop",
    "bags.skeleton_frames_per_hop": "snippets.frames_per_hop",
    "bags.labelled": "labels.labelled",
    "bags.unlabelled": "labels.unlabelled",
    "bags.label_seed": "labels.seed",
    "bags.per_group": "loader.bucket_size",
    "bags.batches": "loader.sampling",
    "bags.views": "loader.views",
    "bags.workers": "loader.num_workers",
    "model.reach": "model.attention_window",
    "model.window": "model.pooling",
    "model.features": "model.encoders",
    "model.smooth": "model.score_smoothing",
    "objective.supervised": "loss.mil.weight",
    "objective.divisor": "loss.mil.topk_divisor",
    "objective.exclusive": "loss.mil.multiclass",
    "objective.smoothing": "loss.mil.label_smoothing",
    "objective.unimodal": "loss.mil.unimodal",
    "objective.normal": "loss.mil.normal",
    "objective.contrast": "loss.semibag.weight",
    "objective.contrast_rise": "loss.semibag.rise",
    "objective.beta": "loss.semibag.beta",
    "objective.tau": "loss.semibag.tau_plus",
    "objective.against": "loss.semibag.against",
    "objective.bag_weight": "loss.semibag.bag_weight",
    "objective.split": "loss.semibag.clustering",
    "objective.assign": "loss.semibag.assign",
    "objective.swap_scores": "loss.semibag.swap_scores",
    "objective.instance": "loss.snippet.weight",
    "objective.instance_end": "loss.snippet.weight_end",
    "objective.instances_per_bag": "loss.snippet.per_bag",
    "objective.instance_beta": "loss.snippet.beta",
    "objective.instance_tau": "loss.snippet.tau_plus",
    "objective.pair": "loss.recording.weight",
    "objective.within": "loss.recording.within",
    "objective.memory": "loss.recording.memory_size",
    "objective.same": "loss.recording.false_negatives",
    "objective.same_size": "loss.recording.false_negatives_k",
    "objective.same_from": "loss.recording.false_negatives_start",
    "objective.mined": "loss.recording.pseudo_positives",
    "objective.sequences": "loss.sequence_terms",
    "objective.temperature": "loss.CONTRAST.temperature",
    "objective.detach_weights": "loss.CONTRAST.detach_weights",
    "objective.negatives": "loss.CONTRAST.negatives",
    "objective.transforms": "loss.CONTRAST.transforms",
    "objective.similarity": "loss.CONTRAST.similarity",
    "objective.target": "loss.CONTRAST.target",
    "objective.anchors": "loss.CONTRAST.anchor_weights",
    "objective.regularisers": "loss.CONTRAST.regularizers",
    "objective.row": "loss.CONTRAST.pair_loss",
    "objective.parts_of": "loss.CONTRAST",
    "teacher.modality": "teacher.unimodal",
    "teacher.transfer": "teacher.update",
    "teacher.learning_rate_ratio": "teacher.lr_scale",
    "teacher.average": "teacher.ema_decay",
    "teacher.distill": "loss.distill.weight",
    "teacher.distill_from": "loss.distill.start",
    "teacher.run": "loss.distill.teacher_run",
    "optim.batch_size": "loader.batch_size",
    "optim.encoder_rate": "optim.encoder_lr_scale",
    "optim.warmup": "optim.warmup_ratio",
    "optim.clip": "optim.max_grad_norm",
    "optim.accumulate": "optim.gradient_accumulation_steps",
    "optim.seed": "seed",
    **{
        f"optim.{name}": f"trainer.{name}"
        for name in ("precision", "compile", "tracker", "validate_every", "save_every")
    },
}  # fmt: skip

# Components of version 0 and their names now.
RENAMED_COMPONENTS = {
    "decoupled": "dcl",
    "attraction-repulsion": "cacr",
    "group-order": "groco",
    "own-group": "within-group",
    "own-cluster": "within-cluster",
    "own-recording": "within-recording",
    "same-label": "exclude-same-label",
}
CONTRASTS = ("semibag", "snippet", "recording")
_VALUES = {"loss.semibag.bag_weight": {"picks": "snippets"}}
_SHAPES_0: dict[str, Any] = {
    "skeleton": [20, 3],
    "inertial": 6,
}  # of UTD-MHAD's sensors, which version 0 left out


def migrate(saved: Mapping[str, Any], where: Path | str) -> dict[str, Any]:
    """The content of a ``config.json`` in the present version.

    Args:
        saved: What the file holds.
        where: Names the file in errors.

    Raises:
        FileError: The file is of a later version, or is not a run's.

    Example:
        >>> migrate({"schema_version": 1, "config": {}}, "config.json")["schema_version"]
        2
    """
    if not isinstance(saved, Mapping):
        raise FileError(where, "holds no settings by name", "is this the config.json of a run?")
    content = dict(saved)
    version = content.get("schema_version", 0)
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise FileError(where, f"is of version {version}, this mmcl reads {SCHEMA_VERSION}", "update mmcl")
    try:
        for step in MIGRATIONS[version:]:
            content = step(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise FileError(
            where, f"not the settings of a run ({error!r})", "is this a folder that mmcl train made?"
        ) from error
    return content


def from_version_0(saved: dict[str, Any]) -> dict[str, Any]:
    """Flat sections become nested ones, one objective becomes three, components get their new names."""
    old = {
        f"{section}.{key}": value
        for section, values in saved["config"].items()
        if isinstance(values, dict)
        for key, value in values.items()
    }
    new: dict[str, Any] = {"dataset": saved["config"]["task"]}
    applies = old.pop("objective.parts_of")
    kinds = dict(zip(old["bags.modalities"], old.pop("bags.kinds"), strict=False))
    for path, value in old.items():
        target = RENAMED_SETTINGS.get(path, path)
        if "_frames_per_hop" in path:
            value = {**_get(new, target, {}), path.split(".")[1].split("_")[0]: value}
        if path == "model.features":
            value = ["features=linear"] if value == "linear" else []
        value = _VALUES.get(target, {}).get(value, value) if isinstance(value, str) else value
        if target.startswith("loss.CONTRAST."):
            for contrast in CONTRASTS:
                name = target.rsplit(".", 1)[1]
                if name in _COMPONENTS_0:
                    value = _renamed(value)
                    for_this = {"semibag": "semi-bag", "snippet": "instance", "recording": "pair"}[contrast]
                    _set(new, f"loss.{contrast}.{name}", value if for_this in applies else _COMPONENTS_0[name])
                else:
                    _set(new, f"loss.{contrast}.{name}", value)
            continue
        _set(new, target, _renamed(value) if target == "loss.sequence_terms" else value)
        if path in ("objective.instance_beta", "objective.instance_tau"):
            _set(new, target.replace("snippet", "recording"), value)
    for contrast in CONTRASTS:  # one that was off never read its components
        if not _get(new, f"loss.{contrast}.weight", 0):
            for name, value in _COMPONENTS_0.items():
                _set(new, f"loss.{contrast}.{name}", value)
    # each data set has its own options only
    keep = {
        "utd-mhad": ("train_subjects", "test_subjects", "validation_subjects"),
        "utd-mhad-streams": (
            "train_subjects", "test_subjects", "validation_subjects", "n_train_streams", "n_test_streams", "targets",
            "actions_per_stream", "targets_per_stream", "stream_seed",
        ),
        "xd-violence": ("validation_share", "labels", "crops"),
        "mmact": ("protocol",),
        "recordings": ("validation_groups", "test_groups"),
        "events": ("validation_groups", "test_groups"),
    }[new["dataset"]]  # fmt: skip
    new["data"] = {k: v for k, v in new["data"].items() if k in ("modalities", *keep)}
    usual = {"skeleton": "skeleton", "visual": "features", "audio": "features"}
    channels = saved.get("channels", {})
    inputs = {}
    for m in new["data"]["modalities"]:
        kind = kinds.get(m) or usual.get(m, "inertial")
        inputs[m] = {"kind": kind, "shape": _as_list(channels.get(m, _SHAPES_0.get(kind)))}
    kept: dict[str, Any] = {
        k: saved[k] for k in ("mmcl", "torch", "python", "processes", "imported from") if k in saved
    }
    return {
        "schema_version": 1,
        **kept,
        "data": saved["data"],
        "start_from": saved.get("start from"),
        "classes": saved["classes"],
        "inputs": inputs,
        "extractors": saved.get("front-ends", {}),
        "recordings": saved.get("bags", {}),
        "config": new,
    }


def from_version_1(saved: dict[str, Any]) -> dict[str, Any]:
    """Features of raw media have a section of their own."""
    return {**saved, "schema_version": 2, "config": {"features": {}, **saved["config"]}}


_COMPONENTS_0: dict[str, Any] = {
    "negatives": ["concentration"],
    "transforms": [],
    "similarity": "cosine",
    "target": "",
    "anchor_weights": [],
    "regularizers": [],
    "pair_loss": "info-nce",
}


def _as_list(shape: Any) -> Any:
    return [shape] if isinstance(shape, int) else shape


def _renamed(value: Any) -> Any:
    """Components by their present names."""
    if isinstance(value, list | tuple):
        return [_renamed(v) for v in split_specs(value)]
    for old, new in RENAMED_COMPONENTS.items():
        value = ",".join(
            new + text[len(old) :] if text == old or text.startswith((f"{old}(", f"{old}*")) else text
            for text in value.split(",")
        )
    return value


def _set(tree: dict[str, Any], path: str, value: Any) -> None:
    *sections, name = path.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
    tree[name] = value


def _get(tree: Mapping[str, Any], path: str, default: Any) -> Any:
    for name in path.split("."):
        if name not in tree:
            return default
        tree = tree[name]
    return tree


MIGRATIONS: tuple[Callable[[dict[str, Any]], dict[str, Any]], ...] = (from_version_0, from_version_1)
