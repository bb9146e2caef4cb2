"""One contrastive objective, composed of components: what attracts, what repels, and how much each counts.

For query i with its positive and negatives j, s = similarity / temperature::

    L_i = a_i ( (1 - sum_j t_ij) l(s_ii) + sum_j t_ij l(s_ij) )      l(s) = log(1 + exp(N_i - s))
    N_i = debias( log sum_j exp(s_ij + g_ij) )

with ``g`` log-weights of negatives (-inf removes one), ``t`` the share of a query's attraction that goes to negatives
in place of its own positive, ``a`` the weight of the anchor. Transforms change embeddings before, regularizers add
terms. Without any component it is InfoNCE. A component is a plain callable or a module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmcl.distributed import all_reduce_sum, world_size
from mmcl.errors import InputError
from mmcl.losses.checks import check_shape
from mmcl.losses.contrastive.context import ContrastBatch, PairMetadata
from mmcl.losses.contrastive.pair_losses.info_nce import InfoNCE
from mmcl.losses.contrastive.similarities.cosine import Cosine
from mmcl.types import l2_normalize

# Pairs of query and negative that are computed at once. Smaller chunks are twice as fast on a CPU, whose caches they
# fit, but its allocator then keeps their memory: two gigabytes instead of a half for 1,024 x 65,536.
MAX_PAIRS_PER_CHUNK = 1 << 23

NegativeWeight = Callable[[ContrastBatch], Tensor]  # -> (query, negative) log-weights, given those before
Target = Callable[[ContrastBatch], Tensor]  # -> (query, negative) >= 0, anchors adding up to 1 at most
AnchorWeight = Callable[[ContrastBatch, Tensor], Tensor]  # batch, (query,) losses -> (query,) weights
PairLoss = Callable[[ContrastBatch, "Tensor | None", float], Tensor]  # batch, target, tau_plus -> (query,)
Regularizer = Callable[[ContrastBatch], Tensor]  # -> scalar
Transform = Callable[[ContrastBatch], ContrastBatch]  # changes embeddings before any similarity


@dataclass(frozen=True)
class ContrastOutput:
    """What an objective returns.

    Attributes:
        anchor_loss: ``(query,)``, weighted; 0 for a query without negatives.
        extra_terms: Scalars of the regularizers by name.

    Example:
        >>> ContrastOutput(torch.zeros(4)).extra_terms
        {}
    """

    anchor_loss: Tensor
    extra_terms: dict[str, Tensor] = field(default_factory=dict)


class ContrastiveObjective(nn.Module):
    """The contrastive loss of queries against their positives and a shared set of negatives.

    Computed in single precision at least, also under autocast. Above ``MAX_PAIRS_PER_CHUNK`` pairs the queries are
    computed in chunks, and again for the gradient, unless a component needs all of them (``needs_full_batch = True``).
    Over several processes queries are local and negatives of all; regularizers are of all queries.

    Args:
        temperature: Divides the cosine, above 0; a ``similarity`` given has its own.
        tau_plus: Class prior, the probability that a negative is a positive in truth, in [0, 1).
        transforms: Changes of the embeddings, in order.
        similarity: How alike two embeddings are; the cosine by default.
        negatives: Log-weights of negatives, in order; they add up.
        target: Share of the attraction that goes to negatives.
        anchor_weights: Weights of queries.
        regularizers: ``(name, weight, component)`` of terms beside the contrast.
        pair_loss: The loss of a query; InfoNCE by default.

    Raises:
        InputError: temperature or tau_plus is out of its range.

    Example:
        >>> objective = ContrastiveObjective(0.1)
        >>> x = torch.eye(3)
        >>> objective(x, x, x, ~torch.eye(3, dtype=torch.bool)).anchor_loss.shape
        torch.Size([3])
    """

    def __init__(
        self,
        temperature: float = 0.1,
        tau_plus: float = 0.0,
        *,
        transforms: Sequence[Transform] = (),
        similarity: nn.Module | None = None,
        negatives: Sequence[NegativeWeight] = (),
        target: Target | None = None,
        anchor_weights: Sequence[AnchorWeight] = (),
        regularizers: Sequence[tuple[str, float, Regularizer]] = (),
        pair_loss: PairLoss | None = None,
    ):
        super().__init__()
        if temperature <= 0 or not 0 <= tau_plus < 1:
            raise InputError(
                f"objective: expected temperature > 0 and 0 <= tau_plus < 1, got {temperature} and {tau_plus}"
            )
        self.temperature, self.tau_plus = temperature, tau_plus
        self.similarity = similarity or Cosine(temperature)
        self.transforms, self.negatives, self.target = tuple(transforms), tuple(negatives), target
        self.anchor_weights, self.regularizers = tuple(anchor_weights), tuple(regularizers)
        self.pair_loss = pair_loss or InfoNCE()
        components = (
            *self.transforms, *self.negatives, target, *self.anchor_weights, self.pair_loss,
            *(term for _, _, term in regularizers),
        )  # fmt: skip
        # their weights and buffers, by name: the order of components does not matter to a saved state
        modules = [c for c in components if isinstance(c, nn.Module)]
        names = [type(c).__name__ for c in modules]
        self.components = nn.ModuleDict(
            {f"{n}{names[:i].count(n) or ''}": c for i, (n, c) in enumerate(zip(names, modules, strict=True))}
        )
        self.needs_full_batch = any(
            getattr(c, "needs_full_batch", False) for c in (*self.negatives, target, self.pair_loss)
        )

    def forward(
        self,
        query: Tensor,
        positive: Tensor,
        negatives: Tensor,
        mask: Tensor | None = None,
        *,
        valid: Tensor | None = None,
        metadata: PairMetadata | None = None,
        positive_metadata: PairMetadata | None = None,
        negative_metadata: PairMetadata | None = None,
        progress: float = 0.0,
        log_weight: Tensor | None = None,
        target: Tensor | None = None,
        max_pairs: int | None = None,
    ) -> ContrastOutput:
        """The losses of the queries and what regularizers add.

        Args:
            query: ``(query, dim)``; no embedding needs unit length.
            positive: ``(query, dim)``, anchor i is the positive of query i.
            negatives: ``(negative, dim)`` of all processes.
            mask: ``(negative,)`` or ``(query, negative)`` bool, True = a negative (of that query); all by default.
            valid: ``(query,)`` bool, queries that count at all.
            metadata: What is known of the queries.
            positive_metadata: What is known of the positives.
            negative_metadata: What is known of the negatives.
            progress: Where the training stands, 0 to 1.
            log_weight: ``(query, negative)``, weights before those of the components; -inf removes a negative.
            target: ``(query, negative)``, in place of the component's.
            max_pairs: Pairs computed at once, ``MAX_PAIRS_PER_CHUNK`` by default.

        Raises:
            InputError: A component needs what is not known here, or the shapes do not match.
        """
        if mask is None:
            mask = torch.ones(len(negatives), dtype=torch.bool, device=negatives.device)
        _check_shapes(query, positive, negatives, mask, valid, {"log_weight": log_weight, "target": target})
        limit = max_pairs or MAX_PAIRS_PER_CHUNK
        with torch.autocast(query.device.type, enabled=False):
            a, b, n = (l2_normalize(x) for x in (query, positive, negatives))
            if log_weight is not None:
                mask = mask & (log_weight > -torch.inf)
            batch = ContrastBatch(
                a, b, n, a.new_zeros(len(a)), a.new_zeros(len(a), 0), mask.expand(len(a), len(n)), self.temperature,
                log_weight, valid, metadata or PairMetadata(), positive_metadata or PairMetadata(),
                negative_metadata or PairMetadata(), progress,
            )  # fmt: skip
            for transform in self.transforms:
                batch = transform(batch)
            if target is not None:  # transforms may have added negatives
                target = nn.functional.pad(target, (0, len(batch.negatives) - target.shape[1]))
            if len(batch.query) * len(batch.negatives) <= limit or self.needs_full_batch:
                positive_logit, loss, has_any = self._losses(batch, target)
            else:
                positive_logit, loss, has_any = self._in_chunks(batch, target, limit)
            contributing = has_any if valid is None else has_any & valid
            batch = replace(batch, positive_logit=positive_logit, contributing=contributing)
            for anchor_weight in self.anchor_weights:
                loss = loss * _shaped(anchor_weight(batch, loss), loss.shape, anchor_weight)
            extra = {name: weight * _shaped(term(batch), (), term) for name, weight, term in self.regularizers}
            if (penalty := getattr(self.similarity, "penalty", None)) is not None:
                extra["similarity"] = penalty(batch)
        return ContrastOutput(loss, extra)

    def _with_logits(self, batch: ContrastBatch) -> ContrastBatch:
        return replace(
            batch,
            positive_logit=self.similarity.paired(  # type: ignore[operator]
                batch.query, batch.positive, batch.metadata, batch.positive_metadata
            ),
            logit=self.similarity(batch.query, batch.negatives, batch.metadata, batch.negative_metadata),
        )

    def _losses(self, batch: ContrastBatch, target: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of the positives, losses, and which queries have a negative left."""
        batch = self._with_logits(batch)
        for weight in self.negatives:
            batch = batch.weighted(_shaped(weight(batch), batch.mask.shape, weight))
        if batch.parent is not None:  # a mixture with what a weight removed is no negative
            batch = replace(batch, mask=batch.mask & batch.mask[:, batch.parent])
        if self.target is not None:
            target = _shaped(self.target(batch), batch.mask.shape, self.target)
        loss = _shaped(self.pair_loss(batch, target, self.tau_plus), batch.positive_logit.shape, self.pair_loss)
        return batch.positive_logit, loss, batch.mask.any(-1)

    def _in_chunks(self, batch: ContrastBatch, target: Tensor | None, limit: int) -> tuple[Tensor, Tensor, Tensor]:
        size = max(limit // len(batch.negatives), 1)
        outputs = []
        for start in range(0, len(batch.query), size):
            anchors = slice(start, start + size)

            def cut(x: Tensor, anchors: slice = anchors) -> Tensor:
                return x[anchors]

            chunk = replace(
                batch, query=cut(batch.query), positive=cut(batch.positive), mask=cut(batch.mask),
                positive_logit=cut(batch.positive_logit), logit=cut(batch.logit),
                log_weight=None if batch.log_weight is None else cut(batch.log_weight),
                valid=None if batch.valid is None else cut(batch.valid), metadata=batch.metadata.map(cut),
                positive_metadata=batch.positive_metadata.map(cut),
            )  # fmt: skip
            part_of_target = None if target is None else cut(target)
            outputs.append(
                checkpoint(self._losses, chunk, part_of_target, use_reentrant=False, preserve_rng_state=False)
            )
        logits, losses, has_any = (torch.cat(x) for x in zip(*outputs, strict=True))
        return logits, losses, has_any


def _check_shapes(
    query: Tensor,
    positive: Tensor,
    negatives: Tensor,
    mask: Tensor,
    valid: Tensor | None,
    of_pairs: Mapping[str, Tensor | None],
) -> None:
    check_shape("query", query, ("query", "dim"))
    n, dim = query.shape
    check_shape("positive", positive, (n, dim))
    check_shape("negatives", negatives, ("negative", dim))
    of_query = () if mask.ndim == 1 else (1,) if len(mask) == 1 else (n,)
    check_shape("mask", mask, (*of_query, len(negatives)), is_bool=True)
    if valid is not None:
        check_shape("valid", valid, (n,), is_bool=True)
    for name, x in of_pairs.items():
        if x is not None:
            check_shape(name, x, (n, len(negatives)))


def _shaped(x: Tensor, shape: Sequence[int], component: object) -> Tensor:
    """x, when a component returned what its slot expects: a shape that broadcasts would be a wrong loss."""
    if tuple(x.shape) != tuple(shape):
        name = getattr(component, "__name__", type(component).__name__)
        raise InputError(f"{name}: expected to return the shape {tuple(shape)}, got {tuple(x.shape)}")
    return x


def mean_anchor_loss(output: ContrastOutput, valid: Tensor, name: str) -> dict[str, Tensor]:
    """The mean loss over the valid queries of all processes, and the extra terms.

    Args:
        output: Of a ``ContrastiveObjective``.
        valid: ``(query,)`` bool, or weights.
        name: Of the loss.

    Returns:
        ``{name: scalar, "name/regularizer": scalar}``; each process's share is scaled so that the mean over processes
        is the value of one process with all queries.

    Example:
        >>> mean_anchor_loss(ContrastOutput(torch.tensor([1.0, 3.0])), torch.tensor([True, True]), "a->b")
        {'a->b': tensor(2.)}
    """
    weight = valid.to(output.anchor_loss.dtype)
    n = all_reduce_sum(weight.sum()).clamp(min=1)
    terms = {name: (weight * output.anchor_loss).sum() / n * world_size()}
    return terms | {f"{name}/{k}": v for k, v in output.extra_terms.items()}
