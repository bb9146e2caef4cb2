"""Components and encoders as settings name them: ``name(key=value, ...)*weight``."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mmcl.errors import InputError


@dataclass(frozen=True)
class Spec:
    """What a setting names: a class, options, and a weight or None.

    Example:
        >>> Spec("std-hinge", {}, 0.5).weight
        0.5
    """

    name: str
    options: Mapping[str, Any]
    weight: float | None = None


def split_specs(texts: Iterable[str]) -> list[str]:
    """Specs separated by commas outside of brackets, or given one by one.

    Example:
        >>> split_specs(["cluster-count(n_clusters=9, n_clusterings=2),concentration"])
        ['cluster-count(n_clusters=9, n_clusterings=2)', 'concentration']
    """
    specs: list[str] = []
    for text in texts:
        depth, start = 0, 0
        for i, c in enumerate(text):
            depth += (c == "(") - (c == ")")
            if c == "," and depth == 0:
                specs.append(text[start:i])
                start = i + 1
        specs.append(text[start:])
    return [p.strip() for p in specs if p.strip()]


def parse_spec(text: str) -> Spec:
    """One spec.

    Raises:
        InputError: The text has another form.

    Example:
        >>> parse_spec("cluster-count(n_clusters=20)").options
        {'n_clusters': 20}
        >>> parse_spec("std-hinge*0.5").weight
        0.5
    """
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
        raise InputError(f"{text}: expected NAME, NAME(key=value, ...) or NAME*WEIGHT") from None
