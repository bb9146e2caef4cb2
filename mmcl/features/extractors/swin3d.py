"""Video Swin-T (Liu et al., CVPR 2022), trained on Kinetics-400."""

from __future__ import annotations

from mmcl.features.extractors._torchvision import TorchvisionNetwork

__all__ = ["Swin3d"]


class Swin3d(TorchvisionNetwork):
    """768 numbers a snippet and crop.

    Example:
        >>> Swin3d.dim
        768
    """

    builder, public, classifier, dim = "swin3d_t", "Swin3D_T_Weights", "head", 768
