"""Parts of an objective by name, as settings say them: ``cluster-count``, ``cluster-count(n_clusters=20)``, or a stranger's
``package.module:Class(...)``."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmcl.errors import InputError
from mmcl.losses import (
    anchor_weights,
    negative_weights,
    regularisers,
    rows,
    sequences,
    similarities,
    targets,
    transforms,
)
from mmcl.losses.objective import ContrastiveObjective

TRANSFORMS: dict[str, Callable[..., Any]] = {
    "extrapolate": transforms.Extrapolate,
    "mix-negatives": transforms.MixNegatives,
    "group-whitening": transforms.GroupWhitening,
    "neighbour-positive": transforms.NeighbourPositive,
    "learned-view": transforms.LearnedView,
}
SIMILARITIES: dict[str, Callable[..., Any]] = {
    "cosine": similarities.Cosine,
    "learnable-temperature": similarities.LearnableTemperature,
    "multi-head": similarities.MultiHead,
    "class-gate": similarities.ClassGate,
    "routed": similarities.Routed,
}
NEGATIVES: dict[str, Callable[..., Any]] = {
    "concentration": negative_weights.Concentration,
    "cluster-count": negative_weights.ClusterCount,
    "learned-weight": negative_weights.LearnedWeight,
    "margin-filter": negative_weights.MarginFilter,
    "own-cluster": negative_weights.OwnClusterOnly,
    "confidence": negative_weights.Confidence,
    "propensity": negative_weights.Propensity,
    "same-label": negative_weights.SameLabel,
    "own-group": negative_weights.OwnGroupOnly,
    "own-recording": negative_weights.OwnRecordingOnly,
}
TARGETS: dict[str, Callable[..., Any]] = {
    "supcon": targets.SupCon,
    "label-overlap": targets.LabelOverlap,
    "soft-teacher": targets.SoftTeacher,
}
ANCHORS: dict[str, Callable[..., Any]] = {
    "bad-pairs": anchor_weights.BadPairs,
    "similarity-schedule": anchor_weights.SimilaritySchedule,
}
ROWS: dict[str, Callable[..., Any]] = {
    "info-nce": lambda: rows.info_nce,
    "decoupled": rows.Decoupled,
    "attraction-repulsion": rows.AttractionRepulsion,
    "group-order": rows.GroupOrder,
    "cluster-proxy": rows.ClusterProxy,
    "ordinal-mix": rows.OrdinalMix,
    "adversarial": rows.Adversarial,
    "ranker": rows.Ranker,
}
REGULARISERS: dict[str, Callable[..., Any]] = {
    "align-uniform": regularisers.AlignUniform,
    "common-salient": regularisers.CommonSalient,
    "std-hinge": regularisers.StdHinge,
    "cross-barlow": regularisers.CrossBarlow,
    "predictor": regularisers.Predictor,
    "swapped-assignment": regularisers.SwappedAssignment,
    "compactness": regularisers.Compactness,
    "adaptive-margin": regularisers.AdaptiveMargin,
    "community": regularisers.Community,
    "prototypes": regularisers.Prototypes,
    "proto-nce": regularisers.ProtoNCE,
    "feature-distance": regularisers.FeatureDistance,
    "direct-predictor": regularisers.DirectPredictor,
    "bottleneck": regularisers.Bottleneck,
}
SEQUENCES: dict[str, Callable[..., Any]] = {
    "temporal-warp": sequences.TemporalWarp,
    "masked-prediction": sequences.MaskedPrediction,
    "overlap-prediction": sequences.OverlapPrediction,
}
HOOKS: dict[str, dict[str, Callable[..., Any]]] = {
    "transforms": TRANSFORMS,
    "similarity": SIMILARITIES,
    "negatives": NEGATIVES,
    "target": TARGETS,
    "anchors": ANCHORS,
    "row": ROWS,
    "regularisers": REGULARISERS,
    "sequences": SEQUENCES,
}
NEEDS_TEACHER = ("soft-teacher", "feature-distance", "neighbour-positive", "confidence", "masked-prediction")
# weights at which the sources, or a look at the terms' sizes, put a term beside a contrast
USUAL_WEIGHT = {
    "align-uniform": 0.1, "common-salient": 0.05, "std-hinge": 1.0, "cross-barlow": 0.025, "predictor": 0.1,
    "swapped-assignment": 0.2, "compactness": 0.5, "adaptive-margin": 0.1, "community": 0.1, "prototypes": 0.1,
    "proto-nce": 0.1, "feature-distance": 0.005, "direct-predictor": 0.1, "bottleneck": 0.1,
    "temporal-warp": 0.1, "masked-prediction": 0.1, "overlap-prediction": 0.1,
}  # fmt: skip


def asks_anything(settings: Any) -> bool:
    """Does any part that the settings name look at more than embeddings? InfoNCE with concentration does not."""
    more = (settings.transforms, settings.target, settings.anchors, settings.regularisers)
    plain = settings.similarity == "cosine" and settings.row == "info-nce"
    return not plain or any(more) or split_specs(settings.negatives) not in ([], ["concentration"])


def asks_teacher(settings: Any) -> bool:
    """Does any part that the settings name look at the averaged student's encodings?"""
    named = (
        settings.target,
        *settings.transforms,
        *settings.negatives,
        *settings.regularisers,
        *settings.sequences,
    )
    return any(parse(t, "parts").name in NEEDS_TEACHER for t in split_specs(named))


@dataclass(frozen=True)
class Spec:
    """One part as a setting says it."""

    name: str
    options: Mapping[str, Any]
    weight: float | None = None


def split_specs(texts: Sequence[str]) -> list[str]:
    """Parts separated by commas outside of brackets, or given one by one."""
    parts: list[str] = []
    for text in texts:
        depth, start = 0, 0
        for i, c in enumerate(text):
            depth += (c == "(") - (c == ")")
            if c == "," and depth == 0:
                parts.append(text[start:i])
                start = i + 1
        parts.append(text[start:])
    return [p.strip() for p in parts if p.strip()]


def parse(text: str, option: str) -> Spec:
    """``name(key=value, ...)*weight``; the weight is for regularisers and sequence terms."""
    body, _, weight = text.partition("*")
    name, _, inside = body.strip().partition("(")
    options: dict[str, Any] = {}
    try:
        if inside:
            call = ast.parse(f"f({inside.rstrip().removesuffix(')')})", mode="eval").body
            if not isinstance(call, ast.Call) or call.args:
                raise ValueError(inside)
            options = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
        return Spec(name.strip(), options, float(weight) if weight else None)
    except (SyntaxError, ValueError):
        raise InputError(
            f"--objective.{option} {text}: expected NAME, NAME(key=value, ...) or NAME*WEIGHT"
        ) from None


def find(hook: str, name: str) -> Callable[..., Any]:
    """The class of that name; InputError names those that there are."""
    known = HOOKS[hook]
    if name in known:
        return known[name]
    if ":" in name:
        module, _, attribute = name.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise InputError(f"--objective.{hook} {name}: cannot be imported ({error})") from error
    raise InputError(
        f"--objective.{hook}: expected some of {', '.join(known)}, or package.module:Class, got {name}"
    )


def make(hook: str, spec: Spec, given: Mapping[str, Any]) -> Any:
    """The part; of ``given`` (dim, n_classes, temperature ...) it gets what its arguments ask for."""
    cls = find(hook, spec.name)
    asked = inspect.signature(cls).parameters
    offered = {k: v for k, v in given.items() if k in asked}
    try:
        made = cls(**{**offered, **spec.options})
    except TypeError as error:
        raise InputError(
            f"--objective.{hook} {spec.name}: {error}; it takes {', '.join(asked) or 'nothing'}"
        ) from None
    return made


def build_objective(
    temperature: float,
    tau: float,
    beta: float,
    detach: bool,
    *,
    dim: int,
    n_classes: int = 2,
    n_recordings: int = 1,
    transforms: Sequence[str] = (),
    similarity: str = "cosine",
    negatives: Sequence[str] = ("concentration",),
    target: str = "",
    anchors: Sequence[str] = (),
    regularisers: Sequence[str] = (),
    row: str = "info-nce",
) -> ContrastiveObjective:
    """An objective from settings. beta, detach: concentration's own, where its name stands without options."""
    given = {
        "dim": dim, "n_classes": n_classes, "n_domains": 3, "n_recordings": n_recordings, "temperature": temperature,
        "beta": beta, "detach": detach,
    }  # fmt: skip
    specs = lambda hook, texts: [parse(t, hook) for t in split_specs(texts)]
    weights = specs("negatives", negatives)
    if beta == 0:  # without weights there is nothing to compute
        weights = [s for s in weights if s.name != "concentration" or s.options]
    added = []
    for spec in specs("regularisers", regularisers):
        usual = USUAL_WEIGHT.get(spec.name, 1.0)
        added.append(
            (spec.name, usual if spec.weight is None else spec.weight, make("regularisers", spec, given))
        )
    (like,), (one_row,) = specs("similarity", [similarity]), specs("row", [row])
    aims = specs("target", [target] if target else [])
    if len(aims) > 1:
        raise InputError(f"--objective.target {target}: expected one")
    return ContrastiveObjective(
        temperature,
        tau,
        transforms=[make("transforms", s, given) for s in specs("transforms", transforms)],
        similarity=make("similarity", like, given),
        negatives=[make("negatives", s, given) for s in weights],
        target=make("target", aims[0], given) if aims else None,
        anchors=[make("anchors", s, given) for s in specs("anchors", anchors)],
        regularisers=added,
        row=make("row", one_row, given),
    )
