"""Video networks of torchvision."""

from __future__ import annotations

from torch import nn

from mmcl.features.extractors._video_network import FrameCrops, VideoNetwork
from mmcl.features.weights import PublicWeights


class TorchvisionNetwork(VideoNetwork):
    """A network of torchvision without its classifier, with the crops, scale and statistics of its weights.

    Args:
        weights: A file or an address; "" = the public weights, None = random ones.
        n_crops: 1 (centre) or 5 (centre and corners).

    Attributes:
        builder: Its function in ``torchvision.models.video``.
        public: The name of its weights there.
        classifier: The submodule that is left out.
    """

    builder: str
    public: str
    classifier: str

    def __init__(self, weights: str | None = None, n_crops: int = 1):
        from torchvision.models import video

        body = getattr(video, self.builder)(weights=None)
        setattr(body, self.classifier, nn.Identity())
        transform = getattr(video, self.public).DEFAULT.transforms()
        crops = FrameCrops(transform.crop_size[0], n_crops, transform.mean, transform.std)
        super().__init__(body, type(self).dim, min(transform.resize_size), crops)
        self.load_weights(self.public_weights(), weights, (f"{self.classifier}.",))

    @classmethod
    def public_weights(cls) -> PublicWeights:
        """See ``Extractor.public_weights``."""
        from torchvision.models import video

        url = getattr(video, cls.public).DEFAULT.url
        return PublicWeights(url.rsplit("/", 1)[-1], url)
