"""Weights on the disk (safetensors): written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from mmcl.errors import FileError
from mmcl.io import atomic_write, check_regular, first_line, first_mismatch


def save_weights(path: Path, network: nn.Module) -> None:
    """Write a network's weights.

    Raises:
        FileError: The file cannot be written.
    """
    weights = {k: v.detach().cpu().contiguous().clone() for k, v in network.state_dict().items()}
    atomic_write(path, lambda file: safetensors.torch.save_file(weights, file))


def load_weights(path: Path, network: nn.Module, prefixes: tuple[str, ...] = ()) -> None:
    """Load a file's weights into a network.

    Args:
        path: A safetensors file.
        network: Gets the weights.
        prefixes: Beginnings of the names to load, all by default; every entry of the network that begins so must be in
            the file.

    Raises:
        FileError: The file is unreadable, of another architecture, or holds NaN.
    """
    check_regular(path)
    try:
        weights: dict[str, Tensor] = safetensors.torch.load_file(path)
    except FileNotFoundError:
        raise FileError(path, "no such file", "has the run finished its first epoch?") from None
    except Exception as error:
        raise FileError(
            path, f"not a safetensors file ({first_line(error)})", "copy or train the model again"
        ) from error
    expected = network.state_dict()
    if prefixes:
        expected = {k: v for k, v in expected.items() if k.startswith(prefixes)}
        weights = {k: v for k, v in weights.items() if k in expected}
    match_weights(path, weights, expected)
    broken = [k for k, v in weights.items() if not v.isfinite().all()]
    if broken:
        raise FileError(path, f"'{broken[0]}' holds NaN or infinity", "copy or train the model again")
    network.load_state_dict(weights, strict=not prefixes)


def check_shapes(path: Path, expected: Mapping[str, Tensor]) -> None:
    """A file's weights have the shapes of a network; no weight is read.

    Args:
        path: A safetensors file; what is wrong with one that cannot be opened is told when its weights are loaded.
        expected: The network's state, of which only shapes are looked at.

    Raises:
        FileError: They have others.
    """
    if not path.is_file():
        return
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            actual = {k: torch.empty(file.get_slice(k).get_shape(), device="meta") for k in file.keys()}  # noqa: SIM118
    except Exception:
        return
    match_weights(path, actual, expected)


def match_weights(path: Path, actual: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raises FileError naming the first entry that does not fit."""
    if misfit := first_mismatch(actual, expected):
        raise FileError(path, f"holds another architecture: {misfit}", "use the config.json that was saved with it")
