"""From settings to networks: the one place that knows which encoder a modality takes."""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping, Sequence

from torch import nn

from mmcl.config import Config, ModelConfig
from mmcl.errors import InputError
from mmcl.models.features import FeatureEncoder
from mmcl.models.linear import LinearEncoder
from mmcl.models.macil_sd import MacilSdNetwork
from mmcl.models.network import MultimodalNetwork
from mmcl.models.sensor import InertialEncoder, SkeletonEncoder
from mmcl.types import Clock, Kind, kind_of


def kinds_of(config: Config) -> dict[str, Kind]:
    """What each modality is, by the settings or by its name."""
    d = config.bags
    if d.kinds and len(d.kinds) != len(d.modalities):
        raise InputError(
            f"--bags.kinds: expected one for each of {' '.join(d.modalities)}, got {' '.join(d.kinds)}"
        )
    known = typing.get_args(Kind)
    if wrong := [kind for kind in d.kinds if kind not in known]:
        raise InputError(f"--bags.kinds: expected {', '.join(known)}, got {wrong[0]}")
    told = dict(zip(d.modalities, d.kinds, strict=False))
    return {m: told.get(m) or kind_of(m) for m in d.modalities}  # type: ignore[misc]


def clock_of(config: Config) -> Clock:
    d = config.bags
    hops = d.window_s / d.hop_s
    if abs(hops - round(hops)) > 1e-6 or hops < 1:
        raise InputError(f"--bags.window-s {d.window_s}: expected a whole number of hops of {d.hop_s} s")
    if not d.modalities:
        raise InputError("--bags.modalities: expected one or more, got none")
    frames = {"inertial": d.inertial_frames_per_hop, "skeleton": d.skeleton_frames_per_hop, "features": 1}
    kinds = kinds_of(config)
    return Clock(d.hop_s, d.window_s, {m: frames[k] for m, k in kinds.items()}, d.stretch_s, kinds)


Shape = int | Sequence[int]  # what one frame of a modality holds: channels, or joints and their coordinates


def encoder(modality: str, config: Config, clock: Clock, n_channels: Mapping[str, Shape]) -> nn.Module:
    """By the modality's kind."""
    m = config.model
    shared = dict(
        dim=m.dim,
        frames_per_hop=clock.frames_per_hop[modality],
        hops_per_window=clock.hops_per_window,
        dropout=m.dropout,
        n_heads=m.n_heads,
        n_layers=m.n_layers,
        reach=m.reach,
        norm=m.norm,
    )
    raw = shared | {"window": m.window} | ({"kernel": m.kernel} if m.kernel else {})
    kind = clock.kind(modality)
    usual: Shape = (20, 3) if kind == "skeleton" else 6
    shape = n_channels.get(modality, usual)
    if kind == "skeleton":
        assert not isinstance(shape, int)
        return SkeletonEncoder(shape[0], n_coordinates=shape[1], joints=m.joints, **raw)  # type: ignore[arg-type]
    width = shape if isinstance(shape, int) else math.prod(shape)
    if kind == "inertial":
        return InertialEncoder(width, **raw)  # type: ignore[arg-type]
    if m.features == "linear":
        return LinearEncoder(width, m.dim, clock.hops_per_window)
    return FeatureEncoder(
        width,
        m.dim,
        dropout=m.dropout,
        n_heads=m.n_heads,
        n_layers=m.n_layers,
        reach=m.reach,
        norm=m.norm,
        hops_per_window=clock.hops_per_window,
    )


def network(
    config: Config,
    clock: Clock,
    n_classes: int,
    modalities: tuple[str, ...] | None = None,
    n_channels: Mapping[str, Shape] | None = None,
) -> MultimodalNetwork | MacilSdNetwork:
    """The student, or with ``modalities`` of one stream its unimodal teacher.

    n_channels: what one frame of a modality holds, channels or (joints, coordinates); needed of features, and of
    sensors unlike UTD-MHAD's.
    """
    m = config.model
    chosen = modalities or config.bags.modalities
    features = [name for name in chosen if clock.kind(name) == "features"]
    missing = [name for name in features if name not in (n_channels or {})]
    if missing:
        raise InputError(f"n_channels: the width of the {missing[0]} features is not known")
    if m.architecture == "macil-sd":
        raw = [name for name in chosen if name not in features]
        if raw:
            raise InputError(
                f"--model.architecture macil-sd: takes precomputed features, not raw {raw[0]} signals"
            )
        widths = {name: int((n_channels or {})[name]) for name in chosen}  # type: ignore[arg-type]
        return MacilSdNetwork(widths, m.dim, n_classes, n_heads=m.n_heads, dropout=m.dropout)
    encoders = {name: encoder(name, config, clock, n_channels or {}) for name in chosen}
    return MultimodalNetwork(
        encoders,
        m.dim,
        n_classes,
        n_heads=m.n_heads,
        dropout=m.dropout,
        reach=m.reach,
        joint=m.joint,
        projection=m.projection,
        projection_layers=m.projection_layers,
        smooth=m.smooth,
    )


def teacher_modules(modality: str, model: ModelConfig | None = None) -> dict[str, str]:
    """Which submodules the unimodal teacher hands to the student (MACIL-SD: projection, attention
    layer, classifier)."""
    model = model or ModelConfig()
    head = f"head.{modality}" if model.architecture == "mmcl" else "classifier"
    attention = (
        () if model.architecture == "mmcl" and model.joint == "late" else (f"fusion.layer.{modality}",)
    )
    return {name: name for name in (f"encoder.{modality}", *attention, head)}
