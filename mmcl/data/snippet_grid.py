"""Recordings on the snippet grid: every modality gets the same hops, whatever its rate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmcl.config.schema import SnippetsConfig
from mmcl.errors import InputError
from mmcl.readers.kinds import get_kind
from mmcl.readers.resample import resample
from mmcl.types import Recording, SnippetGrid

MAX_RATIO = 1.6  # of the rates of features and of the grid: other features are of another stride


def create_grid(config: SnippetsConfig, kinds: Mapping[str, str]) -> SnippetGrid:
    """The grid of these settings.

    Args:
        config: Settings of the snippets.
        kinds: The kind of each modality.

    Raises:
        InputError: The window is not a whole number of hops, or there is no modality.

    Example:
        >>> create_grid(SnippetsConfig(), {"wrist": "inertial"}).frames_per_hop
        {'wrist': 16}
    """
    hops = config.window_s / config.hop_s
    if abs(hops - round(hops)) > 1e-6 or hops < 1:
        raise InputError(f"--snippets.window-s {config.window_s}: expected a whole number of hops of {config.hop_s} s")
    if not kinds:
        raise InputError("--data.modalities: expected one or more, got none")
    frames = {}
    for m, kind in kinds.items():
        given = config.frames_per_hop.get(m) or config.frames_per_hop.get(kind)
        frames[m] = given or get_kind(kind).frames_per_hop
    return SnippetGrid(config.hop_s, config.window_s, frames, config.stretch_s, dict(kinds))


def resample_to_grid(recording: Recording, grid: SnippetGrid) -> Mapping[str, np.ndarray]:
    """The recording's signals with ``frames_per_hop`` samples a hop, all of the same hops.

    The last hop may reach past the end of the recording by less than half a hop. Features that are on the grid already
    are left as they are, on the disk where they lie there.

    Args:
        recording: Its signals may lack some of the grid's modalities.
        grid: How recordings are cut into snippets.

    Returns:
        ``{modality: (frame, ...)}`` float32.

    Raises:
        InputError: A modality is not of the grid, its signal is degenerate, or features have another stride.

    Example:
        >>> grid = SnippetGrid(0.5, 1.0, {"wrist": 16})
        >>> recording = Recording("r", {"wrist": np.zeros((100, 6), np.float32)}, {"wrist": 50.0})
        >>> resample_to_grid(recording, grid)["wrist"].shape
        (64, 6)
    """
    duration_s = grid.stretch_s or recording.duration_s
    n_hops = max(round(duration_s / grid.hop_s), grid.hops_per_window)
    resampled = {}
    for m, x in recording.signal.items():
        if m not in grid.frames_per_hop:
            raise InputError(
                f"{recording.name}: modality '{m}' is unknown to this model, which takes "
                f"{', '.join(grid.frames_per_hop)}"
            )
        n_frames = n_hops * grid.frames_per_hop[m]
        x = x if grid.frames_per_hop[m] == 1 else np.asarray(x)  # rows of features are read when they are needed
        try:
            x = get_kind(grid.kind(m)).normalize(x)
        except InputError as error:
            raise InputError(f"{recording.name}: {error}") from error
        if grid.frames_per_hop[m] == 1 and len(x) == n_frames:
            resampled[m] = x
            continue
        rate_hz = len(x) / grid.stretch_s if grid.stretch_s else recording.rate_hz[m]
        if grid.kind(m) == "features" and not 1 / MAX_RATIO <= rate_hz / grid.rate_hz(m) <= MAX_RATIO:
            raise InputError(
                f"{recording.name}: has {rate_hz:.3g} rows of {m} features a second, expected {grid.rate_hz(m):.3g}; "
                "were they made with another stride? (when you train: --snippets.hop-s and --snippets.window-s)"
            )
        resampled[m] = resample(x, rate_hz, grid.rate_hz(m), n_frames).astype(np.float32)
    return resampled
