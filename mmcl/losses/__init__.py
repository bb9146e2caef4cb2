"""Losses, pooling and semi-bags as plain functions and modules, to use in any network.

Importing this package needs torch, numpy and einops, and nothing else of mmcl's dependencies.

Example:
    >>> import torch
    >>> from mmcl.losses import contrastive_loss, mil_loss, topk_pool
    >>> logit, mask = torch.randn(4, 20, 1), torch.ones(4, 20, dtype=torch.bool)
    >>> mil_loss(topk_pool(logit, mask), torch.tensor([[1.0], [0.0], [1.0], [0.0]])).ndim
    0
"""

from mmcl.losses.contrastive.components import build_objective
from mmcl.losses.contrastive.context import BatchContext, ContrastBatch, PairMetadata
from mmcl.losses.contrastive.false_negatives import same_by_clusters, same_by_neighbours
from mmcl.losses.contrastive.functional import contrastive_loss, info_nce_objective
from mmcl.losses.contrastive.info_nce import weighted_info_nce
from mmcl.losses.contrastive.memory_bank import MemoryBank
from mmcl.losses.contrastive.objective import ContrastiveObjective, ContrastOutput
from mmcl.losses.contrastive.recording import recording_contrast
from mmcl.losses.contrastive.semibag import semibag_contrast
from mmcl.losses.contrastive.snippet import snippet_contrast
from mmcl.losses.contrastive.weighting import concentration
from mmcl.losses.distillation import distill_from_ema, distill_from_teacher
from mmcl.losses.mil import mil_loss, topk_pool
from mmcl.losses.semibags import cluster, semi_bags

__all__ = [
    "BatchContext",
    "ContrastBatch",
    "ContrastOutput",
    "ContrastiveObjective",
    "MemoryBank",
    "PairMetadata",
    "build_objective",
    "cluster",
    "concentration",
    "contrastive_loss",
    "distill_from_ema",
    "distill_from_teacher",
    "info_nce_objective",
    "mil_loss",
    "recording_contrast",
    "same_by_clusters",
    "same_by_neighbours",
    "semi_bags",
    "semibag_contrast",
    "snippet_contrast",
    "topk_pool",
    "weighted_info_nce",
]
