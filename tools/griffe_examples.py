"""An extension of griffe: the section that docstrings call Example holds doctests, as Examples does."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

SECTION = re.compile(r"^(\s*)Example:[ ]*$", re.M)


class ExampleSections(Extension):
    """Renames the section while a package is read."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        """Every module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = SECTION.sub(r"\1Examples:", obj.docstring.value)
