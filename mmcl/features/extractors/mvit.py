"""MViTv2-S (Li et al., CVPR 2022), trained on Kinetics-400."""

from __future__ import annotations

from mmcl.features.extractors._torchvision import TorchvisionNetwork

__all__ = ["Mvit"]


class Mvit(TorchvisionNetwork):
    """768 numbers a snippet and crop.

    Example:
        >>> Mvit.dim
        768
    """

    builder, public, classifier, dim = "mvit_v2_s", "MViT_V2_S_Weights", "head", 768
