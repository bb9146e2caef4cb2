"""What several commands have."""

from __future__ import annotations

from typing import Annotated

import tyro

Debug = Annotated[bool, tyro.conf.arg(help="Show the traceback of an error.")]


def print_figures(title: str, figures: dict[str, float]) -> None:
    width = max(len(k) for k in figures)
    print(title)
    for name, value in figures.items():
        print(f"  {name:{width}}  {value:.4f}")
