"""Prototypes with densities."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.losses.contrastive.clusters import members_of, spherical_means
from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.regularizers._shared import FAR, masked_mean, valid_pairs


class ProtoNCE:
    """Prototypes with densities.

    An anchor against the prototypes of its positives' clusters, each with the temperature of its density.

    ``-log softmax_q(a_i . c_q / phi_q)`` at the anchor's own cluster, ``phi_q = mean sqrt(distance) / log(size +
    5)``, clipped to its 10th and 90th percentile and scaled to a mean of ``temperature``.

    Args:
        n_clusters: Prototypes.
        temperature: Mean temperature of a prototype.

    Reference:
        the second term of "MEOW" [C], after PCL.

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> ProtoNCE(n_clusters=2)(example_batch()).shape
        torch.Size([])
    """

    formula = r"-\log \mathrm{softmax}_q(a^\top c_q / \phi_q)"
    use_when = "beside `cluster-count`"
    source = "MEOW [C]"

    requires: frozenset[str] = frozenset()
    default_weight = 0.1

    def __init__(self, n_clusters: int = 16, temperature: float = 0.2):
        self.n_clusters, self.temperature = n_clusters, temperature

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        a, b, is_valid = valid_pairs(pairs)
        with torch.no_grad():
            centre = spherical_means(b, min(self.n_clusters, len(b)))
            member = members_of(b, centre) * is_valid[:, None]
            size = member.sum(0)
            distance = (2 - 2 * b @ centre.T).clamp(min=0).sqrt()
            phi = (member * distance.clamp(min=1e-6).sqrt()).sum(0) / size.clamp(min=1) / (size + 5).log()
            filled = size > 0
            phi = phi.clamp(_quantile(phi, filled, 0.1), _quantile(phi, filled, 0.9)).clamp(min=1e-3)
            mean = torch.where(filled, phi, 0.0).sum() / filled.sum().clamp(min=1)
            phi = phi * self.temperature / mean.clamp(min=1e-3)
        logit = torch.where(filled[None], a @ centre.T / phi, FAR).log_softmax(1)
        return masked_mean(-(member * torch.where(filled[None], logit, 0.0)).sum(1), is_valid)


def _quantile(x: Tensor, mask: Tensor, share: float) -> Tensor:
    """``(1,)`` quantile of the values where mask is True, interpolated; torch.nanquantile waits for the device."""
    ascending = x.masked_fill(~mask, torch.inf).sort().values
    at = share * (mask.sum(0, keepdim=True) - 1).clamp(min=0).to(x.dtype)
    below, above = ascending.gather(0, at.floor().long()), ascending.gather(0, at.ceil().long())
    return torch.where(mask.any(), torch.lerp(below, above, at.frac()), 1.0)
