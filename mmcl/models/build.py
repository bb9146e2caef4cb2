"""From settings to networks: the one place that knows which encoder a modality takes."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from mmcl.config import Config, ModelConfig
from mmcl.errors import InputError
from mmcl.models.features import FeatureEncoder
from mmcl.models.linear import LinearEncoder
from mmcl.models.macil_sd import MacilSdNetwork
from mmcl.models.network import MultimodalNetwork
from mmcl.models.sensor import InertialEncoder, SkeletonEncoder
from mmcl.types import Clock

FEATURES = ("visual", "audio")  # modalities that come as precomputed features, one row a snippet


def clock_of(config: Config) -> Clock:
    d = config.bags
    hops = d.window_s / d.hop_s
    if abs(hops - round(hops)) > 1e-6 or hops < 1:
        raise InputError(f"--bags.window-s {d.window_s}: expected a whole number of hops of {d.hop_s} s")
    frames = {"inertial": d.inertial_frames_per_hop, "skeleton": d.skeleton_frames_per_hop}
    frames |= dict.fromkeys(FEATURES, 1)
    unknown = [m for m in d.modalities if m not in frames]
    if unknown or not d.modalities:
        raise InputError(
            f"--bags.modalities: expected one or more of {', '.join(frames)}, got {' '.join(d.modalities) or 'none'}"
        )
    return Clock(d.hop_s, d.window_s, {m: frames[m] for m in d.modalities}, d.stretch_s)


def encoder(modality: str, config: Config, clock: Clock, n_channels: Mapping[str, int]) -> nn.Module:
    """Raw sensors by their kind, anything else as precomputed features."""
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
    if modality == "skeleton":
        return SkeletonEncoder(n_channels.get(modality, 20), joints=m.joints, **raw)  # type: ignore[arg-type]
    if modality == "inertial":
        return InertialEncoder(n_channels.get(modality, 6), **raw)  # type: ignore[arg-type]
    if m.features == "linear":
        return LinearEncoder(n_channels[modality], m.dim)
    return FeatureEncoder(
        n_channels[modality],
        m.dim,
        dropout=m.dropout,
        n_heads=m.n_heads,
        n_layers=m.n_layers,
        reach=m.reach,
        norm=m.norm,
    )


def network(
    config: Config,
    clock: Clock,
    n_classes: int,
    modalities: tuple[str, ...] | None = None,
    n_channels: Mapping[str, int] | None = None,
) -> MultimodalNetwork | MacilSdNetwork:
    """The student, or with ``modalities`` of one stream its unimodal teacher.

    n_channels: width of the features of each modality that comes as features.
    """
    m = config.model
    chosen = modalities or config.bags.modalities
    missing = [name for name in chosen if name in FEATURES and name not in (n_channels or {})]
    if missing:
        raise InputError(f"n_channels: the width of the {missing[0]} features is not known")
    if m.architecture == "macil-sd":
        raw = [name for name in chosen if name not in FEATURES]
        if raw:
            raise InputError(
                f"--model.architecture macil-sd: takes precomputed features, not raw {raw[0]} signals"
            )
        widths = {name: (n_channels or {})[name] for name in chosen}
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
