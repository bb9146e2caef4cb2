"""Classes by name: the folder is the registry.

A folder's modules define a class each; the class is named as its module, ``within-group`` for ``within_group.py``.
Modules that begin with an underscore are shared by them. Other packages add classes by an entry point, or are named
directly, ``package.module:Class``.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from mmcl.errors import InputError


@dataclass(frozen=True)
class Registry:
    """The classes of a folder and of other packages.

    Args:
        package: The folder, ``mmcl.models.encoders``.
        group: Group of the entry points, ``mmcl.encoders``.
        noun: What a class is, for errors.
        prefix: Beginning of the names of entry points that belong to this folder.

    Example:
        >>> registry = Registry("mmcl.losses.contrastive.targets", "mmcl.components", "target", "targets.")
        >>> registry.names()
        ['label-overlap', 'soft-teacher', 'supcon']
        >>> registry.resolve("supcon").__name__
        'SupCon'
    """

    package: str
    group: str
    noun: str
    prefix: str = ""

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(_where(self.package, self.group, self.prefix))

    def resolve(self, name: str) -> Callable[..., Any]:
        """The class of that name.

        Args:
            name: One of ``names()``, or ``package.module:Class``.

        Raises:
            InputError: The name is unknown, or cannot be imported.
        """
        where = _where(self.package, self.group, self.prefix).get(name, name if ":" in name else "")
        if not where:
            raise InputError(
                f"{self.noun} {name!r}: expected one of {', '.join(self.names())}, or package.module:Class"
            )
        module_name, _, attribute = where.partition(":")
        try:
            module = importlib.import_module(module_name)
            return getattr(module, attribute) if attribute else _only_class(module)
        except (ImportError, AttributeError) as error:
            raise InputError(f"{self.noun} {name!r}: cannot be imported ({error})") from error


@cache
def _where(package: str, group: str, prefix: str) -> dict[str, str]:
    """Each name's module, or ``module:Class``."""
    folder = importlib.import_module(package)
    places = {
        info.name.replace("_", "-"): f"{package}.{info.name}"
        for info in pkgutil.iter_modules(folder.__path__)
        if not info.ispkg and not info.name.startswith("_")
    }
    for point in entry_points(group=group):
        if point.name.startswith(prefix):
            places[point.name.removeprefix(prefix)] = point.value
    return places


def _only_class(module: Any) -> Callable[..., Any]:
    """The public class that a module defines; of several, the one that ``__all__`` names."""
    named = getattr(module, "__all__", None)
    defined = [
        v
        for k, v in vars(module).items()
        if inspect.isclass(v) and v.__module__ == module.__name__ and not k.startswith("_")
        if named is None or k in named
    ]
    if len(defined) != 1:
        raise ImportError(f"{module.__name__} defines {len(defined)} classes, expected one")
    return defined[0]


def construct(cls: Callable[..., Any], noun: str, options: Mapping[str, Any], offered: Mapping[str, Any]) -> Any:
    """An instance with the options that are given and, of what is offered, what its constructor takes.

    Args:
        cls: A class.
        noun: Names it in errors.
        options: Given by the user; an option that the constructor lacks is an error.
        offered: ``dim``, ``temperature`` ...

    Raises:
        InputError: The constructor does not take the options.

    Example:
        >>> construct(complex, "complex", {"real": 1}, {"imag": 2, "dim": 8})
        (1+2j)
    """
    accepted = inspect.signature(cls).parameters
    try:
        return cls(**{**{k: v for k, v in offered.items() if k in accepted}, **options})
    except TypeError as error:
        raise InputError(f"{noun}: {error}; it takes {', '.join(accepted) or 'nothing'}") from None
