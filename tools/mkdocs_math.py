"""A hook of mkdocs: formulas between dollars become MathML, which browsers show without any script."""

from __future__ import annotations

import re
from typing import Any

from latex2mathml.converter import convert

CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.S)
MATH = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", re.S)
SIZES = re.compile(r"\\(?:[Bb]ig[lr]?)(?![A-Za-z])")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with MathML in place of LaTeX; code is left as it is."""
    parts = CODE.split(markdown)
    return "".join(part if i % 2 else MATH.sub(_mathml, part) for i, part in enumerate(parts))


def _mathml(match: re.Match[str]) -> str:
    shown, inline = match.groups()
    formula = SIZES.sub("", shown or inline)
    return convert(formula, display="block" if shown else "inline")
