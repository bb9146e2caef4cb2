"""What the components of an objective may read: the pairs that are contrasted and what is known of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from mmcl.distributed import all_gather_with_grad
from mmcl.errors import InputError
from mmcl.types import l2_normalize


@dataclass(frozen=True)
class PairMetadata:
    """What is known of embeddings besides themselves; any of it may be unknown (None).

    Attributes:
        label: ``(anchor,)`` int, or ``(anchor, class)`` of 0 and 1 where several may hold.
        index: ``(anchor,)`` int, number of the recording in the data set, -1 = none.
        group: ``(anchor,)`` int, who or where it was recorded.
        domain: ``(anchor,)`` int, what kind of embedding it is: of which modality, or, in the semi-bag contrast, of an
            event, of background or of a normal bag.
        auxiliary: ``(anchor, dim')``, the same in another space, which no gradient reaches.
        teacher: ``(anchor, dim)``, a teacher's embedding.
        value: ``(anchor,)``, an ordinal quantity such as a score.

    Example:
        >>> PairMetadata(index=torch.arange(3)).map(lambda x: x[:2]).index
        tensor([0, 1])
    """

    label: Tensor | None = None
    index: Tensor | None = None
    group: Tensor | None = None
    domain: Tensor | None = None
    auxiliary: Tensor | None = None
    teacher: Tensor | None = None
    value: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> PairMetadata:
        """The same with ``change`` applied to all that is known."""
        return PairMetadata(**{k: None if v is None else change(v) for k, v in vars(self).items()})

    def gathered(self) -> PairMetadata:
        """Of the embeddings of all processes, in the order of ``all_gather_with_grad``."""
        return self.map(all_gather_with_grad)


@dataclass(frozen=True)
class BatchContext:
    """What is known of a batch of bags.

    Attributes:
        label: ``(bag,)`` int or ``(bag, class)`` of 0 and 1.
        index: ``(bag,)`` int, the recording's number.
        group: ``(bag,)`` int, who or where it was recorded.
        auxiliary: ``{modality: (bag, snippet, dim)}``, embeddings before projection.
        teacher: ``{modality: (bag, snippet, dim)}``, a teacher's projections.
        value: ``{modality: (bag, snippet)}``, a score.
        progress: Where the training stands, 0 to 1.

    Example:
        >>> context = BatchContext(index=torch.tensor([7, 9]))
        >>> context.metadata("audio", lambda x: x[:, 0], lambda x: x).index
        tensor([7, 9])
    """

    label: Tensor | None = None
    index: Tensor | None = None
    group: Tensor | None = None
    auxiliary: Mapping[str, Tensor] = field(default_factory=dict)
    teacher: Mapping[str, Tensor] = field(default_factory=dict)
    value: Mapping[str, Tensor] = field(default_factory=dict)
    progress: float = 0.0

    def metadata(
        self,
        modality: str,
        of_snippets: Callable[[Tensor], Tensor],
        of_bags: Callable[[Tensor], Tensor],
        domain: Tensor | None = None,
        label: Callable[[Tensor], Tensor] | None = None,
    ) -> PairMetadata:
        """What is known of the embeddings that a contrast selects.

        Args:
            modality: Whose embeddings they are.
            of_snippets: ``(bag, snippet, dim)`` -> ``(anchor, dim)``.
            of_bags: ``(bag, ...)`` -> ``(anchor, ...)``.
            domain: ``(anchor,)`` int.
            label: Changes the labels of these embeddings (background has none).
        """

        def select(x: Tensor | None) -> Tensor | None:
            return None if x is None else of_snippets(x)

        value = self.value.get(modality)
        labels = None if self.label is None else of_bags(self.label)
        return PairMetadata(
            label=labels if labels is None or label is None else label(labels),
            index=None if self.index is None else of_bags(self.index),
            group=None if self.group is None else of_bags(self.group),
            domain=domain,
            auxiliary=select(self.auxiliary.get(modality)),
            teacher=select(self.teacher.get(modality)),
            value=None if value is None else of_snippets(value[..., None])[:, 0],
        )


@dataclass(frozen=True)
class ContrastBatch:
    """Queries, each with its own positive, and negatives that are shared by the queries.

    Embeddings have unit length, in single precision at least.

    Attributes:
        query: ``(query, dim)``.
        positive: ``(query, dim)``, anchor i is the positive of query i.
        negatives: ``(negative, dim)``, of all processes.
        positive_logit: ``(query,)``, cosine / temperature, or what another similarity makes of it.
        logit: ``(query, negative)``.
        mask: ``(query, negative)`` bool, True = a negative of that query.
        temperature: Divides the cosine.
        log_weight: ``(query, negative)``, the sum of the log-weights so far.
        valid: ``(query,)`` bool, queries that count at all.
        metadata: What is known of the queries.
        positive_metadata: What is known of the positives.
        negative_metadata: What is known of the negatives.
        progress: Where the training stands, 0 to 1.
        parent: ``(negative,)`` int, of mixtures of two negatives the second one, of others they themselves.
        contributing: ``(query,)`` bool, queries that count and have a negative, once the losses are known.

    Example:
        >>> batch = example_batch()
        >>> batch.query.shape, batch.negatives.shape, batch.has_negatives.shape
        (torch.Size([4, 8]), torch.Size([6, 8]), torch.Size([4]))
    """

    query: Tensor
    positive: Tensor
    negatives: Tensor
    positive_logit: Tensor
    logit: Tensor
    mask: Tensor
    temperature: float
    log_weight: Tensor | None = None
    valid: Tensor | None = None
    metadata: PairMetadata = field(default_factory=PairMetadata)
    positive_metadata: PairMetadata = field(default_factory=PairMetadata)
    negative_metadata: PairMetadata = field(default_factory=PairMetadata)
    progress: float = 0.0
    parent: Tensor | None = None
    contributing: Tensor | None = None

    @property
    def has_negatives(self) -> Tensor:
        """``(query,)`` bool: queries that count and have a negative, as far as is known yet."""
        if self.contributing is not None:
            return self.contributing
        has_any = self.mask.any(-1)
        return has_any if self.valid is None else has_any & self.valid

    def weighted(self, log_weight: Tensor) -> ContrastBatch:
        """With these log-weights added; what weighs -inf is no negative any more.

        Args:
            log_weight: ``(query, negative)``.
        """
        summed = log_weight if self.log_weight is None else self.log_weight + log_weight
        return replace(self, log_weight=summed, mask=self.mask & (summed > -torch.inf))


def label_overlap(a: Tensor, b: Tensor) -> Tensor:
    """How far labels agree, 0 to 1: of several labels their Jaccard index.

    Args:
        a: ``(anchor,)`` int or ``(anchor, class)`` of 0 and 1.
        b: The same of other anchors.

    Returns:
        ``(anchor of a, anchor of b)``. No label at all is a label too.

    Example:
        >>> label_overlap(torch.tensor([[1, 1, 0]]), torch.tensor([[1, 0, 0], [1, 1, 0]]))
        tensor([[0.5000, 1.0000]])
    """
    if a.ndim == 1:
        return (a[:, None] == b[None, :]).float()
    a, b = a.float(), b.float()
    both = a @ b.T
    either = a.sum(1)[:, None] + b.sum(1)[None, :] - both
    return torch.where(either > 0, both / either.clamp(min=1), 1.0)


def require(x: Tensor | None, component: str, what: str) -> Tensor:
    """x, or the error that says which component needs what.

    Raises:
        InputError: x is None.

    Example:
        >>> require(torch.ones(2), "within-group", "metadata.group")
        tensor([1., 1.])
    """
    if x is None:
        raise InputError(f"{component}: needs {what}, which is not known here")
    return x


def example_batch(n: int = 4, n_negatives: int = 6, dim: int = 8, seed: int = 0) -> ContrastBatch:
    """A small random batch of which everything is known, to try components with.

    Args:
        n: Queries.
        n_negatives: Negatives.
        dim: Size of the embeddings.
        seed: All is a function of it.

    Example:
        >>> example_batch().metadata.label.shape
        torch.Size([4])
    """
    g = torch.Generator().manual_seed(seed)

    def embeddings(n_samples: int) -> Tensor:
        return l2_normalize(torch.randn(n_samples, dim, generator=g))

    def metadata(n_samples: int) -> PairMetadata:
        integers = [torch.randint(0, 3, (n_samples,), generator=g) for _ in range(3)]
        return PairMetadata(
            integers[0],
            torch.arange(n_samples),
            integers[1],
            integers[2],
            embeddings(n_samples),
            embeddings(n_samples),
            torch.rand(n_samples, generator=g),
        )

    query, positive, negatives = embeddings(n), embeddings(n), embeddings(n_negatives)
    temperature = 0.1
    return ContrastBatch(
        query, positive, negatives, (query * positive).sum(-1) / temperature, query @ negatives.T / temperature,
        torch.ones(n, n_negatives, dtype=torch.bool), temperature, None, None, metadata(n), metadata(n),
        metadata(n_negatives), 0.5,
    )  # fmt: skip
