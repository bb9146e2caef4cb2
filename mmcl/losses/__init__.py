"""The losses as plain functions: of this package's dependencies they need torch, numpy and einops alone."""

from mmcl.losses.bag import mil_loss
from mmcl.losses.contrastive import concentrated, contrast
from mmcl.losses.false_negatives import same_by_clusters, same_by_neighbours
from mmcl.losses.instance_contrast import instance_contrast
from mmcl.losses.memory import Memory
from mmcl.losses.objective import Contrast, ContrastiveObjective
from mmcl.losses.pair_contrast import pair_contrast
from mmcl.losses.pairs import About, Pairs
from mmcl.losses.rows import weighted_info_nce
from mmcl.losses.semibag_contrast import semi_bag_contrast
from mmcl.losses.semibags import cluster, semi_bags
from mmcl.losses.weighting import concentration

__all__ = [
    "About",
    "Contrast",
    "ContrastiveObjective",
    "Memory",
    "Pairs",
    "cluster",
    "concentrated",
    "concentration",
    "contrast",
    "instance_contrast",
    "mil_loss",
    "pair_contrast",
    "same_by_clusters",
    "same_by_neighbours",
    "semi_bag_contrast",
    "semi_bags",
    "weighted_info_nce",
]
