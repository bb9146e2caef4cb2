"""Files of a run: written whole or not at all, read without running code from them."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from mmcl.errors import FileError

MARGIN_BYTES = 1 << 18


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write to a neighbour, flush it to the disk, then rename: ``path`` is never half written."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
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
        found = "the disk is full" if full else f"cannot be written ({_first_line(error)})"
        raise FileError(
            path,
            found,
            "what was saved before is intact; make room or choose another --out",
        ) from error


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


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """The whole state of training: tensors, numbers, strings, lists and dicts of them."""
    write_whole(path, lambda part: torch.save(dict(state), part))


def load_state(path: Path) -> dict[str, Any]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FileError(path, "no such file", "start without --resume") from None
    except Exception as error:
        raise FileError(
            path,
            f"not a training state of mmcl ({_first_line(error)})",
            "start again without --resume in another --out",
        ) from error


def save_weights(path: Path, network: nn.Module) -> None:
    weights = {k: v.detach().cpu().contiguous().clone() for k, v in network.state_dict().items()}
    write_whole(path, lambda part: safetensors.torch.save_file(weights, part))


def load_weights(path: Path, network: nn.Module) -> None:
    try:
        weights: dict[str, Tensor] = safetensors.torch.load_file(path)
    except FileNotFoundError:
        raise FileError(path, "no such file", "has the run finished its first epoch?") from None
    except Exception as error:
        raise FileError(
            path, f"not a safetensors file ({_first_line(error)})", "copy or train the model again"
        ) from error
    match_weights(path, weights, network.state_dict())
    broken = [k for k, v in weights.items() if not v.isfinite().all()]
    if broken:
        raise FileError(path, f"'{broken[0]}' holds NaN or infinity", "copy or train the model again")
    network.load_state_dict(weights)


def match_weights(path: Path, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raises FileError naming the first entry that does not fit."""
    for name in [*expected, *found]:
        here, there = found.get(name), expected.get(name)
        if here is None or there is None or here.shape != there.shape:
            say = lambda t: "missing" if t is None else f"of shape {tuple(t.shape)}"
            raise FileError(
                path,
                f"holds another architecture: '{name}' is {say(here)} in the file and {say(there)} in the network",
                "use the config.json that was saved with it",
            )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
