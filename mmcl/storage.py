"""Files written whole or not at all, and what is read back from JSON."""

from __future__ import annotations

import errno
import glob
import json
import math
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from mmcl.errors import FileError, InputError

MARGIN_BYTES = 1 << 18


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write to a neighbour, flush it to the disk, then rename: ``path`` is never half written."""
    part = path.with_name(f".{path.name[:150]}.{os.getpid()}-{secrets.token_hex(3)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_over(path)
        write(part)
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError, SafetensorError) as error:
        number = getattr(error, "errno", None)
        # torch's own writer does not tell why it failed: look at the disk, half file still on it
        full = (
            number in (errno.ENOSPC, errno.EDQUOT)
            or "No space" in str(error)
            or _free_bytes(path) < MARGIN_BYTES
        )
        with suppress(OSError):
            part.unlink(missing_ok=True)
        found = "the disk is full" if full else f"cannot be written ({first_line(error)})"
        raise FileError(
            path,
            found,
            "what was saved before is intact; make room or choose another --out",
        ) from error


def check_writable(folder: Path) -> None:
    """Raises FileError when nothing can be written into the folder, which is made where it lacks."""
    probe = folder / ".mmcl-probe"
    write_whole(probe, lambda part: part.touch())
    probe.unlink()


def _remove_left_over(path: Path) -> None:
    """Half files of writers that were killed: nobody has touched them for an hour."""
    for part in path.parent.glob(f".{glob.escape(path.name[:150])}.*.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > 3600:
                part.unlink()


def _free_bytes(path: Path) -> int:
    return shutil.disk_usage(path.parent).free if path.parent.exists() else MARGIN_BYTES


def write_json(path: Path, content: Any) -> None:
    """Numbers that are not finite become null: JSON has no others."""
    text = json.dumps(_finite(content), indent=2, allow_nan=False)
    write_whole(path, lambda part: part.write_text(text + "\n"))


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {k: _finite(v) for k, v in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(v) for v in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def read_figures(path: Path) -> dict[str, float]:
    """Figures by name, as ``metrics.json`` holds them."""
    content = read_json(path)
    if not isinstance(content, dict) or not all(isinstance(v, (int, float)) for v in content.values()):
        raise FileError(path, "holds no figures by name", "restore the file, or mmcl evaluate the run")
    return content


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        do = "is this the folder of a run that mmcl train made, and has the run ended? (--resume goes on)"
        raise FileError(path, "no such file", do) from None
    except (OSError, ValueError) as error:
        raise FileError(path, f"not readable as JSON ({error})", "restore the file or train again") from error


def first_line(error: Exception) -> str:
    """An error's first line, for a message of one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def why_failed(name: str, error: Exception) -> str:
    """One line for a file of many that failed; it begins with the file's name."""
    if isinstance(error, InputError):
        return first_line(error)
    if isinstance(error, MemoryError):
        return f"{name}: not enough memory"
    return f"{name}: unexpected {type(error).__name__}: {first_line(error)}"


def printable(name: str) -> str:
    """A file's name as text, whatever bytes it holds."""
    return os.fsencode(name).decode("utf-8", "replace")


def first_misfit(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """The first entry of a state dict that is missing, too many or of another shape, for a message; empty
    when all fit."""
    say = lambda t: "missing" if t is None else f"of shape {tuple(t.shape)}"
    for name in [*expected, *found]:
        here, there = found.get(name), expected.get(name)
        if here is None or there is None or here.shape != there.shape:
            return f"'{name}' is {say(here)} in the file and {say(there)} in the network"
    return ""
