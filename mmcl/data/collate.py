"""Bags padded together into a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mmcl.data.augmentation import Signals
from mmcl.errors import InputError
from mmcl.models.packing import pack_by_length
from mmcl.types import Bags


@dataclass(frozen=True)
class BagSample:
    """One bag before padding.

    Attributes:
        x: ``{modality: (frame, ...)}`` on the snippet grid; a modality that the recording lacks is left out.
        n_snippets: Its snippets.
        label: ``(class,)``.
        index: Its number in the data set.
        absent: Modalities of ``x`` that the network is not to see.
        group: Number of its group.
        may_lack: Some bag of the data set may lack a modality, so that ``Bags.present`` is given in every batch.

    Example:
        >>> BagSample({"a": np.zeros((3, 2), np.float32)}, 3, np.zeros(1), 0).group
        0
    """

    x: Signals
    n_snippets: int
    label: np.ndarray
    index: int
    absent: frozenset[str] = frozenset()
    group: int = 0
    may_lack: bool = False


def require_finite(signals: Mapping[str, np.ndarray], name: str) -> Signals:
    """The signals in float32, read from the disk where they lie there.

    Args:
        signals: ``{modality: (frame, ...)}``.
        name: Of the recording, for the error.

    Raises:
        InputError: A signal holds NaN or infinity.

    Example:
        >>> require_finite({"a": np.ones((1, 2))}, "r")["a"].dtype
        dtype('float32')
    """
    signals = {m: np.asarray(x, np.float32) for m, x in signals.items()}
    for m, x in signals.items():
        if not np.isfinite(x).all():
            raise InputError(f"{name}: NaN or infinity in its {m} signal; repair or remove it")
    return signals


def collate(samples: Sequence[BagSample], bucket_size: int = 0) -> Bags:
    """A batch, padded at the end with zeros to the longest bag.

    Args:
        samples: The bags; one may lack modalities that others have.
        bucket_size: Bags of like length that a network may compute together (``pack_by_length``), 0 = all.

    Example:
        >>> bags = collate([BagSample({"a": np.ones((n, 2), np.float32)}, n, np.zeros(1), 0) for n in (1, 3)])
        >>> bags.mask.tolist()
        [[True, False, False], [True, True, True]]
    """
    x, present = {}, {}
    for m in dict.fromkeys(m for s in samples for m in s.x):
        signals_of_bags = [s.x.get(m) if m not in s.absent else None for s in samples]
        first = next(v for s in samples if (v := s.x.get(m)) is not None)
        longest = max(len(v) for s in samples if (v := s.x.get(m)) is not None)
        padded = np.zeros((len(samples), longest, *first.shape[1:]), np.float32)
        for row, signal in zip(padded, signals_of_bags, strict=True):
            if signal is not None:
                row[: len(signal)] = signal
        x[m] = torch.from_numpy(padded)
        present[m] = torch.tensor([signal is not None for signal in signals_of_bags])
    lengths = [s.n_snippets for s in samples]
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    label = torch.from_numpy(np.stack([s.label for s in samples]))
    # in all batches or in none: processes must agree on which sums they share
    some_lack = any(s.may_lack for s in samples) or any(not of.all() for of in present.values())
    index, group = torch.tensor([s.index for s in samples]), torch.tensor([s.group for s in samples])
    packing = pack_by_length(lengths, bucket_size)
    return Bags(x, mask, label, index, present if some_lack else {}, packing, group)
