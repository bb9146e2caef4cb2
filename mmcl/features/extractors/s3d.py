"""S3D (Xie et al., ECCV 2018), trained on Kinetics-400."""

from __future__ import annotations

from mmcl.features.extractors._torchvision import TorchvisionNetwork

__all__ = ["S3d"]


class S3d(TorchvisionNetwork):
    """1024 numbers a snippet and crop.

    Example:
        >>> S3d.dim
        1024
    """

    builder, public, classifier, dim = "s3d", "S3D_Weights", "classifier", 1024
