"""From settings to networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from mmcl.config.registry import construct
from mmcl.config.schema import ModelConfig
from mmcl.config.specs import Spec, parse_spec
from mmcl.errors import InputError
from mmcl.models.encoders import REGISTRY
from mmcl.models.linear_path import LinearPath
from mmcl.models.macil_sd import MacilSdNetwork
from mmcl.models.network import MultimodalNetwork
from mmcl.readers.kinds import get_kind
from mmcl.types import InputSpec, SnippetGrid


def encoder_specs(settings: Sequence[str]) -> dict[str, Spec]:
    """Encoders that settings name, by kind or modality.

    Raises:
        InputError: A setting is not KIND=NAME or MODALITY=NAME.

    Example:
        >>> encoder_specs(["features=linear"])["features"].name
        'linear'
    """
    named = {}
    for text in settings:
        place, _, spec = text.partition("=")
        if not spec or "(" in place:
            raise InputError(f"--model.encoders {text}: expected KIND=NAME or MODALITY=NAME")
        named[place] = parse_spec(spec)
    return named


def create_encoder(modality: str, config: ModelConfig, grid: SnippetGrid, spec: InputSpec) -> nn.Module:
    """The encoder of a modality: the one that settings name, or that of its kind.

    Args:
        modality: Its name.
        config: Settings of the model.
        grid: How recordings are cut into snippets.
        spec: What the modality's frames are.

    Raises:
        InputError: The encoder is unknown, does not take the kind, or does not take its options.

    Example:
        >>> grid = SnippetGrid(0.5, 1.0, {"wrist": 16})
        >>> type(create_encoder("wrist", ModelConfig(), grid, InputSpec("inertial", (6,)))).__name__
        'InertialEncoder'
    """
    named = encoder_specs(config.encoders)
    chosen = named.get(modality) or named.get(spec.kind) or Spec(get_kind(spec.kind).encoder, {})
    cls: Any = REGISTRY.resolve(chosen.name)
    kinds = getattr(cls, "kinds", (spec.kind,))
    if spec.kind not in kinds:
        raise InputError(f"encoder {chosen.name}: takes {', '.join(kinds)}; {modality} is of kind {spec.kind}")
    offered = {
        "shape": spec.shape,
        "dim": config.dim,
        "frames_per_hop": grid.frames_per_hop[modality],
        "hops_per_window": grid.hops_per_window,
        "dropout": config.dropout,
        "n_heads": config.n_heads,
        "n_layers": config.n_layers,
        "attention_window": config.attention_window,
        "norm": config.norm,
        "kernel": config.kernel,
        "joints": config.joints,
        "pooling": config.pooling,
    }
    return construct(cls, f"encoder {chosen.name}", chosen.options, offered)


def create_model(
    config: ModelConfig, grid: SnippetGrid, n_classes: int, inputs: Mapping[str, InputSpec]
) -> MultimodalNetwork | MacilSdNetwork:
    """The network of these settings.

    Args:
        config: Settings of the model.
        grid: How recordings are cut into snippets.
        n_classes: Number of classes.
        inputs: What the frames of each modality are; one modality makes a unimodal network.

    Raises:
        InputError: macil-sd is given raw signals, or an encoder cannot be built.

    Example:
        >>> grid = SnippetGrid(0.5, 0.5, {"audio": 1, "visual": 1})
        >>> inputs = {m: InputSpec("features", (n,)) for m, n in (("audio", 128), ("visual", 1024))}
        >>> create_model(ModelConfig(architecture="macil-sd"), grid, 1, inputs).modalities
        ('audio', 'visual')
    """
    if config.architecture == "macil-sd":
        raw = [m for m, spec in inputs.items() if spec.kind != "features"]
        if raw:
            raise InputError(f"--model.architecture macil-sd: takes precomputed features, not raw {raw[0]} signals")
        widths = {m: math.prod(spec.shape) for m, spec in inputs.items()}
        return MacilSdNetwork(
            widths,
            config.dim,
            n_classes,
            n_heads=config.n_heads,
            dropout=config.dropout,
            attend_to_padding=config.attend_to_padding,
        )
    linear_path = None
    if config.linear_path:
        raw = [m for m, spec in inputs.items() if spec.kind != "features"]
        if raw:
            raise InputError(f"--model.linear-path: takes precomputed features, not raw {raw[0]} signals")
        several = [m for m in inputs if grid.frames_per_hop[m] != 1]
        if several:
            raise InputError(f"--model.linear-path: takes one row of {several[0]} features a hop")
        widths = {m: math.prod(spec.shape) for m, spec in inputs.items()}
        linear_path = LinearPath(widths, n_classes, grid.hops_per_window)
    encoders = {m: create_encoder(m, config, grid, spec) for m, spec in inputs.items()}
    return MultimodalNetwork(
        encoders,
        config.dim,
        n_classes,
        n_heads=config.n_heads,
        dropout=config.dropout,
        attention_window=config.attention_window,
        joint=config.joint,
        projection=config.projection,
        projection_layers=config.projection_layers,
        score_smoothing=config.score_smoothing,
        smoothed=config.smoothed,
        linear_path=linear_path,
    )


def teacher_modules(modality: str, config: ModelConfig) -> dict[str, str]:
    """Submodules of the student and those of the unimodal teacher that update them (MACIL-SD: projection, attention
    layer, classifier).

    Example:
        >>> teacher_modules("visual", ModelConfig(joint="late"))
        {'encoder.visual': 'encoder.visual', 'head.visual': 'head.visual'}
    """
    ours = config.architecture == "mmcl"
    head = f"head.{modality}" if ours else "classifier"
    attention = () if ours and config.joint == "late" else (f"fusion.layer.{modality}",)
    return {name: name for name in (f"encoder.{modality}", *attention, head)}
