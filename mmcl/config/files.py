"""Settings from and to files: JSON of runs, YAML or JSON that a user writes."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from mmcl.errors import FileError, InputError

T = TypeVar("T")


def to_dict(config: Any) -> dict[str, Any]:
    """Nested dicts of a configuration, ready for JSON.

    Example:
        >>> from mmcl.config import OptimConfig
        >>> to_dict(OptimConfig())["epochs"]
        20
    """
    return dataclasses.asdict(config)


def override(config: T, values: Mapping[str, Any]) -> T:
    """A copy with some settings replaced, each named by its path.

    Args:
        config: A configuration.
        values: ``{"loss.semibag.beta": 1.0}``.

    Raises:
        InputError: A path names no setting.

    Example:
        >>> from mmcl.config import RunConfig
        >>> override(RunConfig(), {"loss.semibag.beta": 0.5, "seed": 3}).loss.semibag.beta
        0.5
    """
    here: dict[str, Any] = {}
    below: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        name, _, rest = path.partition(".")
        if not hasattr(config, name):
            raise InputError(f"{path}: {type(config).__name__} has no setting '{name}'")
        if rest:
            below.setdefault(name, {})[rest] = value
        else:
            here[name] = value
    for name, inner in below.items():
        here[name] = override(here.get(name, getattr(config, name)), inner)
    return dataclasses.replace(config, **here)  # type: ignore[type-var]


def from_dict(cls: type[T], values: Mapping[str, Any], where: Path | str, base: T | None = None) -> T:
    """A configuration from nested dicts.

    Args:
        cls: Its dataclass.
        values: Its settings; all of them, unless ``base`` has the others.
        where: Names the file in errors.
        base: Settings that ``values`` may leave out.

    Raises:
        InputError: A setting is unknown, missing or of another type.

    Example:
        >>> from mmcl.config import OptimConfig
        >>> from_dict(OptimConfig, {"epochs": 3}, "my.yaml", OptimConfig()).epochs
        3
    """
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise InputError(f"{where}: unknown setting '{unknown[0]}' of {cls.__name__}")
    missing = sorted(set(hints) - set(values))
    if missing and base is None:
        raise InputError(f"{where}: setting '{missing[0]}' of {cls.__name__} is missing")
    settings: dict[str, Any] = {}
    for name, value in values.items():
        hint = hints[name]
        default = None if base is None else getattr(base, name)
        section = type(default) if dataclasses.is_dataclass(default) else hint
        if dataclasses.is_dataclass(section) and isinstance(section, type):
            if not isinstance(value, Mapping):
                raise InputError(f"{where}: '{name}' holds {value!r}, expected settings by name")
            settings[name] = from_dict(section, value, where, default)
            continue
        value = tuple(value) if isinstance(value, list) else value
        if not fits(value, hint):
            raise InputError(f"{where}: '{name}' holds {value!r}, expected {describe_type(hint)}")
        settings[name] = value
    return cls(**settings) if base is None else dataclasses.replace(base, **settings)  # type: ignore[type-var]


def fits(value: Any, hint: Any) -> bool:
    """Is a value of JSON of the annotated type?

    Example:
        >>> fits(1, float), fits("1", int), fits((1, 2), tuple[int, ...])
        (True, False, True)
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return value in args
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, a) for a in args)
    if origin is tuple:
        inner = args[:1] * len(value) if isinstance(value, tuple) and args[1:] == (...,) else args
        return isinstance(value, tuple) and len(value) == len(inner) and all(map(fits, value, inner))
    if origin is dict:
        return isinstance(value, dict) and all(fits(k, args[0]) and fits(v, args[1]) for k, v in value.items())
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is hint


def describe_type(hint: Any) -> str:
    """A type for an error.

    Example:
        >>> describe_type(Literal["a", "b"])
        'one of a, b'
    """
    if typing.get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, typing.get_args(hint)))}"
    return str(getattr(hint, "__name__", hint)) if typing.get_origin(hint) is None else str(hint)


def read_config_file(path: Path) -> dict[str, Any]:
    """The settings in a YAML or JSON file, or in a run's ``config.json``.

    Raises:
        FileError: The file cannot be read, or holds no settings by name.

    Example:
        >>> import json, tempfile
        >>> path = Path(tempfile.mkdtemp()) / "settings.json"
        >>> _ = path.write_text(json.dumps({"optim": {"epochs": 3}}))
        >>> read_config_file(path)["optim"]
        {'epochs': 3}
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except FileNotFoundError:
        raise FileError(path, "no such file", "check the path") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise FileError(path, f"not readable as YAML or JSON ({reason})", "repair the file") from error
    if isinstance(content, dict) and isinstance(content.get("config"), dict):  # of a run
        from mmcl.config.migrations import migrate

        content = migrate(content, path)["config"]
    if not isinstance(content, dict):
        raise FileError(path, "holds no settings by name", "expected sections such as optim: {epochs: 5}")
    return content
