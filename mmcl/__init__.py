"""Multimodal contrastive learning on weakly labelled recordings.

    model = mmcl.load("RUN")                                # of a trained run, or of a shared model
    scores = model.score("video.mp4")                       # of every snippet
    events = scores.events(threshold=0.5)

    config = mmcl.datasets.get_dataset("utd-mhad").default_config()
    metrics = mmcl.train(config, data=Path("UTD-MHAD"), out=Path("run"))

Everything is imported when it is used first; ``import mmcl`` alone imports neither torch nor numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from mmcl.api import Model, Scores, load
    from mmcl.config import RunConfig, override
    from mmcl.datasets import Dataset, get_dataset
    from mmcl.inference import Predictor
    from mmcl.training import evaluate, train
    from mmcl.types import Bags, ModelOutput, Recording, SnippetGrid, SnippetScores

_PLACES = {
    "Bags": "mmcl.types",
    "Dataset": "mmcl.datasets",
    "Model": "mmcl.api",
    "ModelOutput": "mmcl.types",
    "Predictor": "mmcl.inference",
    "Recording": "mmcl.types",
    "RunConfig": "mmcl.config",
    "Scores": "mmcl.api",
    "SnippetGrid": "mmcl.types",
    "SnippetScores": "mmcl.types",
    "evaluate": "mmcl.training",
    "get_dataset": "mmcl.datasets",
    "load": "mmcl.api",
    "override": "mmcl.config",
    "train": "mmcl.training",
}
_PACKAGES = (
    "api", "config", "data", "datasets", "evaluation", "experiments", "features", "inference", "interop", "live",
    "losses", "media", "models", "readers", "reporting", "runs", "serve", "training",
)  # fmt: skip

__all__ = [
    "Bags",
    "Dataset",
    "Model",
    "ModelOutput",
    "Predictor",
    "Recording",
    "RunConfig",
    "Scores",
    "SnippetGrid",
    "SnippetScores",
    "__version__",
    "evaluate",
    "get_dataset",
    "load",
    "override",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    if name in _PACKAGES:
        return importlib.import_module(f"mmcl.{name}")
    raise AttributeError(f"module 'mmcl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES, *_PACKAGES})
