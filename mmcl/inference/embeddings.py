"""Frozen embeddings of recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mmcl.data.bags import BagDataset
from mmcl.data.collate import collate
from mmcl.distributed import gather_parts, share_out
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
    shared: bool = False,
) -> Embeddings:
    """Embeddings of recordings as they are, no augmentation, the network in evaluation mode.

    Args:
        network: In the form ``Bags -> ModelOutput``.
        recordings: At least one, each with all modalities of the first.
        grid: How they are cut into snippets.
        device: Where to compute.
        shared: Shared out over the processes of a training, which all have to ask for it.

    Example:
        >>> from mmcl.models.encoders.linear import LinearEncoder
        >>> from mmcl.models.network import MultimodalNetwork
        >>> network = MultimodalNetwork({"clip": LinearEncoder(8, 16)}, 16, 1)
        >>> grid = SnippetGrid(1.0, 1.0, {"clip": 1}, kinds={"clip": "features"})
        >>> recording = Recording("r", {"clip": np.zeros((5, 8), np.float32)}, {"clip": 1.0})
        >>> embed(network, [recording], grid).features(["clip"]).shape
        (1, 16)
    """
    was_training = network.training
    network.eval()
    data = BagDataset(recordings, grid, strength=0.0)
    starts = range(0, len(recordings), BATCH)
    batches = []
    for start in share_out(starts) if shared else starts:
        end = min(start + BATCH, len(recordings))
        bags = collate([data[-1, i] for i in range(start, end)]).to(device)
        output: ModelOutput = network(bags)
        both = (output.unimodal_embedding or output.embedding, output.projection)
        means = [mean_over_snippets(of_snippets, bags.mask) for of_snippets in both]
        batches.append([{m: z.cpu().numpy() for m, z in mean.items()} for mean in means])
    network.train(was_training)
    if shared:
        batches = gather_parts(batches, len(starts))
    embedding, projection = ({m: np.concatenate([b[k][m] for b in batches]) for m in batches[0][k]} for k in (0, 1))
    return Embeddings(embedding, projection, data.labels.argmax(1))
