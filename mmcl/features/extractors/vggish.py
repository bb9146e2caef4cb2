"""VGGish: 128 numbers for 0.96 s of sound (Hershey et al., "CNN architectures for large-scale audio
classification", ICASSP 2017), in the key layout of the torchvggish port's state dict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mmcl.errors import FileError
from mmcl.features import mel
from mmcl.features.extractors._base import AudioExtractor
from mmcl.features.weights import PublicWeights, find_weights, load_into, sha256_of

N_FRAMES = 96
N_SAMPLES = (N_FRAMES - 1) * mel.HOP + mel.WINDOW
PCA_CLIP = 2.0
PUBLIC_WEIGHTS = PublicWeights(
    "vggish-10086976.pth",
    "https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth",
)


__all__ = ["Vggish"]


class Vggish(AudioExtractor):
    """128 numbers a snippet: VGGish's embedding of the second of sound that ends with the snippet.

    forward: sound ``(snippet, 16000)`` -> ``(snippet, 128)``.

    One patch of 96 windows a snippet that ends where the snippet ends, so that patches overlap, as XD-Violence's
    features were made; not VGGish's own hop of 0.96 s, which gives other lengths.

    Args:
        weights: A file or an address; "" = the public weights, None = random ones.
        pca: VGGish's post-processing (whitened, clipped to +-2, in 8 bits), a file with ``pca_eigen_vectors`` (128,
            128) and ``pca_means`` (128, 1).

    Example:
        >>> Vggish.dim
        128
    """

    dim = 128
    pca: tuple[Tensor, Tensor] | None

    @classmethod
    def public_weights(cls) -> PublicWeights:
        """See ``Extractor.public_weights``."""
        return PUBLIC_WEIGHTS

    def __init__(self, weights: str | None = None, pca: Path | None = None):
        super().__init__()
        layers: list[nn.Module] = []
        n_in = 1
        for widths in ((64,), (128,), (256, 256), (512, 512)):
            for width in widths:
                layers += [nn.Conv2d(n_in, width, 3, padding=1), nn.ReLU()]
                n_in = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(512 * 6 * 4, 4096),
            nn.ReLU(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, 128),
            nn.ReLU(),
        )
        self.pca = None if pca is None else read_pca(pca)
        if weights is not None:
            path = find_weights(PUBLIC_WEIGHTS, weights, "--audio-weights")
            load_into(self, path, ("pproc.",))
            self.weights_sha256 = sha256_of(path)

    def forward(self, sound: Tensor) -> Tensor:
        return self.embed(mel.log_mel(sound[:, -N_SAMPLES:]))

    def embed(self, patch: Tensor) -> Tensor:
        """``(snippet, 96, 64)`` log-mel -> ``(snippet, 128)``."""
        x = self.features(patch[:, None]).permute(0, 2, 3, 1).flatten(1)
        x = self.embeddings(x)
        if self.pca is None:
            return x
        vectors, means = self.pca
        return quantized(x, vectors, means)


def quantized(x: Tensor, eigen_vectors: Tensor, means: Tensor) -> Tensor:
    """Whitened, clipped, and rounded to 0 .. 255 (as floats)."""
    white = (x - means.to(x)) @ eigen_vectors.to(x).T
    return ((white.clamp(-PCA_CLIP, PCA_CLIP) + PCA_CLIP) * (255 / (2 * PCA_CLIP))).round()


def read_pca(path: Path) -> tuple[Tensor, Tensor]:
    """Eigenvectors ``(128, 128)`` and means ``(128,)`` of a file."""
    try:
        with np.load(path) as file:
            vectors, means = file["pca_eigen_vectors"], file["pca_means"].reshape(-1)
    except Exception as error:
        raise FileError(path, f"not VGGish's PCA parameters ({error})", "expected vggish_pca_params.npz") from error
    if vectors.shape != (128, 128) or means.shape != (128,):
        raise FileError(path, f"holds shapes {vectors.shape} and {means.shape}", "expected (128, 128) and (128,)")
    return torch.from_numpy(vectors).float(), torch.from_numpy(means).float()
