"""Frozen embeddings of recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mmcl.data.bags import BagDataset
from mmcl.data.collate import collate
from mmcl.losses.contrastive.recording import mean_over_snippets
from mmcl.types import ModelOutput, Recording, SnippetGrid

BATCH = 64


@dataclass(frozen=True)
class Embeddings:
    """Frozen embeddings of recordings.

    Attributes:
        embedding: ``{modality: (recording, dim)}``, of one modality alone; what probes are fitted to.
        projection: ``{modality: (recording, dim)}``, what the contrast compares.
        label: ``(recording,)``, numbers of classes.

    Example:
        >>> e = Embeddings({"a": np.zeros((2, 3)), "b": np.ones((2, 1))}, {}, np.array([0, 1]))
        >>> e.features(["a", "b"]).shape
        (2, 4)
    """

    embedding: Mapping[str, np.ndarray]
    projection: Mapping[str, np.ndarray]
    label: np.ndarray

    def features(self, modalities: Sequence[str]) -> np.ndarray:
        """The embeddings of these modalities side by side, ``(recording, sum of dims)``."""
        return np.concatenate([self.embedding[m] for m in modalities], 1)


@torch.no_grad()
def embed(
    network: nn.Module,
    recordings: Sequence[Recording],
    grid: SnippetGrid,
    device: torch.device | str = "cpu",
) -> Embeddings:
    """Embeddings of recordings as they are, no augmentation, the network in evaluation mode.

    Args:
        network: In the form ``Bags -> ModelOutput``.
        recordings: At least one, each with all modalities of the first.
        grid: How they are cut into snippets.
        device: Where to compute.
    """
    was_training = network.training
    network.eval()
    data = BagDataset(recordings, grid, strength=0.0)
    embedding: dict[str, list[np.ndarray]] = {}
    projection: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(recordings), BATCH):
        end = min(start + BATCH, len(recordings))
        bags = collate([data[-1, i] for i in range(start, end)]).to(device)
        output: ModelOutput = network(bags)
        for kept, of_snippets in (
            (embedding, output.unimodal_embedding or output.embedding),
            (projection, output.projection),
        ):
            for m, z in mean_over_snippets(of_snippets, bags.mask).items():
                kept.setdefault(m, []).append(z.cpu().numpy())
    network.train(was_training)
    return Embeddings(
        {m: np.concatenate(v) for m, v in embedding.items()},
        {m: np.concatenate(v) for m, v in projection.items()},
        np.array([int(label.argmax()) for label in data.labels]),
    )
