"""Pre-norm transformer layer for one stream that asks another (or itself), within reach."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn


class AttentionLayer(nn.Module):
    """Multi-head attention of a query stream over a context stream, then feed-forward.

    forward(query, context, mask): query and context ``(bag, snippet, dim)``, mask ``(bag, snippet)``
    of the context; returns ``(bag, snippet, dim)``. ``reach`` limits attention to snippets at most
    that many apart, None = the whole bag (as MACIL-SD). Short reach keeps a snippet's score about
    its own surroundings: with whole-bag attention the weak bag label leaks to every snippet.

    The norm is on the query path only; keys and values enter as they are (MACIL-SD's layer).
    """

    def __init__(
        self,
        dim: int,
        n_heads: int = 4,
        hidden: int | None = None,
        dropout: float = 0.1,
        reach: int | None = None,
        attention_dropout: float = 0.0,
    ):
        super().__init__()
        self.n_heads, self.reach, self.attention_dropout = n_heads, reach, attention_dropout
        self.norm_attention = nn.LayerNorm(dim)
        self.norm_hidden = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        self.hidden = nn.Linear(dim, hidden or dim)
        self.back = nn.Linear(hidden or dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        q = self.query(self.norm_attention(query))
        attended = self.attend(q, self.key(context), self.value(context), mask)
        x = query + self.dropout(self.out(attended))
        hidden = self.dropout(torch.relu(self.hidden(self.norm_hidden(x))))
        return x + self.dropout(self.back(hidden))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        n = q.shape[1]
        allowed = mask[:, None, None, :]  # bag head query key
        if self.reach is not None:
            at = torch.arange(n, device=q.device)
            near = (at[:, None] - at[None, :]).abs() <= self.reach
            # a padded query may see nothing: let it see itself, its output is never read
            allowed = (allowed & near) | torch.eye(n, dtype=torch.bool, device=q.device)
        split = lambda x: rearrange(x, "bag snippet (head dim) -> bag head snippet dim", head=self.n_heads)
        y = nn.functional.scaled_dot_product_attention(
            split(q),
            split(k),
            split(v),
            attn_mask=allowed,
            dropout_p=self.attention_dropout if self.training else 0.0,
        )
        return rearrange(y, "bag head snippet dim -> bag snippet (head dim)")
