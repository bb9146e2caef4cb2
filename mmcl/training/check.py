"""Settings that cannot work, told before any data are read."""

from __future__ import annotations

import math

from accelerate.tracking import get_available_trackers

from mmcl.config import Config, ObjectiveConfig
from mmcl.data.labels import check_labels
from mmcl.errors import InputError
from mmcl.losses.parts import HOOKS, NEEDS_TEACHER, asks_teacher, make, parse, split_specs
from mmcl.models.build import clock_of
from mmcl.presets import PRESETS, RECOGNITION

# section.field: smallest and largest value that make sense
RANGES: dict[str, tuple[float, float]] = {
    "bags.hop_s": (1e-3, 3600),
    "bags.window_s": (1e-3, 3600),
    "bags.validation_share": (0, 0.9),
    "bags.crops": (1, 5),
    "bags.max_snippets": (0, math.inf),
    "bags.n_train_streams": (2, math.inf),
    "bags.n_test_streams": (2, math.inf),
    "bags.stream_seed": (0, 2**31),
    "bags.augment": (0, 5),
    "bags.stretch_s": (0, 3600),
    "bags.crop": (0.05, 1),
    "bags.repetition": (0, 1),
    "bags.shuffle_hops": (0, math.inf),
    "bags.insertion": (0, 1),
    "bags.insertion_from": (0, 1),
    "bags.modality_dropout": (0, 1),
    "bags.per_group": (0, math.inf),
    "bags.workers": (0, 1024),
    "model.dim": (1, 65536),
    "model.n_heads": (1, 65536),
    "model.n_layers": (0, 1000),
    "model.reach": (0, math.inf),
    "model.dropout": (0, 0.49),  # the score heads take twice as much
    "model.kernel": (0, 99),
    "model.projection": (0, 65536),
    "model.smooth": (1, 9999),
    "objective.divisor": (1, math.inf),
    "objective.smoothing": (0, 1),
    "objective.unimodal": (0, math.inf),
    "objective.normal": (0, math.inf),
    "objective.contrast": (0, math.inf),
    "objective.contrast_rise": (0, math.inf),
    "objective.instance": (0, math.inf),
    "objective.instance_end": (0, math.inf),
    "objective.instances_per_bag": (1, math.inf),
    "objective.temperature": (1e-3, 1e3),
    "objective.beta": (0, 1e3),
    "objective.tau": (0, 0.999),
    "objective.instance_beta": (0, 1e3),
    "objective.instance_tau": (0, 0.999),
    "objective.supervised": (0, math.inf),
    "objective.pair": (0, math.inf),
    "objective.within": (0, math.inf),
    "objective.memory": (0, 2**24),
    "objective.same_size": (1, 2**16),
    "objective.same_from": (0, 1),
    "objective.mined": (0, 1),
    "bags.labelled": (0, math.inf),
    "bags.label_seed": (0, 2**31),
    "teacher.momentum": (0, 1),
    "teacher.learning_rate_ratio": (0, 1e3),
    "teacher.average": (0, 0.999999),
    "teacher.distill": (0, math.inf),
    "teacher.distill_from": (0, 1),
    "optim.epochs": (1, math.inf),
    "optim.batch_size": (1, math.inf),
    "optim.learning_rate": (0, 1e3),
    "optim.encoder_rate": (0, 1e3),
    "optim.decay_epochs": (0, math.inf),
    "optim.weight_decay": (0, 1e3),
    "optim.warmup": (0, 1),
    "optim.clip": (0, math.inf),
    "optim.accumulate": (1, math.inf),
    "optim.seed": (0, 2**31),
    "optim.validate_every": (1, math.inf),
    "optim.save_every": (1, math.inf),
}


def _check_without_labels(config: Config) -> None:
    """What learning without labels cannot use; all of it would read labels or untrained scores."""
    d, o, t = config.bags, config.objective, config.teacher
    if config.task not in RECOGNITION or len(d.modalities) < 2:
        raise InputError(
            "--objective.supervised 0: learning without labels needs two modalities and whole recordings to tell "
            f"apart ({', '.join(RECOGNITION)})"
        )
    if o.pair == 0 and o.instance == 0:
        raise InputError("--objective.supervised 0: nothing is left to learn; use --objective.pair above 0")
    for option, value in (
        ("--objective.contrast", o.contrast),
        ("--teacher.distill", t.distill),
        ("--teacher.modality", t.modality),
        ("--bags.labelled", d.labelled),
    ):
        if value:
            raise InputError(
                f"{option} {value}: learns from labels, which --objective.supervised 0 leaves out"
            )


def check_parts(config: Config) -> None:
    """The parts of the objective are known, take the options given, have what they need, and something to be parts of."""
    o, t, usual = config.objective, config.teacher, ObjectiveConfig()
    given = dict(dim=8, n_classes=2, n_domains=3, n_recordings=1, temperature=0.1, beta=1.0, detach=False)
    named: list[str] = []
    for hook in HOOKS:
        value = getattr(o, hook)
        for text in split_specs([value] if isinstance(value, str) else value):
            spec = parse(text, hook)
            make(hook, spec, given)
            if text not in getattr(usual, hook):
                named.append(f"--objective.{hook} {text}")
            if spec.name in NEEDS_TEACHER[:2] and t.average <= 0:
                raise InputError(
                    f"--objective.{hook} {spec.name}: needs the averaged student; use --teacher.average above 0"
                )
            if spec.weight is not None and hook not in ("regularisers", "sequences"):
                raise InputError(
                    f"--objective.{hook} {text}: a weight is for regularisers and sequences alone"
                )
    weights = {"semi-bag": o.contrast, "instance": o.instance, "pair": o.pair}
    if named and not o.sequences and not any(weights[kind] > 0 for kind in o.parts_of):
        raise InputError(
            f"{named[0]}: there is no contrast that it could be a part of; use --objective.pair, --objective.instance or "
            "--objective.contrast above 0"
        )
    if t.run and (o.memory or o.same != "none" or (named and asks_teacher(o))):
        raise InputError(
            "--teacher.run: teaches scores; a memory, --objective.same and parts that ask a teacher need the averaged student"
        )


def check(config: Config) -> None:
    """Raises InputError naming the first option that is out of its range or contradicts another."""
    if config.task not in PRESETS:
        raise InputError(f"task: expected one of {', '.join(PRESETS)}, got {config.task}")
    for name, (low, high) in RANGES.items():
        section, key = name.split(".")
        value = getattr(getattr(config, section), key)
        if not low <= value <= high:  # also where it is NaN
            expected = f"at least {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"
            raise InputError(f"--{section}.{key.replace('_', '-')}: expected {expected}, got {value}")
    d, m, o, t = config.bags, config.model, config.objective, config.teacher
    known = PRESETS[config.task]().bags.modalities or d.modalities  # of a manifest any
    if not d.modalities or set(d.modalities) - set(known) or len(set(d.modalities)) < len(d.modalities):
        got = " ".join(d.modalities) or "none"
        raise InputError(
            f"--bags.modalities: expected one or more of {', '.join(known)}, each once, got {got}"
        )
    clock_of(config)
    fewest, most = d.targets_per_stream
    if not 1 <= fewest <= most <= d.actions_per_stream[0] <= d.actions_per_stream[1]:
        raise InputError(
            f"--bags.targets-per-stream {fewest} {most}, --bags.actions-per-stream "
            f"{d.actions_per_stream[0]} {d.actions_per_stream[1]}: expected fewest <= most, and no more "
            "targets than the fewest actions"
        )
    if m.dim % m.n_heads:
        raise InputError(f"--model.dim {m.dim}: expected a multiple of --model.n-heads {m.n_heads}")
    if m.smooth % 2 == 0:
        raise InputError(f"--model.smooth: expected an odd number from 1 on, got {m.smooth}")
    if o.contrast > 0 and not o.against:
        raise InputError(
            "--objective.against: expected one kind at least; --objective.contrast 0 switches it off"
        )
    if o.exclusive and config.task not in RECOGNITION:
        raise InputError(f"--objective.exclusive: the labels of {config.task} do not exclude each other")
    if d.modality_dropout and len(d.modalities) < 2:
        raise InputError("--bags.modality-dropout: needs two modalities")
    if d.modality_dropout and t.modality:
        raise InputError(
            "--bags.modality-dropout: the unimodal teacher cannot miss its only stream; use --teacher.modality ''"
        )
    check_labels(d.labelled, "--bags.labelled")
    if m.kernel and m.kernel % 2 == 0:
        raise InputError(f"--model.kernel: expected an odd number, or 0, got {m.kernel}")
    if o.supervised == 0:
        _check_without_labels(config)
    beside = {"within": o.within, "memory": o.memory, "same": o.same != "none"}
    for name, value in beside.items():
        if value and o.pair == 0:
            raise InputError(
                f"--objective.{name}: is a part of the pair contrast; use --objective.pair above 0"
            )
    if o.mined > 0 and o.same == "none":
        raise InputError("--objective.mined: needs to know which are of one kind; use --objective.same")
    if o.pair > 0 and d.modality_dropout:
        raise InputError("--bags.modality-dropout: the pair contrast needs both streams of a recording")
    if o.within > 0 and d.views < 2:
        raise InputError("--objective.within: compares two views of a recording; use --bags.views 2")
    if o.same != "none" and o.same_size > config.optim.batch_size * d.views + o.memory:
        n = config.optim.batch_size * d.views + o.memory
        raise InputError(
            f"--objective.same-size: expected at most the {n} rows of a batch and the memory, got {o.same_size}"
        )
    if o.pair > 0 and (o.memory > 0 or o.same != "none") and t.average <= 0:
        raise InputError(
            "--objective.memory, --objective.same: need the averaged student; use --teacher.average above 0"
        )
    if o.pair > 0 and (m.architecture != "mmcl" or len(d.modalities) < 2):
        raise InputError("--objective.pair: needs two modalities and --model.architecture mmcl")
    if d.labelled and config.task not in RECOGNITION:
        raise InputError(
            f"--bags.labelled: {config.task} trains on all its labels; it is for {', '.join(RECOGNITION)}"
        )
    if d.unlabelled != "out" and not d.labelled:
        raise InputError(f"--bags.unlabelled {d.unlabelled}: all are labelled; use --bags.labelled")
    if d.unlabelled == "teacher" and not t.run:
        raise InputError("--bags.unlabelled teacher: needs one, --teacher.run")
    if d.unlabelled == "teacher" and (not o.exclusive or o.contrast > 0 or d.insertion > 0):
        raise InputError(
            "--bags.unlabelled teacher: of recordings without a label nothing is known that --objective.no-exclusive, "
            "--objective.contrast or --bags.insertion could use"
        )
    if t.run and t.distill == 0:
        raise InputError("--teacher.run: has nothing to teach by; use --teacher.distill above 0")
    if o.swap_scores and len(d.modalities) != 2:
        raise InputError("--objective.swap-scores: needs two modalities")
    if t.modality and t.modality not in d.modalities:
        raise InputError(f"--teacher.modality {t.modality}: expected one of {', '.join(d.modalities)}")
    if t.distill > 0 and t.average <= 0 and not t.run:
        raise InputError("--teacher.distill: needs the averaged student; use --teacher.average above 0")
    if config.optim.encoder_rate == 0 and t.modality:
        raise InputError(
            "--optim.encoder-rate 0: the unimodal teacher would hand over encoders all the same; use --teacher.modality ''"
        )
    check_parts(config)
    tracker = config.optim.tracker
    installed = [str(getattr(name, "value", name)) for name in get_available_trackers()]
    if tracker != "none" and tracker not in installed:
        raise InputError(
            f"--optim.tracker {tracker}: not installed or unknown; installed: {', '.join(installed) or 'none'}, or use none"
        )
