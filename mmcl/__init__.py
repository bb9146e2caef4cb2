"""Multimodal contrastive learning on weakly labelled recordings."""

__version__ = "0.1.0"
