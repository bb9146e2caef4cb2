"""A run from settings to figures: its folder holds all that made it and all that came of it.

config.json        every setting, the seed, versions, classes
state.pt           the whole state of training, to resume from
best.safetensors   the selected epoch's weights (the last epoch's, without validation)
last.safetensors   the last epoch's weights
history.json       losses and validation figures of every epoch
metrics.json       every figure by its true name
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import set_seed
from torch import nn

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

import mmcl
from mmcl.config import Config, from_dict, to_dict
from mmcl.data.bags import BagDataset
from mmcl.errors import FileError, InputError
from mmcl.features.frontends import Card, card_from
from mmcl.models.build import Shape, clock_of, kinds_of, network, teacher_modules
from mmcl.models.features import FeatureEncoder
from mmcl.models.macil_sd import from_released
from mmcl.models.sensor import InertialEncoder
from mmcl.presets import PRESETS, changed
from mmcl.probe import embed, judge_representation, probe_scores
from mmcl.storage import read_figures, read_json, write_json
from mmcl.tasks import TASKS, Task, scorer
from mmcl.tasks.own import complete
from mmcl.training import checkpoint
from mmcl.training.check import check
from mmcl.training.loop import BEST, LAST, METRICS, STATE, fit, make_accelerator
from mmcl.training.step import Learner
from mmcl.training.teacher import Pairs, parameter_pairs
from mmcl.types import Clock, Recording

CONFIG = "config.json"
MOST_FOR_STATISTICS = 2000  # recordings whose mean and spread stand for all


def train(
    config: Config, data: Path, out: Path, resume: bool = False, start_from: Path | None = None
) -> dict[str, float]:
    """Train, evaluate on the test part, write the run's folder; returns the test figures.

    start_from: folder of a run or an imported model of the same architecture, whose selected weights
    the student begins with.
    """
    config = complete(config, data)
    check(config)
    prepare_folder(out, config, data, resume, start_from)
    with only_one(out):
        if resume and (out / METRICS).exists():
            print(f"{out}: finished already")
            known = read_figures(out / METRICS)
            return {k.removeprefix("test "): v for k, v in known.items() if k.startswith("test ")}
        return _train(config, data, out, resume, start_from)


def _train(config: Config, data: Path, out: Path, resume: bool, start_from: Path | None) -> dict[str, float]:
    task = TASKS[config.task](data, config)
    check_parts(task, data, config)
    if config.bags.unlabelled == "probe":
        task = replace(task, train=labelled_by_probe(task.train, config, data, start_from))
    set_seed(config.optim.seed)
    learner, pairs = build_learner(config, task)
    if start_from is not None:
        same_front_ends(start_from, task)
        begin_with(start_from, learner.student, config)
    accelerator = make_accelerator(config, out)
    if accelerator.is_main_process:
        write_json(out / CONFIG, describe(config, task, data, start_from))
    d = config.bags
    guide, train_part, clock = taught_by(config, task, data)
    bags = BagDataset(
        train_part,
        clock,
        strength=d.augment,
        shuffle_hops=d.shuffle_hops,
        crop=d.crop,
        insertion=d.insertion,
        insertion_from=round(d.insertion_from * config.optim.epochs),
        max_snippets=d.max_snippets,
        modality_dropout=d.modality_dropout,
        repetition=d.repetition,
        seed=config.optim.seed,
    )

    def validate(student: nn.Module, device: torch.device) -> dict[str, float]:
        figures = evaluate_on(student, config, task, "validation", device)
        return {f"validation {k}": v for k, v in figures.items()}

    progress = fit(
        config,
        learner,
        pairs,
        bags,
        validate if task.validation else None,
        f"validation {task.select_by if config.objective.supervised > 0 else 'linear probe accuracy'}",
        out,
        resume=resume,
        accelerator=accelerator,
        repeats=task.repeats,
        guide=guide,
        choose=config.objective.supervised > 0,  # no label chooses among what was learned without
    )
    figures: dict[str, float] = {}
    if accelerator.is_main_process:
        student = learner.student
        checkpoint.load_weights(out / BEST, student)
        figures = evaluate_on(student, config, task, "test", accelerator.device)
        metrics = {
            **{f"test {k}": v for k, v in figures.items()},
            "selected epoch": progress.best_epoch,
            "training seconds": progress.seconds,
            "parameters of the network": sum(p.numel() for p in student.parameters()),
        }
        if task.validation:
            metrics |= {
                k: v
                for k, v in progress.history[progress.best_epoch - 1].items()
                if k.startswith("validation")
            }
        defined = {k: v for k, v in metrics.items() if v == v}  # AP without events, say, is not
        write_json(out / METRICS, defined)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return figures


def labelled_by_probe(
    train: list[Recording], config: Config, data: Path, start_from: Path | None
) -> list[Recording]:
    """The recordings without a label given what a linear probe says of them: on the frozen embeddings, of all streams that it
    knows, of the run that training starts from, fitted to the labelled ones. Soft labels, adding up to 1."""
    if start_from is None:
        raise InputError("--bags.unlabelled probe: needs a pre-trained run, --start-from")
    net, theirs, _ = load_network(start_from, to_score=False)
    wide = changed(config, bags={"modalities": theirs.bags.modalities, "kinds": theirs.bags.kinds})
    seen = TASKS[config.task](data, wide, ("train",)).train
    said = probe_scores(embed(net, seen, clock_of(theirs)), train)
    return [
        r if r.label is None or r.label.any() else replace(r, label=p)
        for r, p in zip(train, said, strict=True)
    ]


def taught_by(config: Config, task: Task, data: Path) -> tuple[nn.Module | None, list[Recording], Clock]:
    """The network of ``teacher.run``, and the training part with all streams that it or the student sees."""
    if not config.teacher.run:
        return None, task.train, clock_of(config)
    run = Path(config.teacher.run)
    guide, theirs, classes = load_network(run)
    b, t = config.bags, theirs.bags
    timing = ("hop_s", "window_s", "stretch_s", "inertial_frames_per_hop", "skeleton_frames_per_hop")
    if other := [name for name in timing if getattr(b, name) != getattr(t, name)]:
        raise InputError(
            f"--teacher.run {run}: its bags.{other[0]} is {getattr(t, other[0])}, this run's {getattr(b, other[0])}"
        )
    if classes != task.classes:
        raise InputError(f"--teacher.run {run}: knows other classes than {data}")
    if theirs.objective.exclusive != config.objective.exclusive:
        raise InputError(f"--teacher.run {run}: one of the two scores exclusive classes, the other not")
    extra = [i for i, m in enumerate(t.modalities) if m not in b.modalities]
    kinds = () if not (b.kinds or t.kinds) else tuple(kinds_of(config).values()) + tuple(
        list(kinds_of(theirs).values())[i] for i in extra
    )  # fmt: skip
    wide = changed(
        config, bags={"modalities": (*b.modalities, *(t.modalities[i] for i in extra)), "kinds": kinds}
    )
    return guide.requires_grad_(False), TASKS[config.task](data, wide, ("train",)).train, clock_of(wide)


def prepare_folder(
    out: Path, config: Config, data: Path, resume: bool, start_from: Path | None = None
) -> None:
    """Refuse to overwrite a run, and to resume one with other settings, first weights, data or processes."""
    if resume and (out / CONFIG).exists():
        before, _, trained_on = read_config(out)
        do = "resume with the same, or train into another --out"
        if before != config:
            raise FileError(
                out / CONFIG, f"the run was made with other settings ({_difference(before, config)})", do
            )
        if trained_on != data.resolve():
            raise FileError(out / CONFIG, f"the run was made on {trained_on}, not on {data.resolve()}", do)
        began, begin = read_json(out / CONFIG).get("start from"), start_from and str(start_from.resolve())
        if began != begin:
            say = lambda of: f"the weights of {of}" if of else "weights of its own"
            raise FileError(out / CONFIG, f"the run began with {say(began)}, not with {say(begin)}", do)
        processes = read_json(out / CONFIG).get("processes")
        if processes != n_asked():
            raise FileError(out / CONFIG, f"the run was made by {processes} processes, not {n_asked()}", do)
    left = [name for name in (STATE, BEST, METRICS) if (out / name).exists()]
    if left and not resume:
        raise FileError(out, "already holds a run", "continue it with --resume or choose another --out")
    if left and STATE not in left:
        raise FileError(
            out / STATE, f"is missing beside {left[0]}", "nothing to resume from; choose another --out"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / ".lock").touch()
    except OSError as error:
        raise FileError(out, f"cannot be written ({error.strerror})", "choose another --out") from error


@contextmanager
def only_one(out: Path) -> Iterator[None]:
    """Keeps a second training out of the folder. The system drops the lock with the process, and workers
    that outlive a killed one for a moment do not hold it."""
    if fcntl is None or int(os.environ.get("RANK", 0)) != 0:
        yield
        return
    with open(out / ".lock", "w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FileError(out, "is being trained into by another process", "choose another --out") from None
        yield


def check_parts(task: Task, data: Path, config: Config) -> None:
    """Every part that this run needs has recordings."""
    asked = bool(config.bags.validation_subjects) if config.task.startswith("utd-mhad") else False
    for part, needed in (("train", True), ("test", True), ("validation", asked)):
        if needed and not getattr(task, part):
            raise InputError(
                f"{data}: holds no recordings of the {part} part; add them, or choose other subjects"
            )


def n_asked() -> int:
    """Processes that torchrun or Accelerate's launcher was asked for."""
    return int(os.environ.get("WORLD_SIZE", 1))


def _difference(a: Config, b: Config) -> str:
    for name, ours in to_dict(a).items():
        theirs = to_dict(b)[name]
        if isinstance(ours, dict):
            for key in ours:
                if ours[key] != theirs[key]:
                    return f"{name}.{key}: {ours[key]}, now {theirs[key]}"
        elif ours != theirs:
            return f"{name}: {ours}, now {theirs}"
    return "?"


def build_learner(config: Config, task: Task) -> tuple[Learner, Pairs]:
    """Student with the training data's statistics, teacher, and what it hands over."""
    clock = clock_of(config)
    student = network(config, clock, len(task.classes), n_channels=task.n_channels)
    teacher, pairs = None, Pairs()
    if config.teacher.modality:
        of = config.teacher.modality
        teacher = network(config, clock, len(task.classes), (of,), task.n_channels)
        pairs = parameter_pairs(student, teacher, teacher_modules(of, config.model))
    for part in (student, teacher):
        if part is not None:
            _fit_statistics(part, task)
            _freeze_unused(part, config, is_teacher=part is teacher)
    return Learner(student, teacher, config.objective, bool(config.teacher.run), len(task.train)), pairs


def _fit_statistics(part: nn.Module, task: Task) -> None:
    encoders = part.get_submodule("encoder")
    some = task.train[:: -(-len(task.train) // MOST_FOR_STATISTICS)]
    for m, encoder in encoders.named_children():
        if isinstance(encoder, InertialEncoder | FeatureEncoder):
            n, total, square = 0, 0.0, 0.0
            for recording in some:
                x = np.asarray(recording.signal[m], np.float64)
                n, total, square = n + len(x), total + x.sum(0), square + (x * x).sum(0)
            mean = total / n
            std = np.sqrt(np.maximum(square / n - mean**2, 0))
            encoder.fit(torch.from_numpy(mean), torch.from_numpy(std))


def _freeze_unused(part: nn.Module, config: Config, is_teacher: bool) -> None:
    """What no loss reaches takes no gradient: distributed training wants to know."""
    o = config.objective
    if config.model.architecture != "mmcl":
        return  # every part of it is reached
    compared = o.contrast or o.instance or o.pair or o.sequences
    if is_teacher or len(config.bags.modalities) == 1 or not compared:
        part.get_submodule("project").requires_grad_(False)
    if o.supervised == 0 and config.teacher.distill == 0:
        for name in ("head", "joint_head", "stream_head", "fusion", "gate"):
            if getattr(part, name, None) is not None:
                part.get_submodule(name).requires_grad_(False)
    if o.unimodal == 0 and (is_teacher or config.teacher.distill == 0) and config.model.joint != "ensemble":
        part.get_submodule("head").requires_grad_(False)


def describe(config: Config, task: Task, data: Path, start_from: Path | None = None) -> dict[str, Any]:
    """What is saved as config.json: enough to repeat the run and to use its network."""
    return {
        **versions(),
        "processes": n_asked(),
        "data": str(data.resolve()),
        "start from": None if start_from is None else str(start_from.resolve()),
        "classes": list(task.classes),
        "channels": dict(task.n_channels),
        "front-ends": {m: asdict(card) for m, card in task.front_ends.items()},
        "bags": {"train": len(task.train), "validation": len(task.validation), "test": len(task.test)},
        "config": to_dict(config),
    }


def versions() -> dict[str, str]:
    return {"mmcl": mmcl.__version__, "torch": torch.__version__, "python": platform.python_version()}


# What XD-Violence's authors say of their features; of which weights, only the names are known.
RELEASED_FEATURES = {"visual": Card("i3d", 1024, crops=5), "audio": Card("vggish", 128)}


def import_macil_sd(weights: Path, out: Path) -> None:
    """A model folder from the state dict that MACIL-SD's authors released; no code of it is run.

    It scores, evaluates and fine-tunes (``start_from``) like a run of ours.
    """
    if (out / CONFIG).exists():
        raise FileError(out, "already holds a model or a run", "choose another --out")
    try:
        released = torch.load(weights, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FileError(weights, "no such file", "check the path") from None
    except Exception as error:
        raise FileError(
            weights, f"not a plain state dict ({type(error).__name__})", "give the authors' macil_sd.pkl"
        ) from error
    if not isinstance(released, dict):
        raise FileError(weights, f"holds a {type(released).__name__}", "expected a state dict")
    try:
        student = from_released(released)
    except InputError as error:
        raise FileError(weights, str(error), "give the authors' macil_sd.pkl") from error
    checkpoint.save_weights(out / BEST, student)
    model = {
        **versions(),
        "processes": 1,
        "data": "",
        "imported from": weights.name,
        "classes": ["violence"],
        "channels": student.n_channels,
        "front-ends": {m: asdict(card) for m, card in RELEASED_FEATURES.items()},
        "config": to_dict(PRESETS["xd-violence"]()),
    }
    write_json(out / CONFIG, model)


def read_config(run: Path) -> tuple[Config, tuple[str, ...], Path]:
    """Settings, classes and data folder of a run."""
    path = run / CONFIG
    saved = read_json(path)
    try:
        config = from_dict(Config, saved["config"], path)
        classes, data = tuple(saved["classes"]), Path(saved["data"])
        if config.task not in TASKS:
            raise KeyError(config.task)
        return config, classes, data
    except (KeyError, TypeError, AttributeError) as error:
        raise FileError(
            path, f"not the settings of a run ({error!r})", "is this a folder that mmcl train made?"
        ) from error


def data_of(run: Path) -> Path:
    """The folder that the run was trained on."""
    if not read_json(run / CONFIG).get("data"):
        raise InputError(f"{run}: an imported model has no data of its own; give --data")
    return read_config(run)[2]


def began_with(run: Path) -> Path | None:
    """The run whose weights this one began with."""
    before = read_json(run / CONFIG).get("start from")
    return None if before is None else Path(before)


def begin_with(run: Path, student: nn.Module, config: Config) -> None:
    """Give the student a run's selected weights: all of them, or, where the run learned without labels or
    from more streams, those of the encoders and projections (macil-sd: all that its network has)."""
    before, _, _ = read_config(run)
    theirs, ours = before.bags.modalities, config.bags.modalities
    if set(theirs) == set(ours) and theirs != ours:
        raise InputError(
            f"--start-from {run}: its streams are {' '.join(theirs)}; name them in this order, --bags.modalities {' '.join(theirs)}"
        )
    if before.objective.supervised > 0 and theirs == ours:
        checkpoint.load_weights(run / BEST, student)
        return
    parts = ("encoder.", "project.") if config.model.architecture == "mmcl" else ("",)
    checkpoint.load_weights(run / BEST, student, parts)
    what = "encoders and projections" if config.model.architecture == "mmcl" else "all that fits"
    print(f"began with the weights of {run}: {what}; the rest starts anew", flush=True)


def load_network(
    run: Path, weights: str = BEST, to_score: bool = True
) -> tuple[nn.Module, Config, tuple[str, ...]]:
    """The trained network of a run, its settings and classes. to_score: InputError when it has no scores,
    because it learned without labels."""
    config, classes, _ = read_config(run)
    if to_score and config.objective.supervised == 0:
        raise InputError(f"{run}: learned without labels and has no scores; mmcl finetune it first")
    student = network(config, clock_of(config), len(classes), n_channels=channels_of(run))
    checkpoint.load_weights(run / weights, student)
    return student.eval(), config, classes


def front_ends_of(run: Path) -> dict[str, Card]:
    """What made the features that the run was trained on, by modality, where that is known."""
    saved = read_json(run / CONFIG).get("front-ends", {})
    return {m: card_from(card, run / CONFIG) for m, card in saved.items()}


def channels_of(run: Path) -> dict[str, Shape]:
    """What one frame holds that the run's network takes, by modality; of UTD-MHAD's own sensors nothing."""
    return read_json(run / CONFIG).get("channels", {})


def same_front_ends(run: Path, task: Task) -> None:
    """Raises InputError when the task's features were made by another front-end than the run's."""
    known = front_ends_of(run)
    for m, card in task.front_ends.items():
        found = m in known and known[m].differs_from(card)
        if found:
            raise InputError(f"{run}: was trained on {m} features of another front-end ({found} of these)")


def device_of(name: str) -> torch.device:
    """The device of that name; InputError when this machine has none such."""
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"--device {name}: not usable here ({str(error).splitlines()[0]}); use cpu"
        ) from error


def evaluate_on(
    student: nn.Module,
    config: Config,
    task: Task,
    part: str,
    device: torch.device | str = "cpu",
    without: str = "",
) -> dict[str, float]:
    """without: a modality to leave out of all recordings."""
    left = [m for m in config.bags.modalities if m != without]
    recordings = getattr(task, part)
    if config.objective.supervised == 0:  # nothing was learned from labels: judge what was learned
        if without:
            raise InputError(
                "--without: a run without labels has no joint score; mmcl probe --modalities tells"
            )
        return judge_representation(student, task.train, recordings, clock_of(config), device)
    judge = scorer(student, config, task.classes, device)
    seen = [r.only(left) for r in recordings] if without else recordings
    return task.judge(recordings, list(judge.score(seen)), judge.clock)


def evaluate(
    run: Path,
    data: Path | None = None,
    part: str = "test",
    weights: str = "best",
    device: str = "cpu",
    without: str = "",
) -> dict[str, float]:
    """Figures of a run, computed anew; written into its metrics.json when it is finished and these
    are the data it was trained on. without: a modality to leave out of all recordings; not written."""
    where = device_of(device)
    student, config, _ = load_network(run, {"best": BEST, "last": LAST}[weights], to_score=False)
    needed = (part,) if config.objective.supervised > 0 else ("train", part)
    task = TASKS[config.task](data or data_of(run), config, needed)
    same_front_ends(run, task)
    if not getattr(task, part):
        raise InputError(f"{run}: this run has no {part} part; it was trained without held-out subjects")
    if without and (without not in config.bags.modalities or len(config.bags.modalities) == 1):
        raise InputError(f"--without {without}: the run's modalities are {', '.join(config.bags.modalities)}")
    figures = evaluate_on(student.to(where), config, task, part, where, without)
    on_own_data = data is None or data.resolve() == read_config(run)[2]
    if not (run / METRICS).exists() or not on_own_data or without:
        return figures  # not finished: it writes its figures itself; other data's are not the run's
    known = read_figures(run / METRICS)
    tag = part if weights == "best" else f"{part}, last epoch,"
    write_json(run / METRICS, {**known, **{f"{tag} {k}": v for k, v in figures.items()}})
    return figures
