"""The multimodal network: encoders, scores of each modality, fusion, joint score, projections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from mmcl.errors import InputError
from mmcl.models.fusion import CrossModalAttention, ModalityGate
from mmcl.models.linear_path import LinearPath
from mmcl.models.score_smoothing import smooth_logits, smooth_probabilities
from mmcl.types import Bags, ModelOutput

Joint = Literal["ensemble", "concat", "sum", "late", "gate"]
Smoothed = Literal["logits", "probabilities"]


def score_head(dim: int, n_classes: int, dropout: float) -> nn.Module:
    """From an embedding to logits: norm, dropout and a linear layer."""
    return nn.Sequential(nn.LayerNorm(dim), nn.Dropout(dropout), nn.Linear(dim, n_classes))


def projection_head(dim: int, n_out: int, n_layers: int = 1) -> nn.Module:
    """From embeddings to what is contrasted.

    Args:
        dim: Size of the embeddings.
        n_out: Size of the projection; 0 = the embeddings themselves.
        n_layers: One linear layer makes the embedding itself hold what the modalities share; two (as SimCLR's) let
            the head keep it from the embedding.
    """
    if n_out == 0:
        return nn.Identity()
    if n_layers == 1:
        return nn.Linear(dim, n_out)
    return nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, n_out))


def encode(encoders: nn.ModuleDict, bags: Bags) -> dict[str, Tensor]:
    """Every modality's own embedding, before fusion; a missing one is imputed.

    Args:
        encoders: By modality.
        bags: The batch.

    Raises:
        InputError: The bags hold none of the modalities.
    """
    own = {}
    for m, encoder in encoders.items():
        if m in bags.x:
            is_present = bags.mask if m not in bags.present else bags.mask & bags.present[m][:, None]
            own[m] = encoder(bags.x[m], is_present)
    if not own:
        raise InputError(f"bags: expected modalities {', '.join(encoders)}, got {', '.join(bags.x) or 'none'}")
    return impute_missing(own, bags, tuple(encoders))


def impute_missing(x: dict[str, Tensor], bags: Bags, modalities: tuple[str, ...]) -> dict[str, Tensor]:
    """The mean of a bag's present modalities where it lacks one.

    Attention between modalities then is attention within the one that is there, and sums keep their size.

    Args:
        x: ``{modality: (bag, snippet, ...)}``.
        bags: Which bags have which modality.
        modalities: All of the network.
    """
    if len(x) == len(modalities) and not bags.present:
        return x
    all_bags = torch.ones_like(bags.mask[:, 0])
    present = {m: bags.present.get(m, all_bags)[:, None, None] for m in x}
    n = torch.stack(list(present.values())).sum(0).clamp(min=1)  # a unimodal network may see a bag without anything
    mean = torch.stack([v * present[m] for m, v in x.items()]).sum(0) / n
    return {m: torch.where(present[m], x[m], mean) if m in x else mean for m in modalities}


class MultimodalNetwork(nn.Module):
    """Encoders, scores of each modality, fusion, joint score and projections.

    A modality's own score is read from its encoder only, so that it is worth the same when the other sensor is missing.

    forward: ``Bags`` -> ``ModelOutput``.

    Args:
        encoders: By modality, ``(x, mask) -> (bag, snippet, dim)``.
        dim: Size of the embeddings.
        n_classes: Number of classes.
        n_heads: Attention heads of the fusion.
        dropout: Dropout; the score heads take twice as much.
        attention_window: Snippets to either side that attention sees, None = all of the bag.
        joint: The joint score is read from the fused modalities concatenated ("concat"), plus each modality's own
            ("ensemble"); is the sum of one score each ("sum", MACIL-SD); is read without fusion ("late"), or from the
            gated sum ("gate").
        projection: Size of the projection heads, 0 = contrast the embeddings themselves.
        projection_layers: 1 or 2.
        score_smoothing: Snippets (odd) that scores are smoothed over.
        smoothed: What is averaged: the network's logits, or, at the end, the linear path included, probabilities.
        linear_path: Is added to the scores, which begin at 0.

    Example:
        >>> from mmcl.models.encoders.linear import LinearEncoder
        >>> MultimodalNetwork({"clip": LinearEncoder(8, 16)}, 16, 1).modalities
        ('clip',)
    """

    neighbours: Tensor

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        dim: int,
        n_classes: int,
        *,
        n_heads: int = 4,
        dropout: float = 0.1,
        attention_window: int | None = 4,
        joint: Joint = "ensemble",
        projection: int = 64,
        projection_layers: int = 1,
        score_smoothing: int = 1,
        smoothed: Smoothed = "logits",
        linear_path: LinearPath | None = None,
    ):
        super().__init__()
        self.modalities = tuple(encoders)
        self.joint, self.score_smoothing, self.smoothed = joint, score_smoothing, smoothed
        if smoothed == "probabilities" and score_smoothing > 1:
            self.register_buffer("neighbours", torch.ones(()))  # 0 = not smoothed, as a linear path may choose
        self.projection_size, self.n_classes = projection or dim, n_classes
        self.encoder = nn.ModuleDict(encoders)
        self.head = nn.ModuleDict({m: score_head(dim, n_classes, 2 * dropout) for m in encoders})
        self.fusion = (
            None
            if joint == "late"
            else CrossModalAttention(self.modalities, dim, n_heads, 2 * dim, dropout, attention_window=attention_window)
        )
        if joint == "gate":
            self.gate = ModalityGate(self.modalities, dim)
            self.joint_head = score_head(dim, n_classes, 2 * dropout)
        elif joint != "sum":
            self.joint_head = score_head(dim * len(encoders), n_classes, 2 * dropout)
        else:
            self.stream_head = nn.ModuleDict({m: score_head(dim, n_classes, 2 * dropout) for m in encoders})
        self.linear_path = linear_path
        if linear_path is not None:
            for last in self._last_layers():
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)
        self.project = nn.ModuleDict({m: projection_head(dim, projection, projection_layers) for m in encoders})
        contexts = [getattr(e, "context", None) for e in encoders.values()]
        bounded = attention_window is not None and all(c is not None for c in contexts)
        self.context: int | None = (
            max(c for c in contexts if c is not None) + attention_window + score_smoothing // 2
            if bounded and attention_window is not None
            else None
        )

    def _last_layers(self) -> Iterator[nn.Linear]:
        """Those of the scores."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear) and name.split(".")[0] in ("head", "joint_head", "stream_head"):
                yield module

    @property
    def joint_modalities(self) -> tuple[str, ...]:
        """Those that the joint score depends on: all, or those of a linear path to which nothing is added."""
        if self.linear_path is None or any(bool(last.weight.any()) for last in self._last_layers()):
            return self.modalities
        return self.linear_path.joint.read_modalities

    def forward(self, bags: Bags) -> ModelOutput:
        own = encode(self.encoder, bags)
        own_logit = {m: self.head[m](e) for m, e in own.items() if m in bags.x}
        logit = impute_missing(own_logit, bags, self.modalities)
        n_logits, n_probabilities = (self.score_smoothing if self.smoothed == s else 1 for s in get_args(Smoothed))
        logit = {m: smooth_logits(v, bags.mask, n_logits) for m, v in logit.items()}
        fused = own if self.fusion is None else self.fusion(own, bags.mask)
        if self.joint == "sum":
            joint_logit = torch.stack([self.stream_head[m](e) for m, e in fused.items()]).sum(0)
        elif self.joint == "gate":
            joint_logit = self.joint_head(self.gate(fused))
        else:
            joint_logit = self.joint_head(torch.cat([fused[m] for m in self.modalities], -1))
        joint_logit = smooth_logits(joint_logit, bags.mask, n_logits)
        if self.joint == "ensemble":
            joint_logit = joint_logit + torch.stack(list(logit.values())).sum(0)
        if self.linear_path is not None:
            joint, alone = self.linear_path(bags)
            joint_logit = joint_logit + joint
            alone = impute_missing(alone, bags, self.modalities)
            logit = {m: v + alone[m] for m, v in logit.items()}
        if n_probabilities > 1:
            joint_logit = smooth_probabilities(joint_logit, bags.mask, n_probabilities, self.neighbours)
            logit = {m: smooth_probabilities(v, bags.mask, n_probabilities, self.neighbours) for m, v in logit.items()}
        projection = {m: self.project[m](e) for m, e in own.items()}
        return ModelOutput(fused, logit, joint_logit, projection, bags.mask, own)
