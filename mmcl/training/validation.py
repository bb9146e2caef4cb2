"""Components and trackers that settings name: known, complete and possible here."""

from __future__ import annotations

from accelerate.tracking import get_available_trackers

from mmcl.config.loss_schema import ContrastConfig, LossConfig
from mmcl.config.schema import TrainerConfig
from mmcl.config.specs import parse_spec
from mmcl.config.validation import option
from mmcl.errors import InputError
from mmcl.losses.contrastive.components import OPTION_SLOTS, WEIGHTED, build, declared, named_by

OFFERED = {
    "dim": 8, "n_classes": 2, "n_domains": 3, "n_recordings": 1, "temperature": 0.1, "beta": 1.0, "detach": False,
}  # fmt: skip


def check_components(loss: LossConfig, ema_decay: float, batch_has_labels: bool) -> None:
    """The components are known, take their options, and have what they require.

    Args:
        loss: Names components.
        ema_decay: Of the EMA model, 0 = there is none.
        batch_has_labels: The training reads labels.

    Raises:
        InputError: Naming the first option that is wrong.

    Example:
        >>> check_components(LossConfig(), 0.99, True)
    """
    default = ContrastConfig()
    for contrast, config in loss.contrasts.items():
        for name, slot in OPTION_SLOTS.items():
            path = option(f"loss.{contrast}.{name}")
            for text in named_by(config, name):
                _check_component(slot, text, path, loss, ema_decay, batch_has_labels, config.weight > 0)
                if config.weight == 0 and text not in named_by(default, name):
                    raise InputError(
                        f"{path} {text}: is a component of a contrast that is off; use --loss.{contrast}.weight above 0"
                    )
    for text in loss.sequence_terms:
        _check_component("sequence_terms", text, "--loss.sequence-terms", loss, ema_decay, batch_has_labels, True)


def _check_component(
    slot: str, text: str, path: str, loss: LossConfig, ema_decay: float, has_labels: bool, is_used: bool
) -> None:
    spec = parse_spec(text)
    build(slot, spec, OFFERED)
    requires = declared(slot, [text], "requires")
    if spec.weight is not None and slot not in WEIGHTED:
        raise InputError(f"{path} {text}: a weight is for regularizers and sequence terms only")
    if not is_used:
        return
    if "teacher" in requires and loss.distill.teacher_run:
        raise InputError(
            f"{path} {spec.name}: needs the EMA model, which --loss.distill.teacher-run replaces by a finished run"
        )
    if "teacher" in requires and ema_decay <= 0:
        raise InputError(f"{path} {spec.name}: needs the EMA model; use --teacher.ema-decay above 0")
    if requires & {"labels", "scores"} and not has_labels:
        raise InputError(f"{path} {spec.name}: reads labels, which --loss.mil.weight 0 leaves out")


def check_tracker(config: TrainerConfig) -> None:
    """The tracker is installed.

    Raises:
        InputError: It is not, or is unknown.

    Example:
        >>> check_tracker(TrainerConfig(tracker="none"))
    """
    installed = [str(getattr(name, "value", name)) for name in get_available_trackers()]
    if config.tracker != "none" and config.tracker not in installed:
        raise InputError(
            f"--trainer.tracker {config.tracker}: not installed or unknown; installed: "
            f"{', '.join(installed) or 'none'}, or use none"
        )
