"""Speech and sound models of torchaudio's pretrained bundles."""

from __future__ import annotations

from typing import Any
from urllib.error import URLError

import torchaudio
from torch import Tensor

from mmcl.errors import InputError
from mmcl.features.extractors._base import AudioExtractor
from mmcl.features.weights import cache_folder, sha256_of
from mmcl.io import first_line
from mmcl.media.timing import AUDIO_HZ

__all__ = ["Torchaudio"]

ADDRESS = "https://download.pytorch.org/torchaudio/models/"


class Torchaudio(AudioExtractor):
    """The last layer of a bundle such as ``torchaudio:WAVLM_BASE``, mean over the second that ends with the snippet.

    forward: sound ``(snippet, 16000)`` -> ``(snippet, dim)``.

    Args:
        model: A bundle of ``torchaudio.pipelines`` with ``extract_features`` (WAV2VEC2_*, HUBERT_*, WAVLM_*).

    Raises:
        InputError: There is no such bundle, or its weights are not there.

    Example:
        >>> Torchaudio.modality
        'audio'
    """

    fetched = "weights of a bundle are fetched"

    def __init__(self, model: str = "WAVLM_BASE"):
        super().__init__()
        option = f"--audio torchaudio:{model}"
        bundle = getattr(torchaudio.pipelines, model, None)
        names = [n for n in dir(torchaudio.pipelines) if n.startswith(("WAV2VEC2", "HUBERT", "WAVLM"))]
        if not isinstance(bundle, torchaudio.pipelines.Wav2Vec2Bundle):
            raise InputError(f"{option}: no such bundle; expected one of {', '.join(names)}")
        folder = cache_folder()
        path = folder / bundle._path.rsplit("/", 1)[-1]
        try:
            body = bundle.get_model(dl_kwargs={"model_dir": str(folder), "weights_only": True})
        except (URLError, OSError, RuntimeError) as error:
            raise InputError(
                f"{option}: no weights there ({first_line(error)}); fetch {ADDRESS}{bundle._path} and put it into "
                f"{folder}"
            ) from error
        self.body: Any = body
        self.rate_hz = int(bundle.sample_rate)
        self.weights_sha256 = sha256_of(path) if path.exists() else ""
        self.dim = int(bundle._params["encoder_embed_dim"])

    def forward(self, sound: Tensor) -> Tensor:
        wave = torchaudio.functional.resample(sound, AUDIO_HZ, self.rate_hz) if self.rate_hz != AUDIO_HZ else sound
        layers, _ = self.body.extract_features(wave)
        return layers[-1].mean(1)
