"""A JSON object a line, into a file or on standard output."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import IO

from mmcl.errors import FileError
from mmcl.live.outputs._base import Message, Output


class JsonLines(Output):
    """Messages as lines.

    Args:
        path: Of a file that is added to; None = standard output.

    Raises:
        FileError: The file cannot be written.
    """

    def __init__(self, path: Path | None):
        self.path = path
        try:
            self.file: IO[str] = sys.stdout if path is None else open(path, "a", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise FileError(path or "-", f"cannot be written ({error.strerror})", "choose another --out") from error

    def send(self, message: Message) -> None:
        """See ``Output.send``; raises FileError on a full disk."""
        try:
            self.file.write(json.dumps(message, allow_nan=False) + "\n")
            self.file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise FileError(self.path or "-", f"cannot be written ({error.strerror})", "make room") from error

    def close(self) -> None:
        """See ``Output.close``."""
        if self.path is not None:
            self.file.close()
