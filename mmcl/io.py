"""Files written whole or not at all, and what is read back from JSON."""

from __future__ import annotations

import errno
import glob
import json
import math
import os
import secrets
import select
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from safetensors import SafetensorError

from mmcl.errors import DiskFullError, FileError, InputError

MARGIN_BYTES = 1 << 18
MAX_NAME = 200  # bytes, so that endings fit behind it
MAX_METRIC = 1e300
PROBE = 1 << 16  # bytes, that a folder which can be written takes
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}  # of Windows
TURNING = "\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # the order of what follows

_printed: set[str] = set()  # lines of print_once


def atomic_write(path: Path, write: Callable[[Path], object], private: bool = False) -> None:
    """Write to a neighbour, flush it to the disk, then rename: ``path`` is never half written.

    Args:
        path: The file.
        write: Writes to the path that it is given.
        private: No other user may read it; else the umask says who may.

    Raises:
        FileError: The file cannot be written; what was there before is as it was.
    """
    temporary = path.with_name(f".{_stem(path)}.{os.getpid()}-{secrets.token_hex(3)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_over(path)
        mode = _create(temporary, 0o600 if private else 0o666)
        write(temporary)
        os.chmod(temporary, mode)  # some writers make files that only their user may read
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError, SafetensorError) as error:
        failure = write_failure(path, error)  # looks at the disk, half file still on it
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise failure from error
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_failure(path: Path, error: Exception) -> FileError:
    """What a file that could not be written is told as: a full disk ends a job, another fault concerns the file.

    Args:
        path: The file.
        error: Of the operating system, or of a library that writes: not all say why they failed.
    """
    number = getattr(error, "errno", None)
    full = number in (errno.ENOSPC, errno.EDQUOT) or "No space" in str(error) or _free_bytes(path) < MARGIN_BYTES
    kind = DiskFullError if full else FileError
    problem = "the disk is full" if full else f"cannot be written ({first_line(error)})"
    return kind(path, problem, "what was saved before is intact; make room or choose another --out")


def check_writable(folder: Path) -> None:
    """Make the folder where it does not exist, and try to write into it.

    Raises:
        FileError: It is a file, or nothing can be written into it.
    """
    if folder.exists() and not folder.is_dir():
        raise FileError(folder, "is a file", "expected a folder; choose another --out")
    probe = folder / ".mmcl-probe"
    try:
        atomic_write(probe, lambda temporary: temporary.write_bytes(bytes(PROBE)))
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def place_below(folder: Path, name: str) -> Path:
    """A file's place in a folder of results.

    Args:
        folder: Of the results.
        name: Of the file, with subfolders.

    Raises:
        FileError: It would lie elsewhere, by its name or through a link.

    Example:
        >>> place_below(Path("scores"), "day/a.json").as_posix()
        'scores/day/a.json'
    """
    path = folder / name
    if ".." in path.parts[len(folder.parts) :] or not path.resolve().is_relative_to(folder.resolve()):
        raise FileError(path, f"would lie outside of {folder}", "rename the recording, or remove the link")
    return path


def _remove_left_over(path: Path) -> None:
    """Half files of writers that were killed: nobody has touched them for an hour."""
    for temporary in path.parent.glob(f".{glob.escape(_stem(path))}.*.part"):
        with suppress(OSError):
            if time.time() - temporary.stat().st_mtime > 3600:
                temporary.unlink()


def _create(path: Path, mode: int) -> int:
    """An empty file; returns its mode."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, mode)
    try:
        return os.fstat(descriptor).st_mode & 0o777
    finally:
        os.close(descriptor)


def _stem(path: Path) -> str:
    """The beginning of a file's name, short enough for a longer one."""
    return os.fsdecode(os.fsencode(path.name)[:150])


def _free_bytes(path: Path) -> int:
    return shutil.disk_usage(path.parent).free if path.parent.exists() else MARGIN_BYTES


def write_json(path: Path, content: Any) -> None:
    """Write JSON; numbers that are not finite become null.

    Args:
        path: The file.
        content: Dicts, lists and numbers.

    Raises:
        FileError: The file cannot be written.
    """
    text = json.dumps(_finite(content), indent=2, allow_nan=False)
    atomic_write(path, lambda temporary: temporary.write_text(text + "\n"))


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {k: _finite(v) for k, v in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(v) for v in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def read_metrics(path: Path) -> dict[str, float]:
    """Metrics by name, as ``metrics.json`` holds them.

    Raises:
        FileError: The file is missing, or holds something else.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not all(map(_is_number, content.values())):
        raise FileError(path, "holds no metrics by name", "restore the file, or mmcl evaluate the run")
    return content


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and abs(value) < MAX_METRIC  # not NaN either


def check_regular(path: Path) -> None:
    """What is there is a file, not a folder, a device or a pipe, which may never end.

    Raises:
        FileError: It is none.
    """
    if path.exists() and not path.is_file():
        raise FileError(path, "is no regular file", "put the file in its place")


def read_json(path: Path) -> Any:
    """The content of a JSON file of a run.

    Raises:
        FileError: The file is missing or not readable.
    """
    check_regular(path)
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        do = "is this the folder of a run that mmcl train made, and has the run ended? (--resume goes on)"
        raise FileError(path, "no such file", do) from None
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise FileError(
            path, f"not readable as JSON ({first_line(error)})", "restore the file or train again"
        ) from error


def first_line(error: Exception) -> str:
    """An error's first line, for a message of one line.

    Example:
        >>> first_line(ValueError("no such key"))
        'no such key'
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def describe_failure(name: str, error: Exception) -> str:
    """One line for a file of many that failed; it begins with the file's name.

    Example:
        >>> describe_failure("a.mp4", MemoryError())
        'a.mp4: not enough memory'
    """
    if isinstance(error, InputError):
        return first_line(error)
    if isinstance(error, MemoryError):
        return f"{name}: not enough memory"
    return f"{name}: unexpected {type(error).__name__}: {first_line(error)}"


def check_file_name(name: str) -> None:
    """A recording's name, which results are named after, stays below the folder of the results.

    Args:
        name: May hold subfolders, ``day/clip``.

    Raises:
        InputError: It is absolute, empty, goes up, or holds what file names cannot.

    Example:
        >>> check_file_name("day/clip 1")
    """
    parts = name.split("/")
    if any(p in ("", ".", "..") for p in parts) or "\\" in name or not name.isprintable():
        raise InputError(
            f"name {name!r}: results are named after it; expected no backslash, no control character, and no empty "
            "part, '.' or '..' between slashes"
        )
    if reserved := [p for p in parts if p.split(".")[0].strip().lower() in RESERVED]:
        raise InputError(f"name {name!r}: {reserved[0]} is no file's name on every system")
    if max(len(os.fsencode(p)) for p in parts) > MAX_NAME:
        raise InputError(f"name {name[:40]!r}...: is longer than {MAX_NAME} bytes, too long for a file's name")


def print_once(text: str, file: TextIO | None = None) -> None:
    """Print a line that says something of the user's data, once in a process, however often they are read.

    Args:
        text: The line, which names the data.
        file: Standard output by default.
    """
    if text not in _printed:
        _printed.add(text)
        print(text, file=file, flush=True)


def printable(name: str) -> str:
    """A file's name as text of one line, whatever bytes it holds.

    Example:
        >>> printable("clip" + chr(10) + ".mp4")
        'clip\\\\n.mp4'
    """
    return escape_controls(os.fsencode(name).decode("utf-8", "replace"))


def escape_controls(text: str, kept: str = "") -> str:
    """A text without characters that steer a terminal.

    Args:
        text: May hold names of files, classes or recordings.
        kept: Control characters that stay.

    Example:
        >>> escape_controls("a" + chr(27) + "[2J")
        'a\\\\x1b[2J'
    """

    def is_control(c: str) -> bool:
        return c < " " or "\x7f" <= c < "\xa0" or c in TURNING

    if not any(map(is_control, text)):
        return text
    return "".join(c.encode("unicode_escape").decode() if is_control(c) and c not in kept else c for c in text)


def first_mismatch(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """The first entry of a state dict that is missing, too many or of another shape, for a message; empty when all fit.

    Args:
        actual: In a file.
        expected: Of a network.

    Example:
        >>> first_mismatch({}, {})
        ''
    """

    def describe(t: Any) -> str:
        return "missing" if t is None else f"of shape {tuple(t.shape)}"

    for name in [*expected, *actual]:
        ours, theirs = actual.get(name), expected.get(name)
        if ours is None or theirs is None or ours.shape != theirs.shape:
            return f"'{name}' is {describe(ours)} in the file and {describe(theirs)} in the network"
    return ""


def is_broken_pipe(error: Exception) -> bool:
    """Was the error caused by a standard output that nobody reads any more (``| head``)?

    Example:
        >>> is_broken_pipe(ValueError())
        False
    """
    if not isinstance(error, BrokenPipeError) or sys.stdout is None:
        return False
    watch = select.poll()
    watch.register(sys.stdout.fileno(), 0)  # errors are reported unasked
    return bool(watch.poll(0))
