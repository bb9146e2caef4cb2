"""Statistics of the training data, for encoders that normalize by them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from mmcl.errors import InputError
from mmcl.types import Recording

MAX_FOR_STATISTICS = 2000  # recordings whose mean and spread stand for all


def fit_statistics(network: nn.Module, recordings: Sequence[Recording]) -> None:
    """Give encoders that ask for it (``fits_statistics``) mean and spread of each channel of the training data.

    Args:
        network: With encoders by modality.
        recordings: The training split; evenly spread ones of very many.
    """
    sample = recordings[:: -(-len(recordings) // MAX_FOR_STATISTICS)]
    for m, encoder in network.get_submodule("encoder").named_children():
        if not getattr(encoder, "fits_statistics", False):
            continue
        n, total, square = 0, 0.0, 0.0
        for recording in sample:
            if m not in recording.signal:
                continue
            x = np.asarray(recording.signal[m], np.float64)
            n, total, square = n + len(x), total + x.sum(0), square + (x * x).sum(0)
        if n == 0:
            raise InputError(
                f"--data.modalities {m}: no training recording has it; leave it out, or draw another split (of own "
                "videos --data.fold-seed)"
            )
        mean = total / n
        std = np.sqrt(np.maximum(square / n - mean**2, 0))
        encoder.fit(torch.from_numpy(mean), torch.from_numpy(std))  # type: ignore[operator]
