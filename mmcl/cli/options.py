"""Options of several commands."""

from __future__ import annotations

from typing import Annotated

import tyro

Debug = Annotated[bool, tyro.conf.arg(help="Show the traceback of an error.")]
Device = Annotated[str, tyro.conf.arg(help="Where to compute: auto (a GPU where there is one), cpu, cuda, cuda:1 ...")]
