"""A cross-encoder ranks and distills."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmcl.losses.contrastive.context import ContrastBatch


class Ranker(nn.Module):
    """A cross-encoder ranks and distills.

    A cross-encoder that sees both sides ranks an anchor's candidates, and distills its order into the embeddings.

    f = MLP([a * k, |a - k|]) of the positive and the ``n_hardest`` negatives, p = softmax(s) of the embeddings over
    the same, q = softmax(f / T), r_j = log sigmoid(f_pos - f_j)::

        -log softmax(f)_pos + (1 - reward) (-sum_j q_j log p_j) + reward sum_j r_j log p_j

    q and r are constants to the gradient.

    Args:
        dim: Size of the embeddings.
        n_hardest: Negatives that are ranked.
        reward: Weight of the reward.
        t: Temperature of the ranker.

    Reference:
        Zhang et al., "Adversarial retriever-ranker" (AR2), ICLR 2022 [C]; the ranker here stands on the embeddings.

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> Ranker(8)(example_batch()).shape
        torch.Size([4])
    """

    formula = r"-\log \mathrm{softmax}(f)_+ - (1 - \rho) \sum_j q_j \log p_j + \rho \sum_j r_j \log p_j"
    use_when = "embeddings too weak"
    source = "AR2 [C]"

    requires: frozenset[str] = frozenset()

    def __init__(self, dim: int, n_hardest: int = 15, reward: float = 0.2, t: float = 1.0):
        super().__init__()
        self.n_hardest, self.reward, self.t = n_hardest, reward, t
        self.rank = nn.Sequential(nn.Linear(2 * dim, dim), nn.ReLU(), nn.Linear(dim, 1))

    def forward(self, pairs: ContrastBatch, target: Tensor | None = None, tau_plus: float = 0.0) -> Tensor:
        weight = 0.0 if pairs.log_weight is None else torch.where(pairs.mask, pairs.log_weight, 0.0)
        weighted = torch.where(pairs.mask, pairs.logit + weight, -torch.inf)
        chosen = weighted.topk(min(self.n_hardest, weighted.shape[1]), dim=1)
        has_any = pairs.mask.any(-1)
        is_candidate = nn.functional.pad(pairs.mask.gather(1, chosen.indices), (1, 0), value=True)
        candidates = torch.cat([pairs.positive[:, None], pairs.negatives[chosen.indices]], 1)
        both = torch.cat([pairs.query[:, None] * candidates, (pairs.query[:, None] - candidates).abs()], -1)

        def hidden(x):
            return x.masked_fill(~is_candidate, -1e4)

        f = hidden(self.rank(both)[..., 0])
        log_p = hidden(
            torch.cat([pairs.positive_logit[:, None], torch.where(is_candidate[:, 1:], chosen.values, 0.0)], 1)
        )
        log_p = torch.where(is_candidate, log_p.log_softmax(1), 0.0)
        with torch.no_grad():
            q = (f / self.t).softmax(1)
            r = torch.where(is_candidate, nn.functional.logsigmoid(f[:, :1] - f), 0.0)
        ranked = -f.log_softmax(1)[:, 0]
        distilled = (1 - self.reward) * -(q * log_p).sum(1) + self.reward * (r * log_p).sum(1)
        return torch.where(has_any, ranked + distilled, 0.0)
