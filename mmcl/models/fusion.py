"""Cross-modal fusion: every modality asks the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmcl.models.attention import AttentionLayer
from mmcl.types import Packing


class ModalityGate(nn.Module):
    """The gated sum of modalities, snippet by snippet.

    ``sum_m g_m x_m``, g the softmax over modalities of a linear score of each.

    forward: ``{modality: (bag, snippet, dim)}`` -> ``(bag, snippet, dim)``.

    Args:
        modalities: Names.
        dim: Size of the embeddings.

    Example:
        >>> ModalityGate(("a", "b"), 4)({"a": torch.ones(1, 2, 4), "b": torch.ones(1, 2, 4)}).shape
        torch.Size([1, 2, 4])
    """

    def __init__(self, modalities: Sequence[str], dim: int):
        super().__init__()
        self.score = nn.ModuleDict({m: nn.Linear(dim, 1) for m in modalities})

    def forward(self, embedding: Mapping[str, Tensor]) -> Tensor:
        gate = torch.cat([self.score[m](x) for m, x in embedding.items()], -1).softmax(-1)
        return (torch.stack(list(embedding.values()), -1) * gate[..., None, :]).sum(-1)


class CrossModalAttention(nn.Module):
    """One attention layer per modality, or ONE shared by all (MACIL-SD), over the other modalities.

    forward: ``{modality: (bag, snippet, dim)}``, mask, packing -> the same mapping, each modality having attended to
        each
    other one (of more than two modalities: the mean; of one: itself). With a ``packing`` all are packed.

    Args:
        modalities: Names.
        dim: Size of the embeddings.
        n_heads: Attention heads.
        hidden: Size of the feed-forward layer.
        dropout: Dropout.
        attention_dropout: Dropout of attention weights.
        attention_window: Snippets to either side, None = all of the bag.
        shared: One layer for all modalities.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        dim: int,
        n_heads: int = 4,
        hidden: int | None = None,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
        attention_window: int | None = None,
        shared: bool = False,
    ):
        super().__init__()

        def new():
            return AttentionLayer(dim, n_heads, hidden, dropout, attention_window, attention_dropout)

        one = new()
        self.layer = nn.ModuleDict({m: one if shared else new() for m in modalities})

    def forward(
        self, embedding: Mapping[str, Tensor], mask: Tensor, packing: Packing | None = None
    ) -> dict[str, Tensor]:
        fused = {}
        for m, query in embedding.items():
            others = [x for other, x in embedding.items() if other != m] or [query]
            answers = [self.layer[m](query, context, mask, packing) for context in others]
            fused[m] = sum(answers[1:], answers[0]) / len(answers)
        return fused
