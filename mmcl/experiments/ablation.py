"""Settings with other components, for comparisons: each mechanism by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmcl.config.files import override
from mmcl.config.loss_schema import ContrastConfig
from mmcl.config.schema import RunConfig
from mmcl.config.specs import parse_spec, split_specs
from mmcl.config.validation import check_config
from mmcl.datasets import get_dataset
from mmcl.errors import InputError
from mmcl.losses.contrastive.components import OPTION_SLOTS, SLOTS, named_by, registry, slots_of
from mmcl.training.validation import check_components

NO_CONTRAST = {
    "loss.semibag.weight": 0.0, "loss.snippet.weight": 0.0, "loss.recording.weight": 0.0, "loss.recording.within": 0.0,
    "loss.recording.memory_size": 0, "loss.recording.false_negatives": "none", "loss.recording.pseudo_positives": 0.0,
}  # fmt: skip
# settings that are no component of a contrast
SETTINGS: dict[str, Mapping[str, Any]] = {
    "default": {},
    "no-contrast": NO_CONTRAST,
    "info-nce": {},  # without weights of negatives
    "repetition": {"augment.repetition": 0.32},
    "modality-gate": {"model.joint": "gate"},
    "no-distillation": {"loss.distill.weight": 0.0},
    "unimodal-teacher": {},  # of the first modality
}
COMBINED = {  # mechanisms that are two components
    "learned-view": "learned-view+adaptive-margin",
    "jepa": "masked-prediction+std-hinge",
}
VARIANTS = ("dcl(sigma=0.5)",)
IN_DEFAULT = ("cosine", "info-nce", "concentration")


def ablation_names() -> list[str]:
    """Every single mechanism, what "all" stands for.

    Example:
        >>> "cluster-count" in ablation_names()
        True
    """
    components = [n for slot in SLOTS for n in registry(slot).names() if n not in IN_DEFAULT]
    return [*components, *VARIANTS, *(name for name in SETTINGS if name != "default")]


def with_components(config: RunConfig, text: str) -> RunConfig:
    """The settings with the components that ``text`` names, in every contrast that is in use.

    Weights of negatives come before those that are there; a pair loss or a similarity replaces the one that is there.

    Args:
        config: Complete settings.
        text: Names joined by "+", each with options if need be: of a component, of ``SETTINGS``, or
            ``SLOT=package.module:Class``.

    Raises:
        InputError: A name is unknown.

    Example:
        >>> with_components(RunConfig(), "cluster-count").loss.snippet.negatives
        ('cluster-count', 'concentration')
    """
    for named in COMBINED.get(text, text).split("+"):
        slot, spec_text = named.split("=", 1) if named.split("=")[0] in SLOTS else ("", named)
        name = parse_spec(spec_text).name
        if name == "unimodal-teacher":
            config = override(config, {"teacher.unimodal": config.data.modalities[0]})
        elif name == "info-nce":
            config = override(config, {f"loss.{c}.negatives": () for c in config.loss.in_use})
        elif name in SETTINGS:
            config = override(config, SETTINGS[name])
        else:
            config = _with_component(config, slot or _slot_of(name), spec_text)
    return config


def _slot_of(name: str) -> str:
    slots = slots_of(name)
    if not slots:
        known = sorted({*SETTINGS, *(n for slot in SLOTS for n in registry(slot).names())})
        raise InputError(
            f"--objectives {name}: expected names from {', '.join(known)}, joined by +; or SLOT=package.module:Class"
        )
    return slots[0]


def _with_component(config: RunConfig, slot: str, text: str) -> RunConfig:
    if slot == "sequence_terms":
        return override(config, {"loss.sequence_terms": (text, *config.loss.sequence_terms)})
    (option,) = [name for name, slot_of_option in OPTION_SLOTS.items() if slot_of_option == slot]
    changes: dict[str, Any] = {}
    for contrast, section in config.loss.in_use.items():
        before = getattr(section, option)
        changes[f"loss.{contrast}.{option}"] = text if isinstance(before, str) else (text, *before)
    if not changes:
        raise InputError(f"{text}: there is no contrast; use --loss.recording.weight above 0, for example")
    return override(config, changes)


def choose_objectives(config: RunConfig, objectives: Sequence[str]) -> list[str]:
    """The objectives to compare, each once; "all" is every single mechanism.

    What trains just as the first does, and of "all" what these settings do not allow, is named and left out.

    Args:
        config: Complete settings, modalities filled in.
        objectives: As ``with_components`` takes them; the first is what the others are compared with.

    Raises:
        InputError: There is none, or one that was named cannot be trained.
    """
    given = split_specs(objectives)
    if not given:
        raise InputError("--objectives: expected one or more, got none")
    expanded = [n for name in given for n in (("default", *ablation_names()) if name == "all" else (name,))]
    first, *others = list(dict.fromkeys(expanded))
    base = with_components(config, first)
    check_objective(base)
    kept = [first]
    for name in others:
        try:
            changed = with_components(config, name)
            check_objective(changed)
        except InputError as error:
            if name in given:
                raise
            print(f"{name}: left out; {error}")
            continue
        if effective(changed) == effective(base):
            print(f"{name}: left out; with these settings it is {first}")
            continue
        kept.append(name)
    return kept


def check_objective(config: RunConfig) -> None:
    """Raises InputError where the settings cannot be trained."""
    check_config(config, get_dataset(config.dataset).task)
    check_components(config.loss, config.teacher.ema_decay, config.loss.mil.weight > 0)


def effective(config: RunConfig) -> RunConfig:
    """The settings without what changes nothing: a concentration of 0, components of contrasts that are off.

    Example:
        >>> effective(RunConfig()).loss.snippet.negatives
        ()
    """
    changes: dict[str, Any] = {}
    default = ContrastConfig()
    for contrast, section in config.loss.contrasts.items():
        names = named_by(section, "negatives")
        if section.weight == 0:
            changes |= {f"loss.{contrast}.{o}": getattr(default, o) for o in OPTION_SLOTS}
        elif section.beta == 0:
            changes[f"loss.{contrast}.negatives"] = tuple(n for n in names if n != "concentration")
    return override(config, changes)


def ablation_steps(full: RunConfig) -> dict[str, RunConfig]:
    """The full system taken apart: each step adds one component to the one before.

    Then what one modality's network reaches by itself, and the full system with MACIL-SD's unimodal teacher.

    Args:
        full: Settings of the full system, modalities filled in.

    Example:
        >>> from mmcl.config import override
        >>> list(ablation_steps(override(RunConfig(), {"data.modalities": ("skeleton", "inertial")})))[:2]
        ['MIL alone', '+ contrast']
    """
    no_teacher: dict[str, Any] = {"teacher.unimodal": "", "loss.distill.weight": 0.0}
    names = ("semibag", "snippet", "recording")
    plain = {f"loss.{c}.{k}": 0.0 for c in names for k in ("beta", "tau_plus")}
    mil = override(full, {**no_teacher, **plain, "loss.semibag.weight": 0.0, "loss.snippet.weight": 0.0})
    modalities = full.data.modalities
    return {
        "MIL alone": mil,
        "+ contrast": override(full, {**no_teacher, **plain}),
        "+ concentration": override(full, no_teacher),
        "+ teacher": full,
        **{f"network of {m} alone": override(mil, {"data.modalities": (m,)}) for m in modalities},
        "+ unimodal teacher": override(full, {"teacher.unimodal": modalities[0]}),
    }
