"""MACIL-SD's network as its authors run it, for their weights and as the paper's baseline."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmcl.errors import InputError
from mmcl.models.encoders.linear import LinearEncoder
from mmcl.models.fusion import CrossModalAttention
from mmcl.models.network import encode
from mmcl.types import Bags, ModelOutput


class MacilSdNetwork(nn.Module):
    """The network of MACIL-SD on precomputed features.

    One linear map a modality, ONE attention layer shared by both directions over all of a bag, ONE linear score
    shared by the modalities; the joint logit is the sum of theirs. ``embedding`` and ``projection`` are the fused
    embeddings. With one modality it is the unimodal teacher: the layer attends to its own modality. Bags with a
    ``packing`` are computed packed.

    forward: ``Bags`` -> ``ModelOutput``.

    Args:
        n_channels: Channels of each modality's features.
        dim: Size of the embeddings.
        n_classes: Number of classes.
        n_heads: Attention heads.
        dropout: Dropout.
        attend_to_padding: In training, attention sees padded snippets too, as in the authors' code; their features are
            zeros, their embeddings the encoders' biases.

    Reference:
        Yu et al., ACM MM 2022 (arXiv 2207.05500), section 3.1.

    Example:
        >>> MacilSdNetwork({"visual": 1024, "audio": 128}).modalities
        ('visual', 'audio')
    """

    context: int | None = None  # attention sees the whole bag

    def __init__(
        self,
        n_channels: Mapping[str, int],
        dim: int = 128,
        n_classes: int = 1,
        *,
        n_heads: int = 4,
        dropout: float = 0.1,
        attend_to_padding: bool = False,
    ):
        super().__init__()
        self.attend_to_padding = attend_to_padding
        self.modalities, self.n_channels = tuple(n_channels), dict(n_channels)
        self.projection_size, self.n_classes = dim, n_classes
        self.encoder = nn.ModuleDict({m: LinearEncoder(n, dim) for m, n in n_channels.items()})
        self.fusion = CrossModalAttention(
            self.modalities, dim, n_heads, dim, dropout, attention_dropout=dropout, shared=True
        )
        self.classifier = nn.Linear(dim, n_classes)

    def forward(self, bags: Bags) -> ModelOutput:
        sees_padding = self.attend_to_padding and self.training
        packing = None if sees_padding else bags.packing
        if packing is None or bags.present or set(self.modalities) - set(bags.x):  # a missing modality: padded
            mask = torch.ones_like(bags.mask) if sees_padding else bags.mask
            fused = self.fusion(encode(self.encoder, bags), mask)
            logit = {m: self.classifier(e) for m, e in fused.items()}
        else:
            own = {m: encoder(bags.packed[m], packing.valid) for m, encoder in self.encoder.items()}
            rows = self.fusion(own, packing.valid, packing)
            fused = {m: packing.unpack(e) for m, e in rows.items()}
            logit = {m: packing.unpack(self.classifier(e)) for m, e in rows.items()}
        joint_logit: Tensor = torch.stack(list(logit.values())).sum(0)
        return ModelOutput(fused, logit, joint_logit, fused, bags.mask)


# The authors' names of what their network uses; the rest of their checkpoint is never read by it.
AUTHORS_NAMES = {
    "fc_v": "encoder.visual.project",
    "fc_a": "encoder.audio.project",
    "cma.layer.self_attn.linears.0": "fusion.layer.visual.query",
    "cma.layer.self_attn.linears.1": "fusion.layer.visual.key",
    "cma.layer.self_attn.linears.2": "fusion.layer.visual.value",
    "cma.layer.self_attn.linears.3": "fusion.layer.visual.out",
    "cma.layer.sublayer.0.norm": "fusion.layer.visual.norm_attention",
    "cma.layer.sublayer.1.norm": "fusion.layer.visual.norm_hidden",
    "cma.layer.feed_forward.w_1": "fusion.layer.visual.hidden",
    "cma.layer.feed_forward.w_2": "fusion.layer.visual.back",
    "att_mmil.fc": "classifier",
}


def from_authors_weights(weights: Mapping[str, Tensor]) -> MacilSdNetwork:
    """Our network with the weights that the authors released.

    Args:
        weights: A plain state dict.

    Raises:
        InputError: Naming the first entry that is missing or of another shape.
    """
    for theirs in (f"{name}.{kind}" for name in AUTHORS_NAMES for kind in ("weight", "bias")):
        if theirs not in weights:
            raise InputError(f"weights: '{theirs}' is missing; expected the state dict of MACIL-SD's network")
    n_channels = {"visual": weights["fc_v.weight"].shape[1], "audio": weights["fc_a.weight"].shape[1]}
    network = MacilSdNetwork(n_channels, dim=weights["fc_v.weight"].shape[0])
    with torch.no_grad():
        for theirs, ours in AUTHORS_NAMES.items():
            for name, parameter in network.get_submodule(ours).named_parameters():
                weight = weights[f"{theirs}.{name}"]
                if weight.shape != parameter.shape:
                    raise InputError(
                        f"weights: '{theirs}.{name}' has shape {tuple(weight.shape)}, expected {tuple(parameter.shape)}"
                    )
                parameter.copy_(weight)
    return network
