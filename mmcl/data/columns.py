"""What many recordings have and show, as arrays; of a store no recording is made for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmcl.data.stored_index import StoredRecordings
from mmcl.types import Recording


def having(recordings: Sequence[Recording], modality: str) -> np.ndarray:
    """``(recording,)`` bool: which have a modality.

    Args:
        recordings: In memory or of a store.
        modality: Its name.

    Example:
        >>> having([Recording("r", {"wrist": np.zeros((2, 1))}, {"wrist": 1.0})], "wrist")
        array([ True])
    """
    if isinstance(recordings, StoredRecordings):
        return recordings.has.get(modality, np.zeros(len(recordings), bool))
    return np.array([modality in r.signal for r in recordings], bool)


def labels_of(recordings: Sequence[Recording], n_classes: int) -> np.ndarray:
    """``(recording, class)`` float32, zeros where a label is unknown.

    Args:
        recordings: In memory or of a store.
        n_classes: Of the data set.

    Example:
        >>> labels_of([Recording("r", {}, {})], 2)
        array([[0., 0.]], dtype=float32)
    """
    if isinstance(recordings, StoredRecordings):
        return recordings.labels
    rows = [np.zeros(n_classes) if r.label is None else r.label for r in recordings]
    return np.array(rows, np.float32).reshape(len(recordings), n_classes)
