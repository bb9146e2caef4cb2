"""Settings of a run as options of a command: what a data set can use, the common ones first, and files of settings."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from mmcl.config.files import from_dict, override, read_config_file, to_dict
from mmcl.config.migrations import CONTRASTS, RENAMED_COMPONENTS, RENAMED_SETTINGS
from mmcl.config.schema import RunConfig
from mmcl.config.specs import parse_spec, split_specs
from mmcl.config.validation import option
from mmcl.datasets import Dataset
from mmcl.errors import InputError

C = TypeVar("C")

# What --help shows; --help-all shows the rest.
COMMON = (
    "seed", "data", "features.visual", "features.audio", "model.dim", "loss.semibag.weight", "loss.snippet.weight",
    "loss.recording.weight", "optim.epochs", "optim.learning_rate", "loader.batch_size", "loader.num_workers",
    "trainer.precision", "trainer.tracker",
)  # fmt: skip

RENAMED_OPTIONS = {  # of commands
    "--draws": "--label-seeds",
    "--first-draw": "--first-seed",
    "--encoder-rate": "--encoder-lr-scale",
    "--part": "--split",
    "--figure": "--metric",
}


def parse_settings(command: type[C], dataset: Dataset, recipe: RunConfig, args: Sequence[str], prog: str) -> C:
    """A command with a complete configuration.

    Args:
        command: Dataclass with the fields ``data``, ``out`` and ``config``.
        dataset: Whose settings.
        recipe: Its settings by default.
        args: Of the command line. ``--config FILE`` comes before single options, ``--help-all`` shows all of these.
        prog: Name of the command.

    Raises:
        InputError: An option was renamed, is not used by the data set, or the file is not as expected.
    """
    left, preset = take_option(args, "--preset", "a name")
    if preset is not None:
        recipe = apply_preset(recipe, dataset, preset)
    left, values = take_config_file(left)
    base = recipe if values is None else from_dict(RunConfig, values, "--config", recipe)
    if base.dataset != recipe.dataset:
        raise InputError(f"--config: is of {base.dataset}, not of {recipe.dataset}")
    unused = ("dataset", *dataset.unused_settings())
    check_options(left, unused, dataset.name)
    show_all = "--help-all" in left
    if show_all or "-h" in left or "--help" in left:
        hidden = unused if show_all else (*unused, *_uncommon(base))
        note = "" if show_all else " Common options only; --help-all shows every one."
        note += "".join(f" --preset {name}: {preset.summary}." for name, preset in dataset.presets().items())
        left = ["--help"]
    else:
        hidden, note = unused, ""
    options = _as_options(base, hidden)
    fields: list[Any] = [
        ("data", Annotated[Path, tyro.conf.arg(help=dataset.data_help)]),
        ("config", Annotated[type(options), tyro.conf.arg(name="")]),
    ]
    namespace = {"__doc__": f"{inspect.cleandoc(command.__doc__ or '')}\n\nHere: {dataset.summary}.{note}"}
    dynamic: Any = dataclasses.make_dataclass(
        command.__name__, fields, bases=(command,), frozen=True, namespace=namespace
    )
    default = dynamic(data=tyro.MISSING, out=tyro.MISSING, config=options)
    parsed = tyro.cli(dynamic, args=left, prog=prog, default=default)
    values_parsed = {f.name: getattr(parsed, f.name) for f in dataclasses.fields(parsed)}
    return command(**{**values_parsed, "config": _plain(parsed.config, base)})


def take_config_file(args: Sequence[str]) -> tuple[list[str], Mapping[str, Any] | None]:
    """The other arguments, and the settings of the file that ``--config`` names, if any.

    Raises:
        InputError: The file is missing or not as expected.

    Example:
        >>> take_config_file(["--out", "run"])
        (['--out', 'run'], None)
    """
    left, path = take_option(args, "--config", "a file")
    return left, None if path is None else read_config_file(Path(path))


def take_option(args: Sequence[str], name: str, value_is: str) -> tuple[list[str], str | None]:
    """The other arguments, and the value of an option, if it is given.

    Args:
        args: Of the command line.
        name: Of the option.
        value_is: What its value is, for the error.

    Raises:
        InputError: The value is missing.

    Example:
        >>> take_option(["--preset", "a", "--out=run"], "--preset", "a name")
        (['--out=run'], 'a')
    """
    left, value = [], None
    items = iter(args)
    for item in items:
        if item == name:
            value = next(items, None)
            if value is None:
                raise InputError(f"{name}: expected {value_is}")
        elif item.startswith(f"{name}="):
            value = item.removeprefix(f"{name}=")
        else:
            left.append(item)
    return left, value


def apply_preset(recipe: RunConfig, dataset: Dataset, name: str) -> RunConfig:
    """The recipe with a preset's settings.

    Raises:
        InputError: The data set has no such preset.

    Example:
        >>> from mmcl.datasets import get_dataset
        >>> xd = get_dataset("xd-violence")
        >>> apply_preset(xd.default_config(), xd, "macil-sd-code").loss.semibag.swap_scores
        True
    """
    presets = dataset.presets()
    if name not in presets:
        raise InputError(f"--preset {name}: expected one of {', '.join(presets) or 'none'} of {dataset.name}")
    return override(recipe, presets[name].settings)


def check_options(args: Sequence[str], unused: Sequence[str], dataset: str) -> None:
    """No option has an old name, or sets what the data set does not use.

    Args:
        args: Of the command line.
        unused: Paths of settings and sections.
        dataset: Its name.

    Raises:
        InputError: With the present name.

    Example:
        >>> check_options(["--optim.epochs", "3"], [], "utd-mhad")
    """
    check_renamed(args)
    for arg in args:
        if not arg.startswith("--") or "." not in arg:
            continue
        path = arg[2:].split("=")[0].replace("-", "_").replace(".no_", ".")
        for name in unused:
            if path == name or path.startswith(f"{name}."):
                raise InputError(f"{arg.split('=')[0]}: {dataset} has no use for this setting")


def check_renamed(args: Sequence[str]) -> None:
    """No option and no component has an old name.

    Raises:
        InputError: With the present name.

    Example:
        >>> check_renamed(["--loss.semibag.negatives", "within-group"])
    """
    for arg in args:
        if not arg.startswith("--"):
            _check_components(arg)
            continue
        name = arg.split("=")[0]
        path = name[2:].replace("-", "_").replace(".no_", ".")
        now = RENAMED_SETTINGS.get(path)
        if now is not None and "CONTRAST" in now:
            options_now = ", ".join(option(now.replace("CONTRAST", c)) for c in CONTRASTS)
            raise InputError(f"{name}: is an option of each contrast now: {options_now}")
        if now is not None:
            raise InputError(f"{name}: is called {option(now)} now")
        if name in RENAMED_OPTIONS:
            raise InputError(f"{name}: is called {RENAMED_OPTIONS[name]} now")


def _check_components(text: str) -> None:
    try:
        names = [parse_spec(t).name for t in split_specs([text])]
    except InputError:
        return
    for name in names:
        if name in RENAMED_COMPONENTS:
            raise InputError(f"{name}: is called {RENAMED_COMPONENTS[name]} now")


def _uncommon(config: RunConfig) -> list[str]:
    """Paths of the settings that ``--help`` leaves out."""
    return [
        path
        for path in _paths(to_dict(config), "")
        if not any(path == name or path.startswith(f"{name}.") for name in COMMON)
    ]


def _paths(values: Mapping[str, Any], prefix: str) -> list[str]:
    paths = []
    for name, value in values.items():
        is_section = isinstance(value, Mapping) and path_is_section(f"{prefix}{name}")
        paths += _paths(value, f"{prefix}{name}.") if is_section else [f"{prefix}{name}"]
    return paths


def path_is_section(path: str) -> bool:
    """Is it a section of settings, not a setting?

    Example:
        >>> path_is_section("loss.mil"), path_is_section("snippets.frames_per_hop")
        (True, False)
    """
    config: Any = RunConfig()
    for name in path.split("."):
        config = getattr(config, name, None)
    return dataclasses.is_dataclass(config)


def _as_options(config: Any, hidden: Sequence[str], prefix: str = "") -> Any:
    """The configuration as an instance of a subclass whose hidden settings are no options."""
    fields: list[Any] = []
    values: dict[str, Any] = {}
    hints = typing.get_type_hints(type(config))
    for item in dataclasses.fields(config):
        path, value = f"{prefix}{item.name}", getattr(config, item.name)
        values[item.name] = value
        if _is_hidden(path, value, hidden):
            hint: Any = hints[item.name]
            fields.append((item.name, Annotated[hint, tyro.conf.Suppress], dataclasses.field(default=value)))
        elif dataclasses.is_dataclass(value):
            section = values[item.name] = _as_options(value, hidden, f"{path}.")
            fields.append((item.name, type(section), dataclasses.field(default=section)))
    cls = type(config)
    summary = (cls.__doc__ or "").split("\n")[0]
    dynamic = dataclasses.make_dataclass(
        cls.__name__, fields, bases=(cls,), frozen=True, namespace={"__doc__": summary}
    )
    return dynamic(**values)


def _is_hidden(path: str, value: Any, hidden: Sequence[str]) -> bool:
    """Is the setting, or every setting of the section, hidden?"""
    if path in hidden:
        return True
    if not dataclasses.is_dataclass(value):
        return False
    fields = dataclasses.fields(value)
    return all(_is_hidden(f"{path}.{f.name}", getattr(value, f.name), hidden) for f in fields)


def _plain(parsed: Any, base: Any) -> Any:
    """The configuration of the original classes."""
    values = {}
    for item in dataclasses.fields(base):
        before, now = getattr(base, item.name), getattr(parsed, item.name)
        values[item.name] = _plain(now, before) if dataclasses.is_dataclass(before) else now
    return type(base)(**values)
