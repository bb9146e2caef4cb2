"""Aligns modalities that are not in step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmcl.losses.contrastive.sequence_terms._shared import Embeddings, TwoConvolutions, mean_of_valid
from mmcl.types import l2_normalize


class TemporalWarp(nn.Module):
    """Aligns modalities that are not in step.

    The other modality may be late: a smooth flow over time, found from both, aligns it before the two are compared.

    flow (bag, snippet) in snippets, at most ``max_flow``, from a convolution over both sequences; b is read at t + flow
    by linear interpolation. ``smooth mean (flow_{t+1} - flow_t)^2 + feature mean (1 - cos(a, b warped, no gradient))
    + flow mean (1 - cos(a, b warped)), a constant``: each side learns with the other detached.

    Args:
        dim: Size of the embeddings.
        max_flow: Largest flow [snippets].
        smooth: Weight of the flow's smoothness.
        feature: Weight of the comparison that moves the embeddings.
        flow: Weight of the comparison that moves the flow.

    Reference:
        "GEMINI" [C], its deformable correspondence in one dimension; the image term (NCC) has no counterpart.

    Example:
        >>> z = {m: torch.randn(2, 6, 8) for m in ("audio", "visual")}
        >>> TemporalWarp(8)(z, None, torch.ones(2, 6, dtype=torch.bool)).shape
        torch.Size([])
    """

    formula = r"\lambda \overline{(f_{t+1} - f_t)^2} + \overline{1 - \cos(a_t, b_{t + f_t})}"
    use_when = "sensors with delays"
    source = "GEMINI [C], 1-D"

    requires: frozenset[str] = frozenset()
    default_weight = 0.1

    def __init__(self, dim: int, max_flow: float = 3.0, smooth: float = 0.4, feature: float = 0.08, flow: float = 0.8):
        super().__init__()
        self.net = TwoConvolutions(2 * dim, 32, 1)
        nn.init.zeros_(self.net.second.weight)
        nn.init.zeros_(self.net.second.bias)  # type: ignore[arg-type]
        self.max_flow, self.smooth, self.feature, self.flow = max_flow, smooth, feature, flow

    def find(self, a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
        """The flow from a to b, ``(bag, snippet)`` [snippets]."""
        return self.max_flow * torch.tanh(self.net(torch.cat([l2_normalize(a), l2_normalize(b)], -1), mask)[..., 0])

    @staticmethod
    def warp(b: Tensor, flow: Tensor, mask: Tensor) -> Tensor:
        """``b[t + flow]``, the ends of a bag held."""
        last = (mask.sum(1, keepdim=True) - 1).clamp(min=0)
        at = (torch.arange(b.shape[1], device=b.device) + flow).clamp(min=0)
        at = torch.minimum(at, last.to(at.dtype))
        low = at.floor().long()
        high = torch.minimum(low + 1, last)
        share = (at - low)[..., None]

        def take(i):
            return b.gather(1, i[..., None].expand(-1, -1, b.shape[-1]))

        return (1 - share) * take(low) + share * take(high)

    def forward(self, own: Embeddings, teacher: Embeddings | None, mask: Tensor) -> Tensor:
        terms = []
        names = list(own)
        for m in names:
            for other in names:
                if m == other:
                    continue
                a, b = own[m], own[other]
                flow = self.find(a.detach(), b.detach(), mask)
                steps = (flow[:, 1:] - flow[:, :-1]).square()
                smooth = mean_of_valid(steps, mask[:, 1:] & mask[:, :-1])

                def apart(x, y):
                    return mean_of_valid(1 - (l2_normalize(x) * l2_normalize(y)).sum(-1), mask)

                feature = apart(a, self.warp(b, flow, mask).detach())
                aligned = apart(a.detach(), self.warp(b.detach(), flow, mask))
                terms.append(self.smooth * smooth + self.feature * feature + self.flow * aligned)
        return torch.stack(terms).mean()
