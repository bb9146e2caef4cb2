"""The legend of shapes and units for the whole code. L0: imports nothing above it.

Words for axes: ``bag`` (one recording), ``snippet`` (one instance of a bag), ``frame`` (one raw
sample), ``channel`` (raw or precomputed features), ``joint``, ``dim`` (embedding), ``class``,
``pick`` (one chosen snippet of a bag). A *modality* is a plain string: "visual", "audio",
"skeleton", "inertial" or any other name; every mapping below is keyed by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mmcl.packing import Packing

Kind = Literal["inertial", "skeleton", "features"]


def kind_of(modality: str) -> Kind:
    """What a modality is by its name, where nothing else tells: a skeleton ``(frame, joint, coordinate)``,
    precomputed features ``(snippet, channel)`` of a front-end, or a sensor's samples ``(frame, channel)``."""
    if modality == "skeleton":
        return "skeleton"
    return "features" if modality in ("visual", "audio") else "inertial"


@dataclass(frozen=True)
class Clock:
    """How a recording is cut into snippets, the same for all of its modalities.

    Snippet ``i`` covers the seconds ``[i * hop_s, i * hop_s + window_s)``. The window is a whole
    number of hops. ``frames_per_hop[m]`` says how many raw samples of modality m stand for one hop
    (1 for precomputed features, one row a snippet). With ``stretch_s`` above 0 every recording is played
    to last so many seconds; its snippets then cover other seconds of its own. ``kinds[m]``: what modality m is, where
    its name does not tell (``kind_of``).
    """

    hop_s: float
    window_s: float
    frames_per_hop: Mapping[str, int]
    stretch_s: float = 0.0
    kinds: Mapping[str, Kind] = field(default_factory=dict)

    def kind(self, modality: str) -> Kind:
        return self.kinds.get(modality) or kind_of(modality)

    @property
    def hops_per_window(self) -> int:
        return round(self.window_s / self.hop_s)

    def rate_hz(self, modality: str) -> float:
        return self.frames_per_hop[modality] / self.hop_s

    def n_snippets(self, n_hops: int) -> int:
        """A recording shorter than one window still is one snippet: it is padded up to it."""
        return max(n_hops - self.hops_per_window + 1, 1)


@dataclass(frozen=True)
class Interval:
    """One annotated stretch of a recording, half-open, in seconds."""

    start_s: float
    end_s: float
    name: str
    is_event: bool = True


@dataclass(frozen=True)
class Recording:
    """One recording: raw signals, each with its own rate, and what is known about it.

    ``signal[m]`` is ``(frame, ...)`` float32: inertial ``(frame, channel)``, skeleton
    ``(frame, joint, 3)``, precomputed features ``(snippet, channel)``. ``label`` is ``(class,)``
    with values 0 or 1, None when unknown. ``intervals`` is the truth, used by evaluation only.
    """

    name: str
    signal: Mapping[str, np.ndarray]
    rate_hz: Mapping[str, float]
    label: np.ndarray | None = None
    group: str = ""
    intervals: tuple[Interval, ...] = ()

    @property
    def duration_s(self) -> float:
        return min(len(x) / self.rate_hz[m] for m, x in self.signal.items())

    def only(self, modalities: Sequence[str]) -> Recording:
        """The same recording with these modalities alone."""
        signal = {m: self.signal[m] for m in modalities}
        return replace(self, signal=signal, rate_hz={m: self.rate_hz[m] for m in modalities})


@dataclass(frozen=True)
class Bags:
    """A batch of bags, padded at the end to the longest one.

    ``x[m]``: ``(bag, frame, ...)``, the raw samples on the clock's grid, zeros where padded.
    ``mask``: ``(bag, snippet)`` bool, True = real. ``label``: ``(bag, class)`` float, 0 or 1.
    ``index``: ``(bag,)`` the bag's number in its data set. ``present[m]``: ``(bag,)`` bool, False
    where a bag lacks modality m (its ``x[m]`` is zeros, and never looked at); without an entry all
    have it. A modality that no bag has may be left out of ``x``. ``packing``: how to compute the bags
    with hardly any padding, for networks that can. ``group``: ``(bag,)`` int, who or where it was recorded.
    """

    x: Mapping[str, Tensor]
    mask: Tensor
    label: Tensor
    index: Tensor
    present: Mapping[str, Tensor] = field(default_factory=dict)
    packing: Packing | None = None
    group: Tensor | None = None

    def to(self, device) -> Bags:
        move = lambda t: t.to(device, non_blocking=True)
        return Bags(
            {m: move(x) for m, x in self.x.items()},
            move(self.mask),
            move(self.label),
            move(self.index),
            {m: move(p) for m, p in self.present.items()},
            None if self.packing is None else self.packing.to(device),
            None if self.group is None else move(self.group),
        )

    def pin_memory(self) -> Bags:
        """In memory from which a GPU copies while the host goes on; the loader asks for it."""
        pin = lambda t: t.pin_memory()
        packing = self.packing and replace(
            self.packing, row=pin(self.packing.row), real=pin(self.packing.real)
        )
        x, present = ({m: pin(t) for m, t in of.items()} for of in (self.x, self.present))
        group = None if self.group is None else pin(self.group)
        return Bags(x, pin(self.mask), pin(self.label), pin(self.index), present, packing, group)

    @cached_property
    def rows(self) -> Mapping[str, Tensor]:
        """``x[m]`` packed, ``(row, ...)``; made once for all networks that look at the batch."""
        assert self.packing is not None
        return {m: self.packing.pack(x) for m, x in self.x.items()}

    @property
    def has_all(self) -> Tensor:
        """``(bag,)`` bool: no modality is missing."""
        every = torch.ones(len(self.mask), dtype=torch.bool, device=self.mask.device)
        for present in self.present.values():
            every = every & present
        return every


@dataclass(frozen=True)
class Encoded:
    """What a network makes of bags.

    ``embedding[m]``: ``(bag, snippet, dim)`` after fusion. ``logit[m]``: ``(bag, snippet, class)``
    of one modality. ``joint_logit``: ``(bag, snippet, class)`` of all together.
    ``projection[m]``: ``(bag, snippet, dim)``, what the contrast compares (the embedding itself
    when the network has no projection heads). ``mask`` is that of the bags. ``own[m]``: ``(bag, snippet,
    dim)``, before fusion: what one stream alone says.
    """

    embedding: Mapping[str, Tensor]
    logit: Mapping[str, Tensor]
    joint_logit: Tensor
    projection: Mapping[str, Tensor]
    mask: Tensor
    own: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Picks:
    """Chosen snippets of each bag: ``idx`` ``(bag, pick)`` int, ``mask`` ``(bag, pick)`` bool.

    Where ``mask`` is False the index is meaningless, but safe to gather with.
    """

    idx: Tensor
    mask: Tensor

    @property
    def count(self) -> Tensor:
        """``(bag,)`` how many snippets of each bag were picked."""
        return self.mask.sum(1)


@dataclass(frozen=True)
class SemiBags:
    """A batch's instances in three clusters, per modality (MACIL-SD, section 3.3).

    ``event``: the high-scored snippets of event bags. ``background``: the low-scored snippets of
    every bag. ``normal``: the high-scored snippets of bags without an event (hard negatives).
    ``is_event``: ``(bag,)`` bool, which bags count as event bags.
    """

    event: Mapping[str, Picks]
    background: Mapping[str, Picks]
    normal: Mapping[str, Picks]
    is_event: Tensor

    def only(self, bags: Tensor) -> SemiBags:
        """Nothing picked in the other bags; bags: ``(bag,)`` bool."""
        keep = lambda parts: {m: Picks(p.idx, p.mask & bags[:, None]) for m, p in parts.items()}
        return SemiBags(keep(self.event), keep(self.background), keep(self.normal), self.is_event)


@dataclass(frozen=True)
class Timeline:
    """Snippet scores of one recording, the product of the inference tool.

    ``start_s``, ``end_s``: ``(snippet,)`` seconds. ``score``: ``(snippet, class)`` in [0, 1], joint.
    ``modality_score[m]``: the same from one modality. ``bag_score``,
    ``modality_bag_score[m]``: ``(class,)`` of the whole recording.
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
