"""One training at a time in a run's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

from mmcl.errors import FileError


@contextmanager
def run_lock(out: Path) -> Iterator[None]:
    """Keeps a second training out of the folder. The system drops the lock with the process, and workers that outlive a
    killed one for a moment do not hold it.

    Raises:
        FileError: Another process trains into it.
    """
    if fcntl is None or int(os.environ.get("RANK", 0)) != 0:
        yield
        return
    with open(out / ".lock", "w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FileError(out, "is being trained into by another process", "choose another --out") from None
        yield
