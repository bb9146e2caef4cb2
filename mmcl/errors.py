"""The one error type that users see: what is wrong, where, and what to do about it."""

from __future__ import annotations

import select
import sys
from pathlib import Path


class InputError(Exception):
    """Bad input of any kind: a file, an option, a folder, a checkpoint.

    The command line prints it as one line and exits with 1; libraries may catch it.
    """


class FileError(InputError):
    """Bad input that sits in one file or folder, which the message names."""

    def __init__(self, path: str | Path, found: str, do: str):
        self.path, self.parts = Path(path), (found, do)
        super().__init__(f"{path}: {found}; {do}")


def reader_is_gone(error: Exception) -> bool:
    """Did it come of a standard output that nobody reads any more (``| head``)? Then it is none of ours."""
    if not isinstance(error, BrokenPipeError) or sys.stdout is None:
        return False
    watch = select.poll()
    watch.register(sys.stdout.fileno(), 0)  # errors are told unasked
    return bool(watch.poll(0))
