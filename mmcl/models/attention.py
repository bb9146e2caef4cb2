"""Pre-norm attention of one modality to another (or itself), within a window."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from mmcl.models.dropout import Dropout, dropout
from mmcl.types import Packing


class AttentionLayer(nn.Module):
    """Multi-head attention of query snippets over context snippets, then feed-forward.

    The norm is on the query path only; keys and values enter as they are (MACIL-SD's layer).

    forward: query and context ``(bag, snippet, dim)``, mask ``(bag, snippet)`` of the context -> ``(bag, snippet,
        dim)``.
    With a ``packing`` all are packed: attention then is within groups of bags of like length, and little padding is
    computed.

    Args:
        dim: Size of the embeddings.
        n_heads: Attention heads.
        hidden: Size of the feed-forward layer.
        dropout: Dropout.
        attention_window: Snippets at most so many apart attend to each other, None = all of the bag (MACIL-SD). A short
            window keeps a snippet's score about its own moment: with whole-bag attention the weak label leaks to every
            snippet.
        attention_dropout: Dropout of attention weights.

    Example:
        >>> AttentionLayer(8, 2)(*[torch.ones(1, 3, 8)] * 2, torch.ones(1, 3, dtype=torch.bool)).shape
        torch.Size([1, 3, 8])
    """

    def __init__(
        self,
        dim: int,
        n_heads: int = 4,
        hidden: int | None = None,
        dropout: float = 0.1,
        attention_window: int | None = None,
        attention_dropout: float = 0.0,
    ):
        super().__init__()
        self.n_heads, self.attention_window, self.attention_dropout = (
            n_heads,
            attention_window,
            attention_dropout,
        )
        self.norm_attention = nn.LayerNorm(dim)
        self.norm_hidden = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        self.hidden = nn.Linear(dim, hidden or dim)
        self.back = nn.Linear(hidden or dim, dim)
        self.dropout = Dropout(dropout)

    def forward(self, query: Tensor, context: Tensor, mask: Tensor, packing: Packing | None = None) -> Tensor:
        q = self.query(self.norm_attention(query))
        k, v = self.key(context), self.value(context)
        if packing is None:
            attended = self.attend(q, k, v, mask)
        else:
            blocks = zip(*map(packing.blocks, (q, k, v, mask)), strict=True)
            attended = torch.cat([self.attend(*block).flatten(0, 1) for block in blocks])
        x = query + self.dropout(self.out(attended))
        hidden = self.dropout(torch.relu(self.hidden(self.norm_hidden(x))))
        return x + self.dropout(self.back(hidden))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """Attention of queries to keys, ``(bag, snippet, dim)``."""
        n = q.shape[1]
        allowed = mask[:, None, None, :]  # bag head query key
        if self.attention_window is not None:
            at = torch.arange(n, device=q.device)
            near = (at[:, None] - at[None, :]).abs() <= self.attention_window
            # a padded query may see nothing: let it see itself, its output is never read
            allowed = (allowed & near) | torch.eye(n, dtype=torch.bool, device=q.device)
        q, k, v = (rearrange(x, "bag snippet (head dim) -> bag head snippet dim", head=self.n_heads) for x in (q, k, v))
        p = self.attention_dropout if self.training else 0.0
        # PyTorch's fused kernel for CPUs knows no dropout, and its fallback is slow
        attend = _attend_with_dropout if p > 0 and q.device.type == "cpu" else scaled_dot_product_attention
        y = attend(q, k, v, attn_mask=allowed, dropout_p=p)
        return rearrange(y, "bag head snippet dim -> bag snippet (head dim)")


def _attend_with_dropout(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor, dropout_p: float) -> Tensor:
    logit = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    forbidden = torch.zeros_like(attn_mask, dtype=logit.dtype).masked_fill_(~attn_mask, -torch.inf)
    return dropout(logit.add_(forbidden).softmax(-1), dropout_p) @ v
