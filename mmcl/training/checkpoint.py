"""Tensors of a run on the disk: written whole or not at all, read without running code from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from mmcl.errors import FileError
from mmcl.storage import first_line, first_misfit, write_whole


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
            f"not a training state of mmcl ({first_line(error)})",
            "start again without --resume in another --out",
        ) from error


def save_weights(path: Path, network: nn.Module) -> None:
    weights = {k: v.detach().cpu().contiguous().clone() for k, v in network.state_dict().items()}
    write_whole(path, lambda part: safetensors.torch.save_file(weights, part))


def load_weights(path: Path, network: nn.Module, parts: tuple[str, ...] = ()) -> None:
    """parts: beginnings of the names of what to load, all if left out; everything of the network's that
    begins so must be in the file."""
    try:
        weights: dict[str, Tensor] = safetensors.torch.load_file(path)
    except FileNotFoundError:
        raise FileError(path, "no such file", "has the run finished its first epoch?") from None
    except Exception as error:
        raise FileError(
            path, f"not a safetensors file ({first_line(error)})", "copy or train the model again"
        ) from error
    expected = network.state_dict()
    if parts:
        expected = {k: v for k, v in expected.items() if k.startswith(parts)}
        weights = {k: v for k, v in weights.items() if k in expected}
    match_weights(path, weights, expected)
    broken = [k for k, v in weights.items() if not v.isfinite().all()]
    if broken:
        raise FileError(path, f"'{broken[0]}' holds NaN or infinity", "copy or train the model again")
    network.load_state_dict(weights, strict=not parts)


def match_weights(path: Path, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raises FileError naming the first entry that does not fit."""
    if misfit := first_misfit(found, expected):
        raise FileError(
            path, f"holds another architecture: {misfit}", "use the config.json that was saved with it"
        )
