"""The one error type that users see: what is wrong, where, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ONE_LINE = {ord("\n"): "\\n", ord("\r"): "\\r"}  # names and cells may hold line breaks


class InputError(ValueError):
    """Bad input of any kind: a file, an option, a folder, a checkpoint.

    The command line prints it as one line and exits with 1; libraries may catch it.

    Example:
        >>> isinstance(InputError("--optim.epochs: expected at least 1, got 0"), ValueError)
        True
    """


class FileError(InputError):
    """Bad input in one file or folder, which the message names.

    Args:
        path: The file or folder.
        problem: What is wrong with it.
        remedy: What to do about it.

    Example:
        >>> str(FileError("a.npy", "is empty", "copy it again"))
        'a.npy: is empty; copy it again'
    """

    def __init__(self, path: str | Path, problem: str, remedy: str):
        self.path, self.parts, self._given = Path(path), (problem, remedy), (path, problem, remedy)
        super().__init__(f"{path}: {problem}; {remedy}".translate(ONE_LINE))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._given  # sent from one process to another


class DiskFullError(FileError):
    """Nothing more can be written: a job of many files ends."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends commands as Ctrl-C does, with the exit status 143."""
