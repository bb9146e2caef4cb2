"""Steps along gradients make hard pairs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmcl.distributed import all_gather_with_grad, rank
from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.info_nce import weighted_info_nce
from mmcl.types import l2_normalize


class Adversarial:
    """Steps along gradients make hard pairs.

    Negatives a small step from the positive that fail the task, positives a large step away that still pass it.

    The task is to tell whose positive b is: ``p(i | b) = softmax_i(a_i . b / temperature)`` over the anchors (a
    network's own head, where one is given: head(b) -> logits over the anchors). With g the gradient of its
    cross-entropy, ``b- = b + e_n g / |g|``, one more negative of the anchor; with g_c the contrastive gradient and
    g_kl that of KL(p(b) | p(b+)), ``b+ = b + e_p g_c / |g_c| - e_p g_kl / |g_kl|``. The anchor's loss is the mean of
    those with b and with b+ as the positive.

    Args:
        negative: Length of the step of the negative.
        positive: Length of the steps of the positive.
        head: A network's own head, ``head(b)`` -> logits over the anchors; that of the formula by default.

    Reference:
        Lee et al., "Contrastive learning with adversarial perturbations" (CLAPS), ICLR 2021 [C]; the task is ours,
        for paired recordings without one.

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> Adversarial()(example_batch()).shape
        torch.Size([4])
    """

    formula = r"z \leftarrow z \pm \epsilon\, \nabla_z L / \lVert \nabla_z L \rVert"
    use_when = "robustness"
    source = "CLAPS [C], task ours"

    needs_full_batch = True

    def __init__(self, negative: float = 0.1, positive: float = 0.5, head=None):
        self.negative, self.positive, self.head = negative, positive, head

    def __call__(self, pairs: ContrastBatch, target: Tensor | None = None, tau_plus: float = 0.0) -> Tensor:
        a, t = pairs.query, pairs.temperature

        def anchor_loss(positive, extra):
            return weighted_info_nce(
                positive,
                torch.cat([pairs.logit, extra[:, None]], 1),
                torch.cat([pairs.mask, pairs.mask.any(-1, keepdim=True)], 1),
                None if pairs.log_weight is None else nn.functional.pad(pairs.log_weight, (0, 1)),
                temperature=t,
                tau_plus=tau_plus,
            )

        near, far = self._perturbed(pairs)
        minus = (a * near).sum(-1) / t
        return (anchor_loss(pairs.positive_logit, minus) + anchor_loss((a * far).sum(-1) / t, minus)) / 2

    def _perturbed(self, pairs: ContrastBatch) -> tuple[Tensor, Tensor]:
        """b- and b+, of unit length; the steps are constants to the gradient."""
        a, b = pairs.query.detach(), pairs.positive.detach()
        task = self.head or (lambda x: x @ all_gather_with_grad(a).T / pairs.temperature)
        own = torch.arange(len(a), device=a.device) + rank() * len(a)

        def step(x, size):
            return size * nn.functional.normalize(x, dim=-1)

        with torch.enable_grad():
            x = b.clone().requires_grad_()
            wrong = nn.functional.cross_entropy(task(x), own, reduction="sum")
            (g,) = torch.autograd.grad(wrong, x)
            logit, mask = a @ pairs.negatives.detach().T / pairs.temperature, pairs.mask
            x = b.clone().requires_grad_()
            lost = weighted_info_nce((a * x).sum(-1) / pairs.temperature, logit, mask, temperature=pairs.temperature)
            (g_c,) = torch.autograd.grad(lost.sum(), x)
            x = (b + step(g_c, self.positive)).requires_grad_()
            before = task(b).log_softmax(-1).detach()
            kl = nn.functional.kl_div(task(x).log_softmax(-1), before, log_target=True, reduction="sum")
            (g_kl,) = torch.autograd.grad(kl, x)
        b_live = pairs.positive
        near = l2_normalize(b_live + step(g, self.negative))
        return near, l2_normalize(b_live + step(g_c, self.positive) - step(g_kl, self.positive))
