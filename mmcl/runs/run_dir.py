"""A run's folder: what is in it and how it is read again.

config.json        every setting, the seed, versions, classes, inputs
state.pt           the whole state of training, to resume from
best.safetensors   the selected epoch's weights (the last epoch's, without validation)
last.safetensors   the last epoch's weights
history.json       losses and validation metrics of every epoch
metrics.json       every metric by name
"""

from __future__ import annotations

import hmac
import os
import platform
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

import mmcl
from mmcl.config.files import from_dict, override, to_dict
from mmcl.config.migrations import SCHEMA_VERSION, migrate
from mmcl.config.schema import RunConfig
from mmcl.config.validation import check_model, check_ranges
from mmcl.data.columns import having
from mmcl.data.signal_ranges import Ranges, signal_ranges
from mmcl.data.snippet_grid import create_grid
from mmcl.datasets import Dataset, DataSplits, get_dataset
from mmcl.errors import FileError, InputError
from mmcl.features.cards import ExtractorCard, card_from_dict
from mmcl.features.weights import cache_folder, sha256_of
from mmcl.io import atomic_write, first_line, read_json
from mmcl.readers.kinds import get_kind
from mmcl.types import InputSpec, SnippetGrid

CONFIG, STATE, HISTORY, HISTOGRAMS = "config.json", "state.pt", "history.json", "histograms.json"
BEST, LAST, METRICS = "best.safetensors", "last.safetensors", "metrics.json"
MAX_CHANNELS = 1_000_000
KEY = "key"  # in the cache folder: this user's
WITHOUT_PATHS: dict[str, Any] = {"loss.distill.teacher_run": "", "features.cache": ""}


@dataclass(frozen=True)
class RunInfo:
    """What ``config.json`` of a run says.

    Attributes:
        config: Every setting.
        classes: Names of the classes.
        inputs: What the network takes of each modality.
        extractors: What made the features it was trained on, where it is known.
        data: What it was trained on; None of imported and shared models.
        ranges: Of the training signals (``data.signal_ranges``).
        is_own: Was it trained by this user? Paths in other runs' settings are not read.
        start_from: The run whose weights it began with.
        processes: That trained it.
        n_lacking: Of each modality, how many training recordings lacked it.
        recordings_sha256: ``RecordingIndex.sha256`` of its data.
        weights_sha256: Of the starting run and of the teacher, by option.
    """

    config: RunConfig
    classes: tuple[str, ...]
    inputs: Mapping[str, InputSpec]
    extractors: Mapping[str, ExtractorCard] = field(default_factory=dict)
    data: Path | None = None
    start_from: Path | None = None
    processes: int = 1
    n_lacking: Mapping[str, int] = field(default_factory=dict)
    is_own: bool = False
    ranges: Ranges = field(default_factory=dict)
    recordings_sha256: str = ""
    weights_sha256: Mapping[str, str] = field(default_factory=dict)

    @property
    def own_data(self) -> Path | None:
        """What it was trained on, if this user trained it."""
        return self.data if self.is_own else None

    @property
    def dataset(self) -> Dataset:
        """Its data set."""
        return get_dataset(self.config.dataset)

    @property
    def grid(self) -> SnippetGrid:
        """How it cuts recordings into snippets."""
        return create_grid(self.config.snippets, {m: spec.kind for m, spec in self.inputs.items()})

    @property
    def has_scores(self) -> bool:
        """Did it learn from labels?"""
        return self.config.loss.mil.weight > 0


def describe_run(config: RunConfig, splits: DataSplits, data: Path, start_from: Path | None = None) -> dict[str, Any]:
    """What is saved as config.json: enough to repeat the run and to use its network."""
    return {
        "schema_version": SCHEMA_VERSION,
        **versions(),
        "processes": world_size_asked(),
        "data": str(data.resolve()),
        "signature": sign(str(data.resolve())),
        "start_from": None if start_from is None else str(start_from.resolve()),
        "classes": list(splits.classes),
        "inputs": {m: asdict(spec) for m, spec in splits.inputs.items()},
        "extractors": {m: asdict(card) for m, card in splits.extractors.items()},
        "ranges": signal_ranges(splits.train, splits.inputs),
        "lacking": {m: int((~having(splits.train, m)).sum()) for m in splits.inputs},
        "recordings": {s: len(splits.of(s)) for s in ("train", "validation", "test")},
        "recordings_sha256": splits.recordings_sha256,
        "weights_sha256": _weights_sha256(config, start_from),
        "config": to_dict(config),
    }


def _weights_sha256(config: RunConfig, start_from: Path | None) -> dict[str, str]:
    """Of the starting run and of the teacher, by option."""
    teacher = config.loss.distill.teacher_run
    runs = {"--start-from": start_from, "--loss.distill.teacher-run": Path(teacher) if teacher else None}
    return {option: sha256_of(run / BEST) for option, run in runs.items() if run and (run / BEST).is_file()}


def versions() -> dict[str, str]:
    """Of mmcl, torch and Python."""
    return {"mmcl": mmcl.__version__, "torch": torch.__version__, "python": platform.python_version()}


def read_saved(run: Path) -> dict[str, Any]:
    """The content of a run's config.json in the present version.

    Raises:
        FileError: It is missing, or not a run's.
    """
    path = run / CONFIG
    return migrate(read_json(path), path)


def read_run(run: Path, as_saved: bool = False) -> RunInfo:
    """What is known of a run. Without the paths that its settings name, where another user trained it.

    Args:
        run: Folder of a run, or of an imported or shared model.
        as_saved: With these paths, to compare them.

    Raises:
        InputError: Its config.json is missing or not as expected.
    """
    path = run / CONFIG
    saved = read_saved(run)
    try:
        dataset = get_dataset(saved["config"]["dataset"])
        base = RunConfig(data=dataset.Config())
        config: RunConfig = from_dict(RunConfig, _complete(saved["config"], path), path, base)
        check_ranges(config)
        check_model(config.model)
        inputs = {m: _input_spec(spec) for m, spec in saved["inputs"].items()}
        _ = {
            m: InputSpec(spec["kind"], tuple(spec["shape"]), tuple(spec.get("channels", ())))
            for m, spec in saved["inputs"].items()
        }
        extractors = {m: card_from_dict(card, path) for m, card in saved["extractors"].items()}
        is_own = is_signed(saved["data"], saved.get("signature", ""))
        if not is_own and not as_saved:
            config = override(config, WITHOUT_PATHS)
        return RunInfo(
            config,
            _names(saved["classes"]),
            inputs,
            extractors,
            Path(saved["data"]) if saved["data"] else None,
            Path(saved["start_from"]) if saved.get("start_from") else None,
            saved.get("processes", 1),
            saved.get("lacking", {}),
            is_own,
            saved.get("ranges", {}),
            saved.get("recordings_sha256", ""),
            saved.get("weights_sha256", {}),
        )
    except FileError:
        raise
    except InputError as error:
        what = str(error)
        raise InputError(what if what.startswith(str(path)) else f"{path}: {what}") from error
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise FileError(
            path, f"not the settings of a run ({first_line(error)})", "is this a folder that mmcl train made?"
        ) from error


def _input_spec(saved: Mapping[str, Any]) -> InputSpec:
    shape, channels = saved["shape"], saved.get("channels", [])
    if not shape or not all(type(n) is int and 0 < n <= MAX_CHANNELS for n in shape) or len(shape) > 2:
        raise ValueError(f"an input of shape {shape!r}")
    if not all(isinstance(name, str) for name in channels):
        raise ValueError(f"channels {channels!r}")
    get_kind(saved["kind"])
    return InputSpec(saved["kind"], tuple(shape), tuple(channels))


def _names(saved: Any) -> tuple[str, ...]:
    if not isinstance(saved, list) or not saved or not all(isinstance(name, str) for name in saved):
        raise ValueError(f"classes {saved!r}")
    return tuple(saved)


def _complete(values: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """A run's settings leave nothing to defaults, which another version may change."""
    missing = [s for s in to_dict(RunConfig()) if s not in values]
    if missing:
        raise FileError(path, f"lacks the settings '{missing[0]}'", "made by another version of mmcl?")
    return values


def data_of(run: Path) -> Path:
    """What the run was trained on.

    Raises:
        InputError: It is an imported or shared model, or one that another user trained.
    """
    info = read_run(run)
    if info.own_data is None:
        what = "was not trained by you" if info.data else "a shared or imported model has no data of its own"
        raise InputError(f"{run}: {what}; give --data")
    return info.own_data


def check_holds_no_run(folder: Path) -> None:
    """Results do not go into the folder of a run, whose files they could replace.

    Raises:
        FileError: It holds a run or a model.
    """
    if (folder / CONFIG).exists() or any((folder / name).exists() for name in (BEST, STATE)):
        raise FileError(folder, "holds a run", "choose another --out, such as a folder in it")


def sign(text: str) -> str:
    """A signature by a key of this user's, which is made where there is none; "" where it cannot be."""
    path = cache_folder() / KEY
    try:
        if not path.exists():
            atomic_write(path, lambda temporary: temporary.write_bytes(secrets.token_bytes(32)), private=True)
        return hmac.new(path.read_bytes(), text.encode(), "sha256").hexdigest()
    except (OSError, FileError):
        return ""


def is_signed(text: str, signature: str) -> bool:
    """Is the signature of this text by this user?"""
    return bool(signature) and (cache_folder() / KEY).exists() and hmac.compare_digest(sign(text), signature)


def prepare_run_dir(out: Path, config: RunConfig, data: Path, resume: bool, start_from: Path | None = None) -> None:
    """Make the folder of a run. Neither overwrite a run, nor resume one with other settings, weights, data or
    processes.

    Raises:
        FileError: Naming what differs.
    """
    if resume and (out / CONFIG).exists():
        before = read_run(out, as_saved=True)
        do = "resume with the same, or train into another --out"
        if before.config != config:
            difference = describe_difference(before.config, config)
            raise FileError(out / CONFIG, f"the run was made with other settings ({difference})", do)
        if before.data != data.resolve():
            raise FileError(out / CONFIG, f"the run was made on {before.data}, not on {data.resolve()}", do)
        begin = start_from and start_from.resolve()
        if before.start_from != begin:

            def weights_of(run: Path | None) -> str:
                return f"the weights of {run}" if run else "weights of its own"

            raise FileError(
                out / CONFIG, f"the run began with {weights_of(before.start_from)}, not with {weights_of(begin)}", do
            )
        weights = _weights_sha256(config, start_from)
        for option, sha256 in before.weights_sha256.items():
            if weights.get(option, sha256) != sha256:
                raise FileError(
                    out / CONFIG, f"the run began with other weights of {option}, which was trained anew", do
                )
        if before.processes != world_size_asked():
            raise FileError(
                out / CONFIG, f"the run was made by {before.processes} processes, not {world_size_asked()}", do
            )
    left = [name for name in (STATE, BEST, METRICS) if (out / name).exists()]
    if left and not resume:
        raise FileError(out, "already holds a run", "continue it with --resume or choose another --out")
    if left and STATE not in left and METRICS not in left and not (out / CONFIG).exists():
        raise FileError(out / STATE, f"is missing beside {left[0]}", "nothing to resume from; choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / ".lock").touch()
    except OSError as error:
        raise FileError(out, f"cannot be written ({error.strerror})", "choose another --out") from error


def describe_difference(before: RunConfig, now: RunConfig) -> str:
    """The first setting in which two configurations differ.

    Example:
        >>> describe_difference(RunConfig(seed=0), RunConfig(seed=1))
        'seed: 0, now 1'
    """

    def first(a: Mapping[str, Any], b: Mapping[str, Any], prefix: str) -> str:
        for name, value in a.items():
            other = b.get(name)
            if isinstance(value, dict) and isinstance(other, dict) and value != other:
                return first(value, other, f"{prefix}{name}.")
            if value != other:
                return f"{prefix}{name}: {value}, now {other}"
        return "?"

    return first(to_dict(before), to_dict(now), "")


def world_size_asked() -> int:
    """Processes that torchrun or Accelerate's launcher was asked for."""
    return int(os.environ.get("WORLD_SIZE", 1))
