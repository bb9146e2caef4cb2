"""The training state on the disk: written whole or not at all, read without running code from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mmcl.errors import FileError
from mmcl.io import atomic_write, check_regular, first_line


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """The whole state of training: tensors, numbers, strings, lists and dicts of them."""
    atomic_write(path, lambda file: torch.save(dict(state), file))


def load_state(path: Path) -> dict[str, Any]:
    """Read a training state; no code of the file is run.

    Raises:
        FileError: The file is missing or unreadable.
    """
    check_regular(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FileError(path, "no such file", "start without --resume") from None
    except Exception as error:
        raise FileError(
            path,
            f"not a training state of mmcl ({first_line(error)})",
            "start again without --resume in another --out",
        ) from error
