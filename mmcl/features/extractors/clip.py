"""CLIP (Radford et al., ICML 2021) of the Hugging Face hub."""

from __future__ import annotations

from mmcl.features.extractors.hf import Hf

__all__ = ["Clip"]


class Clip(Hf):
    """Mean and spread over frames of CLIP's image embeddings; ``clip``, or ``clip:FOLDER`` and ``clip:OWNER/NAME``.

    Args:
        model: A folder, or OWNER/NAME; ViT-B/32 by default.

    Example:
        >>> Clip.modality
        'visual'
    """

    modality = "visual"

    def __init__(self, model: str = "openai/clip-vit-base-patch32"):
        super().__init__(model, "visual")
