"""Weights of feature extractors: from a file, from an address with its SHA-256, or from the cache."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urldefrag

import torch
from torch import Tensor
from torch.hub import download_url_to_file

from mmcl.errors import FileError, InputError
from mmcl.io import first_line, first_mismatch

IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.[a-z]+$")  # torch's habit: a file's name ends in its hash


@dataclass(frozen=True)
class PublicWeights:
    """Where a extractor's public weights are: the file's name and its address, whose hash is in the
    name or not known."""

    file: str
    url: str

    @property
    def sha256(self) -> str:
        """As far as the name tells it, "" if it does not."""
        match = IN_NAME.search(self.file)
        return match[1] if match else ""


def cache_folder() -> Path:
    """``MMCL_CACHE``, or mmcl in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmcl"
    return Path(os.environ.get("MMCL_CACHE") or default)


def find_weights(source: PublicWeights, given: str, option: str) -> Path:
    """The weights' file: the given one, else that in the cache, else fetched into the cache.

    Args:
        source: Where the public weights are.
        given: A path, or an address with #sha256=HEX behind it; "" = the public weights.
        option: Names the option in errors.

    Raises:
        InputError: Naming the file, its address and where to put it.
    """
    if given and not given.startswith(("http://", "https://", "file://")):
        path = Path(given).expanduser()
        if not path.is_file():
            raise FileError(path, "no such file", f"{option} takes a file or an address with #sha256=HEX")
        return path
    url, fragment = urldefrag(given or source.url)
    expected = fragment.removeprefix("sha256=") if given else source.sha256
    if given and not re.fullmatch(r"[0-9a-f]{8,64}", expected):
        raise InputError(f"{option} {url}: expected the file's SHA-256 behind the address, #sha256=HEX")
    path = cache_folder() / (Path(url).name if given else source.file)
    if path.exists():
        if expected and not sha256_of(path).startswith(expected):
            raise FileError(path, "is not the file of this SHA-256", "remove it, it will be fetched again")
        return path
    by_hand = f"fetch {source.file} from {url} and put it into {path.parent}, or give {option} FILE"
    if not expected:
        raise InputError(f"{path}: no weights there; {by_hand}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        download_url_to_file(url, os.fspath(path), hash_prefix=expected, progress=True)
    except (URLError, OSError, RuntimeError) as error:
        raise InputError(f"{path}: cannot be fetched ({first_line(error)}); {by_hand}") from error
    return path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """A plain state dict; no code of the file is run."""
    try:
        weights: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise FileError(path, f"not a plain state dict ({first_line(error)})", "fetch it again") from error
    if not isinstance(weights, Mapping) or not all(isinstance(v, Tensor) for v in weights.values()):
        raise FileError(path, "holds no state dict", "expected names with tensors")
    return dict(weights)


def load_into(module: torch.nn.Module, path: Path, ignored: tuple[str, ...] = ()) -> None:
    """Load every entry of a module from a file.

    Args:
        module: Gets the weights.
        path: A state dict.
        ignored: Beginnings of entries of the file that may be left over.

    Raises:
        FileError: Naming the first entry that does not fit.
    """

    def kept(names):
        return {k: v for k, v in names.items() if not k.endswith("num_batches_tracked") and not k.startswith(ignored)}

    weights = kept(read_state_dict(path))
    if misfit := first_mismatch(weights, kept(module.state_dict())):
        raise FileError(path, misfit, "are these weights of another network?")
    module.load_state_dict(weights, strict=False)
