"""What commands print: names come from files, and must not steer the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

from mmcl.io import escape_controls

LAYOUT = "\n\r\t"  # of our own lines and progress bars


class SafeStream:
    """A text stream that escapes control characters.

    Args:
        stream: Where the text goes; everything else is asked of it.

    Example:
        >>> _ = SafeStream(sys.stdout).write("a" + chr(27) + "[2Jb")
        a\\x1b[2Jb
    """

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text, its control characters escaped."""
        self._stream.write(escape_controls(text, LAYOUT))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def safe_output() -> Iterator[None]:
    """Standard output and standard error escape control characters."""
    out, err = (s if s is None else SafeStream(s) for s in (sys.stdout, sys.stderr))
    with redirect_stdout(out), redirect_stderr(err):
        yield
