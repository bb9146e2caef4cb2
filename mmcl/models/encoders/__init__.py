"""Encoders: a file each, named as its module.

An encoder is a module ``(x, mask) -> (bag, snippet, dim)`` with the class attributes ``kinds``, the kinds of
modalities that it takes, and ``fits_statistics``, whether ``fit(mean, std)`` is called with those of the training
data. Its constructor is offered shape, dim, frames_per_hop, hops_per_window, dropout, n_heads, n_layers,
attention_window, norm, kernel, joints and pooling, and takes what it uses. Other packages add encoders by the entry
points ``mmcl.encoders``.
"""

from mmcl.config.registry import Registry

REGISTRY = Registry("mmcl.models.encoders", "mmcl.encoders", "encoder")
