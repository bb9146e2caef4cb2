"""The types that everything shares, with their shapes and units.

Words for axes: ``bag`` (one recording), ``snippet`` (one instance of a bag), ``frame`` (one raw sample), ``channel``
(raw or precomputed features), ``joint``, ``dim`` (embedding), ``class``. A *modality* is a plain string: "visual",
"audio", "skeleton", "inertial" or any other name; mappings below are keyed by it. ``mask`` is True where something is
real, False where it is padding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mmcl.errors import InputError

Shape = int | Sequence[int]  # of a frame of a modality: channels, or joints and their coordinates


def default_kind(modality: str) -> str:
    """The kind of a modality by its name, where nothing else says it (``mmcl.readers.kinds``).

    Example:
        >>> default_kind("skeleton"), default_kind("visual"), default_kind("wrist")
        ('skeleton', 'features', 'inertial')
    """
    if modality == "skeleton":
        return "skeleton"
    return "features" if modality in ("visual", "audio") else "inertial"


def upcast(x: Tensor) -> Tensor:
    """Half precision becomes float32; float32 and float64 stay what they are.

    Example:
        >>> upcast(torch.ones(2, dtype=torch.float16)).dtype
        torch.float32
    """
    return x if x.dtype == torch.float64 else x.float()


def l2_normalize(x: Tensor) -> Tensor:
    """Unit length over the last axis, in float32 or better; a zero vector stays zero.

    Example:
        >>> l2_normalize(torch.tensor([3.0, 4.0]))
        tensor([0.6000, 0.8000])
    """
    return nn.functional.normalize(upcast(x), dim=-1)


@dataclass(frozen=True)
class InputSpec:
    """What a model takes of a modality.

    Attributes:
        kind: Name of its kind (``mmcl.readers.kinds``).
        shape: Of a frame: ``(channel,)`` or ``(joint, coordinate)``.
        channels: Names of the channels, in order, where files name them.

    Example:
        >>> InputSpec("skeleton", (20, 3)).shape
        (20, 3)
    """

    kind: str
    shape: tuple[int, ...]
    channels: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class SnippetGrid:
    """How recordings are cut into snippets, the same for all modalities.

    Snippet ``i`` covers the seconds ``[i * hop_s, i * hop_s + window_s)``.

    Attributes:
        hop_s: Seconds from one snippet to the next.
        window_s: Seconds of a snippet, a whole number of hops.
        frames_per_hop: Samples a hop of each modality (1 of precomputed features).
        stretch_s: Above 0 every recording is time-stretched to last so many seconds.
        kinds: The kind of each modality where its name does not say it.

    Example:
        >>> SnippetGrid(0.5, 1.0, {"wrist": 16}).n_snippets(9)
        8
    """

    hop_s: float
    window_s: float
    frames_per_hop: Mapping[str, int]
    stretch_s: float = 0.0
    kinds: Mapping[str, str] = field(default_factory=dict)

    def kind(self, modality: str) -> str:
        """The modality's kind."""
        return self.kinds.get(modality) or default_kind(modality)

    @property
    def hops_per_window(self) -> int:
        """Hops that a snippet covers."""
        return round(self.window_s / self.hop_s)

    def rate_hz(self, modality: str) -> float:
        """Samples a second on the grid [Hz]."""
        return self.frames_per_hop[modality] / self.hop_s

    def n_snippets(self, n_hops: int) -> int:
        """Snippets of so many hops; a recording shorter than a window is one, padded up to it."""
        return max(n_hops - self.hops_per_window + 1, 1)


@dataclass(frozen=True)
class Interval:
    """One annotated stretch of a recording, half-open, in seconds.

    Example:
        >>> Interval(1.0, 2.5, "fall").is_event
        True
    """

    start_s: float
    end_s: float
    name: str
    is_event: bool = True


@dataclass(frozen=True)
class Recording:
    """One recording: raw signals, each with its own rate, and what is known about it.

    Attributes:
        name: Unique in its data set.
        signal: ``{modality: (frame, ...)}`` float32: inertial ``(frame, channel)``, skeleton ``(frame, joint,
            coordinate)``, precomputed features ``(hop, channel)``.
        rate_hz: Samples a second of each [Hz].
        label: ``(class,)`` of 0 and 1, None when unknown.
        group: Who or where it was recorded.
        intervals: The truth, used by evaluation only.
        channels: Names of a modality's channels, in order, where its file names them.
        media: The video or sound file that its features were made of, where it is one file and known.

    Example:
        >>> Recording("r", {"wrist": np.zeros((100, 6))}, {"wrist": 50.0}).duration_s
        2.0
    """

    name: str
    signal: Mapping[str, np.ndarray]
    rate_hz: Mapping[str, float]
    label: np.ndarray | None = None
    group: str = ""
    intervals: tuple[Interval, ...] = ()
    channels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    media: Path | None = None

    @property
    def duration_s(self) -> float:
        """Seconds of its shortest signal."""
        return min(len(x) / self.rate_hz[m] for m, x in self.signal.items())

    def only(self, modalities: Sequence[str]) -> Recording:
        """The same recording with those of these modalities alone that it has."""
        signal = {m: self.signal[m] for m in modalities if m in self.signal}
        return replace(self, signal=signal, rate_hz={m: self.rate_hz[m] for m in signal})


@dataclass(frozen=True)
class Packing:
    """Where the snippets of a padded batch lie in a packed tensor ``(packed, ...)``.

    Bags are sorted by length and cut into groups; each group is one block of ``n_bags * n_snippets`` snippets, padded
    to the longest of its own bags only. What works on single snippets works on packed ones as they are; attention
    works on each block (``blocks``, views without copying).

    Attributes:
        position: ``(packed,)`` int, the place ``bag * n_snippets + snippet`` in the padded batch, no two alike.
        valid: ``(packed,)`` bool, False where a block is padded.
        groups: (n_bags, n_snippets) of each block; plain numbers made on the host, so that nothing on a GPU waits.
        shape: (bags, snippets) of the padded batch.

    Example:
        >>> packing = Packing(torch.tensor([0, 3, 4, 5]), torch.ones(4, dtype=torch.bool), ((1, 1), (1, 3)), (2, 3))
        >>> packing.unpack(packing.pack(torch.ones(2, 3)))
        tensor([[1., 0., 0.],
                [1., 1., 1.]])
    """

    position: Tensor
    valid: Tensor
    groups: tuple[tuple[int, int], ...]
    shape: tuple[int, int]

    def pack(self, x: Tensor) -> Tensor:
        """``(bag, snippet, ...)`` -> ``(packed, ...)``; InputError when x is of another batch's shape."""
        if x.shape[:2] != self.shape:
            raise InputError(f"packing: made for bags and snippets {self.shape}, got {tuple(x.shape[:2])}")
        return x.flatten(0, 1).index_select(0, self.position)

    def unpack(self, x: Tensor) -> Tensor:
        """``(packed, ...)`` -> ``(bag, snippet, ...)``, zeros where padded."""
        flat = x.new_zeros(self.shape[0] * self.shape[1], *x.shape[1:])
        return flat.index_copy(0, self.position, x).unflatten(0, self.shape)

    def blocks(self, x: Tensor) -> list[Tensor]:
        """``(packed, ...)`` -> for each group ``(bag, snippet, ...)``."""
        blocks = x.split([n * longest for n, longest in self.groups])
        return [block.unflatten(0, group) for block, group in zip(blocks, self.groups, strict=True)]


@dataclass(frozen=True)
class Bags:
    """A batch of bags, padded at the end to the longest one.

    Attributes:
        x: ``{modality: (bag, frame, ...)}``, raw samples on the snippet grid, zeros where padded. A modality that no
            bag has may be left out.
        mask: ``(bag, snippet)`` bool, True = real.
        label: ``(bag, class)`` float, 0 or 1.
        index: ``(bag,)`` int, the bag's number in its data set.
        present: ``{modality: (bag,)}`` bool, False where a bag lacks the modality (its ``x`` is zeros, and never read);
            without an entry all have it.
        packing: How to compute the bags with hardly any padding, for networks that can.
        group: ``(bag,)`` int, who or where it was recorded.

    Example:
        >>> mask = torch.ones(2, 3, dtype=torch.bool)
        >>> Bags({"a": torch.zeros(2, 3, 5)}, mask, torch.zeros(2, 1), torch.arange(2)).has_all
        tensor([True, True])
    """

    x: Mapping[str, Tensor]
    mask: Tensor
    label: Tensor
    index: Tensor
    present: Mapping[str, Tensor] = field(default_factory=dict)
    packing: Packing | None = None
    group: Tensor | None = None

    def to(self, device: torch.device | str) -> Bags:
        """The same on a device."""
        return self.map(lambda t: t.to(device, non_blocking=True))

    def pin_memory(self) -> Bags:
        """In memory from which a GPU copies while the host goes on; the loader calls it."""
        return self.map(lambda t: t.pin_memory())

    def map(self, move: Callable[[Tensor], Tensor]) -> Bags:
        """The same with ``move`` applied to every tensor, always in one order."""
        p = self.packing
        packing = None if p is None else replace(p, position=move(p.position), valid=move(p.valid))
        x, present = ({m: move(t) for m, t in tensors.items()} for tensors in (self.x, self.present))
        group = None if self.group is None else move(self.group)
        return Bags(x, move(self.mask), move(self.label), move(self.index), present, packing, group)

    @cached_property
    def packed(self) -> Mapping[str, Tensor]:
        """``x`` packed, ``(row, ...)``; made once for all networks that see the batch."""
        assert self.packing is not None
        return {m: self.packing.pack(x) for m, x in self.x.items()}

    @property
    def has_all(self) -> Tensor:
        """``(bag,)`` bool: no modality is missing."""
        complete = torch.ones(len(self.mask), dtype=torch.bool, device=self.mask.device)
        for present in self.present.values():
            complete = complete & present
        return complete


@dataclass(frozen=True)
class ModelOutput:
    """What a network makes of bags.

    Attributes:
        embedding: ``{modality: (bag, snippet, dim)}`` after fusion.
        logit: ``{modality: (bag, snippet, class)}`` of each modality.
        joint_logit: ``(bag, snippet, class)`` of all together.
        projection: ``{modality: (bag, snippet, dim)}``, what is contrasted (the embedding itself when the network has
            no projection heads).
        mask: That of the bags.
        unimodal_embedding: ``{modality: (bag, snippet, dim)}`` before fusion.
    """

    embedding: Mapping[str, Tensor]
    logit: Mapping[str, Tensor]
    joint_logit: Tensor
    projection: Mapping[str, Tensor]
    mask: Tensor
    unimodal_embedding: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class SnippetScores:
    """Snippet scores of one recording, what the inference tool makes.

    Attributes:
        name: Of the recording.
        start_s: ``(snippet,)`` [s].
        end_s: ``(snippet,)`` [s].
        score: ``(snippet, class)`` in [0, 1], joint.
        modality_score: The same of each modality.
        bag_score: ``(class,)`` of the whole recording.
        modality_bag_score: The same of each modality.
        classes: Names of the classes.
        intervals: True events, where they are known.
    """

    name: str
    start_s: np.ndarray
    end_s: np.ndarray
    score: np.ndarray
    modality_score: Mapping[str, np.ndarray]
    bag_score: np.ndarray
    modality_bag_score: Mapping[str, np.ndarray]
    classes: tuple[str, ...]
    intervals: tuple[Interval, ...] = field(default=())

    @property
    def mean_bag_score(self) -> np.ndarray:
        """``(class,)`` of classes that exclude each other: the mean of the heads' log-scores, joint and of each
        modality, as scores that add up to 1. It decides what a recording shows.

        Example:
            >>> x = np.array([0.8, 0.2])
            >>> s = SnippetScores("r", x, x, x, {"a": x}, x, {"a": 1 - x}, ("yes", "no"))
            >>> s.mean_bag_score.round(2).tolist()
            [0.5, 0.5]
        """
        heads = [self.bag_score, *self.modality_bag_score.values()]
        mean = np.mean([np.log(h + 1e-12) for h in heads], axis=0)
        score = np.exp(mean - mean.max())
        return score / score.sum()
