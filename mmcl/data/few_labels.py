"""Few labels: which training recordings are the labelled ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mmcl.config.schema import LabelsConfig
from mmcl.config.validation import check_n_labels
from mmcl.errors import InputError
from mmcl.types import Recording


def few_label_numbers(recordings: Sequence[Recording], labels: float, seed: int = 0) -> list[int]:
    """Draw numbers of labelled recordings, as many of each class or the same share; one a class at least.

    A draw of more labels holds the draws of fewer.

    Args:
        recordings: Each of one class.
        labels: 0 = all, a whole number a class, or a share below 1.
        seed: The draw is a function of it.

    Raises:
        InputError: A class has fewer recordings, or labels is not such a number.

    Example:
        >>> made = [Recording(str(i), {}, {}, np.eye(2)[i % 2]) for i in range(6)]
        >>> len(few_label_numbers(made, 1))
        2
    """
    check_n_labels(labels, "labels")
    if labels == 0:
        return list(range(len(recordings)))
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
    return sorted(chosen)


def few_labels(recordings: Sequence[Recording], labels: float, seed: int = 0) -> list[Recording]:
    """The recordings that ``few_label_numbers`` draws.

    Args:
        recordings: Each of one class.
        labels: 0 = all, a whole number a class, or a share below 1.
        seed: The draw is a function of it.
    """
    return [recordings[i] for i in few_label_numbers(recordings, labels, seed)]


def apply_labels(train: Sequence[Recording], config: LabelsConfig) -> tuple[Sequence[Recording], int]:
    """The training recordings as the settings label them.

    Args:
        train: The training split.
        config: Which of them are labelled.

    Returns:
        The labelled recordings and how often they fit into an epoch on all; unless the others are left out all
        recordings, the others' labels put to 0, and 1.

    Example:
        >>> made = [Recording(str(i), {}, {}, np.eye(2)[i % 2]) for i in range(6)]
        >>> apply_labels(made, LabelsConfig(labelled=1))[1]
        3
    """
    if config.labelled == 0:
        return train, 1
    chosen = few_label_numbers(train, config.labelled, config.seed)
    if config.unlabelled == "out":
        return [train[i] for i in chosen], len(train) // max(len(chosen), 1) or 1
    labelled = set(chosen)
    return [
        r if i in labelled or r.label is None else replace(r, label=np.zeros_like(r.label)) for i, r in enumerate(train)
    ], 1
