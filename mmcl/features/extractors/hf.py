"""Any video, image or audio model of the Hugging Face hub, or of a folder, with its own processor."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from einops import rearrange
from torch import Tensor

from mmcl.errors import InputError
from mmcl.features.extractors._base import Extractor
from mmcl.features.weights import sha256_of
from mmcl.io import first_line
from mmcl.media.timing import AUDIO_HZ, FRAMES_PER_SNIPPET

__all__ = ["Hf"]

EVERY = 4  # frames that a model of single pictures sees
VIDEO_INPUTS = ("pixel_values_videos", "pixel_values")


class Hf(Extractor):
    """Features of a model of transformers: its pooled output, or the mean over its tokens.

    A video model (VideoMAE, TimeSformer, ViViT, V-JEPA 2) sees the snippet's 16 frames, thinned or repeated to as many
    as it takes; a picture model (CLIP, SigLIP, DINOv2, ViT) every fourth frame, and the row is mean and spread over
    them. An audio model (AST, CLAP, WavLM, HuBERT, wav2vec 2.0) hears the second that ends with the snippet, at its own
    rate. Weights are read as safetensors, or, of a model that has none, as a pickle of which tensors alone are read
    (``weights_only``); no code of the hub is run.

    forward: frames ``(snippet, 16, height, width, 3)`` uint8 -> ``(snippet, 1, dim)``, or sound ``(snippet, 16000)`` ->
    ``(snippet, dim)``.

    Args:
        model: A folder, or OWNER/NAME.
        modality: "visual" or "audio".

    Raises:
        InputError: transformers is not installed, the model or its processor is not there, or it gives no embedding of
            a picture, a video or a sound alone.

    Example:
        >>> Hf.extra
        'hf'
    """

    modality = "any"
    extra, fetched = "hf", "weights of a model are fetched from the hub"
    short_side = 256

    def __init__(self, model: str = "", modality: str = "visual"):
        super().__init__()
        self.modality = modality
        self.option = f"--{modality} hf:{model or 'OWNER/NAME'}"
        if not model:
            raise InputError(f"{self.option}: expected a folder, or OWNER/NAME on the hub")
        if not Path(model).is_dir() and (model.startswith((".", "/", "~")) or model.count("/") != 1):
            raise InputError(f"{self.option}: no such folder; expected one with config.json, or OWNER/NAME on the hub")
        config, self.processor, self.body = self._load(model)
        inner = getattr(config, "vision_config", config)
        frames = getattr(inner, "num_frames", None) or getattr(inner, "frames_per_clip", None)
        self.n_frames = int(frames) if modality == "visual" and frames else 0
        self.rate_hz = int(getattr(self.processor, "sampling_rate", AUDIO_HZ))
        self.weights_sha256 = _identity(model, config)
        self.dim = self._tried_dim()

    def _tried_dim(self) -> int:
        """Channels of what the model gives for a black or silent snippet."""
        silence = torch.zeros(1, AUDIO_HZ)
        black = torch.zeros(1, FRAMES_PER_SNIPPET, 64, 64, 3, dtype=torch.uint8)
        try:
            with torch.inference_mode():
                row = self.eval()(black if self.modality == "visual" else silence)
        except Exception as error:  # whatever the model's code raises
            raise InputError(
                f"{self.option}: gives no features of {self.modality} input alone ({first_line(error)}); expected a "
                "model that embeds pictures, videos or sound"
            ) from error
        n_axes = 3 if self.modality == "visual" else 2
        if row.ndim != n_axes or not row.isfinite().all():
            raise InputError(f"{self.option}: gives {tuple(row.shape)} a snippet; expected one finite vector")
        return int(row.shape[-1])

    def _load(self, model: str) -> tuple[Any, Any, Any]:
        try:
            import transformers as hf
        except ImportError:
            raise InputError(f"{self.option}: transformers is not installed; pip install 'mmcl[hf]'") from None
        hf.logging.set_verbosity_error()
        hf.logging.disable_progress_bar()
        processors = (
            (hf.AutoImageProcessor, hf.AutoVideoProcessor) if self.modality == "visual" else (hf.AutoFeatureExtractor,)
        )
        here = {"local_files_only": not Path(model).is_dir() and not _hub_answers()}
        try:
            config = hf.AutoConfig.from_pretrained(model, **here)
            body = _read_weights(hf.AutoModel, model, here)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"{self.option}: no model there ({first_line(error)}); give a folder with config.json and "
                f"model.safetensors, or fetch it where there is a network: hf download {model}, into "
                f"{_hub_cache()} here, or any folder (--local-dir FOLDER, hf:FOLDER)"
            ) from error
        reasons = []
        for processor in processors:
            try:
                return config, processor.from_pretrained(model, **here), body
            except (OSError, ValueError, KeyError, ImportError, TypeError) as error:
                reasons.append(first_line(error))
        raise InputError(
            f"{self.option}: has no processor for {self.modality} input; expected preprocessor_config.json beside "
            f"config.json ({reasons[0]})"
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.modality == "audio":
            return self._features(self._sound(x))
        if self.n_frames:
            at = torch.linspace(0, FRAMES_PER_SNIPPET - 1, self.n_frames).round().long()
            return self._features(self._videos(x[:, at]))[:, None]
        chosen = x[:, ::EVERY]
        pictures = list(rearrange(chosen, "snippet frame h w c -> (snippet frame) h w c").cpu().numpy())
        outputs = self._features(self.processor(images=pictures, return_tensors="pt"))
        of_frames = outputs.unflatten(0, (len(x), -1))
        return torch.cat([of_frames.mean(1), of_frames.std(1, correction=0)], 1)[:, None]

    def _videos(self, frames: Tensor) -> Any:
        videos = [list(video) for video in frames.cpu().numpy()]
        outputs = [self.processor(video, return_tensors="pt") for video in videos]
        key = next(k for k in VIDEO_INPUTS if k in outputs[0])
        pixels = [m[key] if m[key].ndim == 5 else m[key][None] for m in outputs]
        return {key: torch.cat(pixels)}

    def _sound(self, x: Tensor) -> Any:
        from torchaudio.functional import resample

        wave = resample(x, AUDIO_HZ, self.rate_hz) if self.rate_hz != AUDIO_HZ else x
        inputs = self.processor(list(wave.cpu().numpy()), sampling_rate=self.rate_hz, return_tensors="pt")
        if "is_longer" in inputs:  # CLAP's processor calls one of the sounds, drawn at random, longer than it takes
            inputs["is_longer"] = torch.zeros(len(x), 1, dtype=torch.bool)
        return inputs

    def _features(self, inputs: Any) -> Tensor:
        given = {k: v.to(self.device) if isinstance(v, Tensor) else v for k, v in inputs.items()}
        kinds = ("audio",) if self.modality == "audio" else ("video", "image") if self.n_frames else ("image",)
        named = (getattr(self.body, f"get_{kind}_features", None) for kind in kinds)
        return _pooled(next((call for call in named if call), self.body)(**given))


def _pooled(output: Any) -> Tensor:
    """``(input, dim)``: pooled by the model, else the mean over tokens, or over places of a convolutional network."""
    x = output if isinstance(output, Tensor) else getattr(output, "pooler_output", None)
    if x is None:
        x = output.last_hidden_state
        if x.ndim == 3:
            x = x.mean(1)
    assert isinstance(x, Tensor)
    return x.flatten(2).mean(2) if x.ndim > 2 else x


def _read_weights(auto_model: Any, model: str, options: dict[str, bool]) -> Any:
    try:
        return auto_model.from_pretrained(model, use_safetensors=True, **options)
    except OSError as error:
        if "safetensors" not in str(error):
            raise
    return auto_model.from_pretrained(model, use_safetensors=False, weights_only=True, **options)


def _hub_answers() -> bool:
    """Is there a way to the hub, so that what is not here can be fetched? Asked once, shortly, not by retries."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    if getproxies():
        return True
    place = urlsplit(constants.ENDPOINT)
    try:
        with socket.create_connection((place.hostname or "", place.port or 443), timeout=5):
            return True
    except OSError:
        return False


def _hub_cache() -> str:
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)


def _identity(model: str, config: Any) -> str:
    """Tells a model, with what prepares its input, from others: a hash of its files, or its commit on the hub."""
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return str(getattr(config, "_commit_hash", "") or "")
    weights = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    settings = [folder / "config.json", *sorted(folder.glob("*processor*.json"))]
    of_files = "".join(sha256_of(path) for path in (*weights, *settings) if path.is_file())
    return hashlib.sha256(of_files.encode()).hexdigest()
