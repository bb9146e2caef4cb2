"""Fields with a smallest and a largest value."""

from __future__ import annotations

import math
from dataclasses import field
from typing import Any

INF = math.inf


def limited(default: Any, low: float, high: float = INF) -> Any:
    """A field whose value lies between ``low`` and ``high``.

    Example:
        >>> limited(0.1, 0, 1).metadata["limits"]
        (0, 1)
    """
    return field(default=default, metadata={"limits": (low, high)})
