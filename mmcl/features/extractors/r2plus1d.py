"""R(2+1)D-18 (Tran et al., CVPR 2018), trained on Kinetics-400."""

from __future__ import annotations

from mmcl.features.extractors._torchvision import TorchvisionNetwork

__all__ = ["R2plus1d"]


class R2plus1d(TorchvisionNetwork):
    """512 numbers a snippet and crop.

    Example:
        >>> R2plus1d.dim
        512
    """

    builder, public, classifier, dim = "r2plus1d_18", "R2Plus1D_18_Weights", "fc", 512
