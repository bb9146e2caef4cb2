"""Options and printing that several commands share."""

from __future__ import annotations

from typing import Annotated

import tyro

Debug = Annotated[bool, tyro.conf.arg(help="Show the traceback of an error.")]
Device = Annotated[str, tyro.conf.arg(help="Where to compute: auto (a GPU where there is one), cpu, cuda, cuda:1 ...")]


def print_metrics(title: str, metrics: dict[str, float]) -> None:
    """A title and a line a metric.

    Args:
        title: The first line.
        metrics: By name.

    Example:
        >>> print_metrics("test", {"accuracy": 0.5})
        test
          accuracy  0.5000
    """
    width = max(len(k) for k in metrics)
    print(title)
    for name, value in metrics.items():
        print(f"  {name:{width}}  {value:.4f}")
