"""Few labels: which recordings of a training part are the labelled ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mmcl.errors import InputError
from mmcl.types import Recording


def check_labels(labels: float, name: str) -> None:
    """Raises InputError, naming the option, where it is no number of labels."""
    if not (0 <= labels < 1 or (labels >= 1 and labels == math.floor(labels) < math.inf)):
        raise InputError(
            f"{name}: expected 0 for all, a whole number a class, or a part below 1, got {labels:g}"
        )


def few_labels(recordings: Sequence[Recording], labels: float, seed: int = 0) -> list[Recording]:
    """labels: 0 = all; 1 and more: so many a class, a whole number; below 1: that part of each class,
    one at least. Drawn by the seed; a draw of more labels holds the draws of fewer.

    Raises InputError when a class has fewer, or labels is not such a number.
    """
    check_labels(labels, "labels")
    if labels == 0:
        return list(recordings)
    of_class: dict[int, list[int]] = {}
    for i, recording in enumerate(recordings):
        assert recording.label is not None
        of_class.setdefault(int(recording.label.argmax()), []).append(i)
    rng = np.random.default_rng([seed, 0x1AB])
    chosen: list[int] = []
    for number, members in sorted(of_class.items()):
        n = round(labels) if labels >= 1 else max(round(labels * len(members)), 1)
        if n > len(members):
            raise InputError(f"labels: {n} a class were asked for, class {number + 1} has {len(members)}")
        chosen += [members[i] for i in rng.permutation(len(members))[:n]]
    return [recordings[i] for i in sorted(chosen)]
