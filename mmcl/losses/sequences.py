"""Terms on whole sequences of snippets: modules with forward(own, teacher, mask) -> scalar, of one modality to the other.

own, teacher: embeddings ``{modality: (bag, snippet, dim)}`` of the student and (or None) of its running average; mask:
``(bag, snippet)``. Each process returns its share, scaled so that the mean over processes is the value of one.
Marks of the sources as in ``rows``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmcl.losses.rows import unit
from mmcl.processes import n_processes, total

Embeddings = Mapping[str, Tensor]


def mean_of_real(x: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, x, 0.0).sum() / total(mask.sum()).clamp(min=1) * n_processes()


class TwoConvolutions(nn.Module):
    """Over time, ``(bag, snippet, n_in)`` -> ``(bag, snippet, n_out)``; padding is zero before each, as beyond the end."""

    def __init__(self, n_in: int, hidden: int, n_out: int):
        super().__init__()
        self.first, self.second = (
            nn.Conv1d(n_in, hidden, 5, padding=2),
            nn.Conv1d(hidden, n_out, 5, padding=2),
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        real = mask[:, None].to(x.dtype)
        return self.second(torch.relu(self.first(x.transpose(1, 2) * real)) * real).transpose(1, 2)


class TemporalWarp(nn.Module):
    """The other modality may be late: a smooth flow over time, found from both, aligns it before the two are compared.

    flow (bag, snippet) in snippets, at most ``reach``, from a convolution over both sequences; b is read at t + flow by
    linear interpolation. ``smooth mean (flow_{t+1} - flow_t)^2 + feature mean (1 - cos(a, b warped, no gradient)) + flow mean
    (1 - cos(a, b warped)), a constant``: each side learns with the other detached.
    Source: "GEMINI" [C], its deformable correspondence in one dimension; the image term (NCC) has no counterpart.
    """

    def __init__(
        self, dim: int, reach: float = 3.0, smooth: float = 0.4, feature: float = 0.08, flow: float = 0.8
    ):
        super().__init__()
        self.net = TwoConvolutions(2 * dim, 32, 1)
        nn.init.zeros_(self.net.second.weight)
        nn.init.zeros_(self.net.second.bias)  # type: ignore[arg-type]
        self.reach, self.smooth, self.feature, self.flow = reach, smooth, feature, flow

    def find(self, a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
        return self.reach * torch.tanh(self.net(torch.cat([unit(a), unit(b)], -1), mask)[..., 0])

    @staticmethod
    def warp(b: Tensor, flow: Tensor, mask: Tensor) -> Tensor:
        """``b[t + flow]``, the ends of a bag held."""
        last = (mask.sum(1, keepdim=True) - 1).clamp(min=0)
        at = (torch.arange(b.shape[1], device=b.device) + flow).clamp(min=0)
        at = torch.minimum(at, last.to(at.dtype))
        low = at.floor().long()
        high = torch.minimum(low + 1, last)
        part = (at - low)[..., None]
        take = lambda i: b.gather(1, i[..., None].expand(-1, -1, b.shape[-1]))
        return (1 - part) * take(low) + part * take(high)

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
                smooth = mean_of_real(steps, mask[:, 1:] & mask[:, :-1])
                apart = lambda x, y: mean_of_real(1 - (unit(x) * unit(y)).sum(-1), mask)
                feature = apart(a, self.warp(b, flow, mask).detach())
                aligned = apart(a.detach(), self.warp(b.detach(), flow, mask))
                terms.append(self.smooth * smooth + self.feature * feature + self.flow * aligned)
        return torch.stack(terms).mean()


class MaskedPrediction(nn.Module):
    """Snippets are hidden from the embeddings of a stream, and predicted from what is left of both streams.

    A learned token stands for hidden snippets; a convolution over time of both streams predicts the teacher's (the
    student's own, where there is none, constant) embedding there: mean 1 - cos over the hidden. Source: "AD-L-JEPA" [C];
    its hinge on the spread is ``regularisers.StdHinge``.
    """

    def __init__(self, dim: int, share: float = 0.5):
        super().__init__()
        self.share = share
        self.token = nn.Parameter(torch.zeros(dim))
        self.net = TwoConvolutions(2 * dim, dim, dim)

    def forward(self, own: Embeddings, teacher: Embeddings | None, mask: Tensor) -> Tensor:
        terms = []
        for m, z in own.items():
            hidden = (torch.rand(mask.shape, device=mask.device) < self.share) & mask
            seen = torch.where(hidden[..., None], self.token.to(z.dtype), z)
            others = [x for other, x in own.items() if other != m] or [z]
            predicted = self.net(torch.cat([seen, others[0]], -1), mask)
            aim = (own if teacher is None else teacher)[m].detach()
            terms.append(mean_of_real(1 - (unit(predicted) * unit(aim)).sum(-1), hidden))
        return torch.stack(terms).mean()


class OverlapPrediction:
    """How alike a random stretch of one stream and fixed windows of the other are says how far they overlap in time.

    Bases: ``n_bases`` equal windows of a bag, their means in modality b; the stretch's mean in a. With ``l = max(0, cos)`` and o the
    share of the stretch that lies in a window: ``-sum o log(1 - |o - l|) / sum o - mean_{o = 0} log(1 - l)``, and the bases of
    a bag are kept apart, ``mean_{i < j} max(0, cos(base_i, base_j, constant))^2``.
    Source: Wu et al., "VoCo", CVPR 2024 [C], in one dimension.
    """

    def __init__(self, n_bases: int = 4, share: float = 0.3, apart: float = 0.1):
        self.n_bases, self.share, self.apart = n_bases, share, apart

    def __call__(self, own: Embeddings, teacher: Embeddings | None, mask: Tensor) -> Tensor:
        n = mask.sum(1, keepdim=True).float()
        at = torch.arange(mask.shape[1], device=mask.device)
        window = (at * self.n_bases / n.clamp(min=1)).long().clamp(max=self.n_bases - 1)
        dtype = next(iter(own.values())).dtype
        inside = nn.functional.one_hot(window, self.n_bases).to(dtype) * mask[..., None]
        length = (self.share * n).clamp(min=1).round()
        start = (torch.rand_like(n) * (n - length + 1)).floor()
        stretch = ((at >= start) & (at < start + length) & mask).to(dtype)
        overlap = torch.einsum("bs,bsw->bw", stretch, inside) / stretch.sum(1, keepdim=True).clamp(min=1)
        whole = mask.sum(1) >= self.n_bases
        eye = torch.eye(self.n_bases, dtype=torch.bool, device=mask.device)
        terms = []
        for m, a in own.items():
            for other, b in own.items():
                if m == other:
                    continue
                base = unit(torch.einsum("bsw,bsd->bwd", inside, b))
                crop = unit(torch.einsum("bs,bsd->bd", stretch, a))
                near = torch.einsum("bd,bwd->bw", crop, base).clamp(0, 1 - 1e-4)
                miss = -(1 - (overlap - near).abs()).clamp(min=1e-4).log()
                hit = (overlap * miss).sum(1) / overlap.sum(1).clamp(min=1e-6)
                none = overlap == 0
                clear = torch.where(none, -torch.log1p(-near), 0.0).sum(1) / none.sum(1).clamp(min=1)
                between = torch.einsum("bwd,bvd->bwv", base, base.detach()).clamp(min=0).square()
                loss = hit + clear + self.apart * between.masked_fill(eye, 0).mean((1, 2))
                terms.append(mean_of_real(loss, whole))
        return torch.stack(terms).mean()
