"""How large the signals of the training recordings are, so that those in other units are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mmcl.data.columns import having
from mmcl.readers.kinds import get_kind
from mmcl.types import InputSpec, Recording

MAX_RECORDINGS = 2000
N_SHOWN = 3  # warnings of a split
FACTOR = 3.0  # beyond the smallest and largest of the training recordings; g and m/s^2 differ by 9.8

Ranges = Mapping[str, Sequence[Sequence[float]]]


def signal_ranges(recordings: Sequence[Recording], inputs: Mapping[str, InputSpec]) -> dict[str, list[list[float]]]:
    """Of each channel the smallest and the largest root mean square of a recording.

    Args:
        recordings: The training split; of very many, evenly spread ones.
        inputs: What the model takes of each modality; features and skeletons, which are scaled, are left out.

    Returns:
        ``{modality: [[low, high] of each channel]}``.

    Example:
        >>> r = Recording("r", {"wrist": np.full((4, 1), 2.0)}, {"wrist": 50.0})
        >>> signal_ranges([r], {"wrist": InputSpec("inertial", (1,))})
        {'wrist': [[2.0, 2.0]]}
    """
    ranges = {}
    for m, spec in inputs.items():
        if not get_kind(spec.kind).has_units:
            continue
        having_it = np.flatnonzero(having(recordings, m)).tolist()
        sample = having_it[:: -(-len(having_it) // MAX_RECORDINGS) or 1]
        sizes = [root_mean_square(recordings[i].signal[m]) for i in sample]
        if sizes:
            ranges[m] = np.stack([np.min(sizes, 0), np.max(sizes, 0)], 1).tolist()
    return ranges


def root_mean_square(x: np.ndarray) -> np.ndarray:
    """``(channel,)`` of a signal ``(frame, ...)``."""
    flat = np.asarray(x, np.float64).reshape(len(x), -1)
    return np.sqrt((flat * flat).mean(0))


def describe_unlike(recording: Recording, ranges: Ranges, inputs: Mapping[str, InputSpec]) -> list[str]:
    """A line for each modality whose channels are far larger or smaller than in training.

    Args:
        recording: That is scored.
        ranges: Of the training recordings (``signal_ranges``).
        inputs: What the model takes of each modality.
    """
    lines = []
    for m, of_channels in ranges.items():
        if m not in recording.signal:
            continue
        size, limits = root_mean_square(recording.signal[m]), np.asarray(of_channels)
        if len(size) != len(limits):
            continue
        ratio = np.maximum(size / np.maximum(limits[:, 1], 1e-12), limits[:, 0] / np.maximum(size, 1e-12))
        k = int(ratio.argmax())
        if ratio[k] > FACTOR:
            name = inputs[m].channels[k] if k < len(inputs[m].channels) else f"channel {k + 1}"
            lines.append(
                f"{recording.name}: warning: {m}, {name}: its size (root mean square) is {size[k]:.3g}, in training "
                f"it was {limits[k, 0]:.3g} to {limits[k, 1]:.3g}; are the units, channels and their order the same?"
            )
    return lines


def print_unlike(recordings: Sequence[Recording], ranges: Ranges, inputs: Mapping[str, InputSpec]) -> None:
    """Print the first lines of ``describe_unlike`` and how many more there are; of very many, evenly spread recordings.

    Args:
        recordings: That are evaluated.
        ranges: Of the training recordings (``signal_ranges``).
        inputs: What the model takes of each modality.

    Example:
        >>> inputs, ranges = {"wrist": InputSpec("inertial", (1,))}, {"wrist": [[1.0, 2.0]]}
        >>> loud = Recording("r", {"wrist": np.full((4, 1), 9.8)}, {"wrist": 50.0})
        >>> print_unlike([loud], ranges, inputs)  # doctest: +ELLIPSIS
        r: warning: wrist, channel 1: its size (root mean square) is 9.8, in training it was 1 to 2; are the units, ...
    """
    if not ranges:
        return
    sample = range(0, len(recordings), -(-len(recordings) // MAX_RECORDINGS) or 1)
    lines = [line for i in sample for line in describe_unlike(recordings[i], ranges, inputs)]
    more = len(lines) - N_SHOWN
    for line in lines[:N_SHOWN] + ([f"and {more} more such warnings"] if more > 0 else []):
        print(line, flush=True)
