"""Augmentations on the fly: they change a recording's signals, never what its bag label means.

All work on signals on the grid, ``{modality: (frame, ...)}``, and take a numpy Generator, so
that a bag's augmentation is a function of (seed, epoch, bag) whichever process makes it.
"""

from __future__ import annotations

import numpy as np

from mmcl.readers.kinds import get_kind
from mmcl.readers.resample import interpolate
from mmcl.types import SnippetGrid

Signals = dict[str, np.ndarray]
SEGMENT_HOPS = 8  # rotation and scale change every so many hops of a recording


def augment(
    signals: Signals,
    grid: SnippetGrid,
    rng: np.random.Generator,
    strength: float = 1.0,
    shuffle_hops: int = 0,
) -> Signals:
    """Speed, rotation, scale and noise, by strength; then segments of the recording shuffled."""
    if strength > 0:
        signals = perturb(warp_speed(signals, grid, rng, 0.25 * strength), grid, rng, strength)
    return shuffle(signals, grid, rng, shuffle_hops) if shuffle_hops else signals


def perturb(signals: Signals, grid: SnippetGrid, rng: np.random.Generator, strength: float) -> Signals:
    """Rotation, scale and noise, anew for every segment of a long recording."""
    n_hops = n_hops_of(signals, grid)
    segment = segment_of_hop(n_hops, max(n_hops // SEGMENT_HOPS, 1), rng)
    of_frame = {m: np.repeat(segment, grid.frames_per_hop[m]) for m in signals}
    return {m: get_kind(grid.kind(m)).augment(x, of_frame[m], rng, strength) for m, x in signals.items()}


def retime(
    signals: Signals,
    rng: np.random.Generator,
    spread: float,
    smallest: float = 1.0,
    probability: float = 0.7,
    n_knots: int = 6,
) -> Signals:
    """A stretch of the recording, played at an uneven pace to last as long as all of it.

    Args:
        signals: On the grid.
        rng: Of all that is random.
        spread: Of the pace, 0 = even.
        smallest: Smallest share of the recording.
        probability: That it is shorter than the recording.
        n_knots: Of the pace.
    """
    share = rng.uniform(smallest, 1) if rng.random() < probability else 1.0
    start = rng.uniform(0, 1 - share)
    knots = np.exp(rng.uniform(-spread, spread, n_knots))
    retimed = {}
    for m, x in signals.items():
        n = len(x)
        pace = np.interp(np.linspace(0, n_knots - 1, n), np.arange(n_knots), knots)
        done = (pace.cumsum() - pace / 2) / pace.sum()
        retimed[m] = interpolate(x, (start + share * done) * n - 0.5)
    return retimed


def repeat(signals: Signals, grid: SnippetGrid, rng: np.random.Generator, most: float) -> Signals:
    """Repeat hops drawn at random, in all modalities alike.

    Args:
        signals: On the grid.
        grid: How they are cut into hops.
        rng: Of all that is random.
        most: Largest share of the hops that are repeated.

    Reference:
        ESimCSE, Wu et al., COLING 2022, whose words are hops here.
    """
    n_hops = n_hops_of(signals, grid)
    n = int(rng.integers(0, int(most * n_hops) + 1))
    order = np.sort(np.concatenate([np.arange(n_hops), rng.permutation(n_hops)[:n]]))
    frames = {m: grid.frames_per_hop[m] for m in signals}
    return {m: x.reshape(n_hops, frames[m], *x.shape[1:])[order].reshape(-1, *x.shape[1:]) for m, x in signals.items()}


def n_hops_of(signals: Signals, grid: SnippetGrid) -> int:
    """Hops of signals on the grid."""
    m, x = next(iter(signals.items()))
    return len(x) // grid.frames_per_hop[m]


def segment_of_hop(n_hops: int, n_segments: int, rng: np.random.Generator) -> np.ndarray:
    """``(hop,)``: which of ``n_segments`` stretches, cut at random, each hop lies in."""
    cuts = np.sort(rng.integers(0, n_hops, n_segments - 1))
    return np.searchsorted(cuts, np.arange(n_hops), side="right")


def warp_speed(signals: Signals, grid: SnippetGrid, rng: np.random.Generator, spread: float) -> Signals:
    """Play slower and faster by up to ``exp(spread)``, smoothly, all modalities together."""
    n_hops = n_hops_of(signals, grid)
    n_knots = max(n_hops // 8, 2)
    knots = np.exp(rng.uniform(-spread, spread, n_knots))
    pace = np.interp(np.linspace(0, n_knots - 1, n_hops), np.arange(n_knots), knots)
    ends = np.concatenate([[0.0], pace.cumsum()])
    n_new = max(round(ends[-1]), grid.hops_per_window)
    warped = {}
    for m, x in signals.items():
        per_hop = grid.frames_per_hop[m]
        at = (np.arange(n_new * per_hop) + 0.5) / (n_new * per_hop) * ends[-1]
        warped[m] = interpolate(x, np.interp(at, ends, np.arange(n_hops + 1)) * per_hop - 0.5)
    return warped


def shuffle(signals: Signals, grid: SnippetGrid, rng: np.random.Generator, hops: int) -> Signals:
    """Cut into segments of ``hops`` hops on average and put them in random order."""
    n_hops = n_hops_of(signals, grid)
    n_segments = n_hops // hops
    if n_segments < 2:
        return signals
    cuts = np.sort(rng.choice(np.arange(1, n_hops), n_segments - 1, replace=False))
    segments = np.split(np.arange(n_hops), cuts)
    order = np.concatenate([segments[i] for i in rng.permutation(n_segments)])
    return {
        m: x.reshape(n_hops, grid.frames_per_hop[m], *x.shape[1:])[order].reshape(x.shape) for m, x in signals.items()
    }


def crop(
    signals: Signals, grid: SnippetGrid, rng: np.random.Generator, smallest: float, probability: float = 0.7
) -> Signals:
    """Keep a stretch of at least ``smallest`` of the recording, with this probability."""
    n_hops = n_hops_of(signals, grid)
    least = max(int(np.ceil(smallest * n_hops)), grid.hops_per_window)
    if rng.random() >= probability or least >= n_hops:
        return signals
    kept = int(rng.integers(least, n_hops + 1))
    start = int(rng.integers(0, n_hops - kept + 1))
    return {m: x[start * f : (start + kept) * f] for m, x in signals.items() for f in (grid.frames_per_hop[m],)}


def sample_down(signals: Signals, grid: SnippetGrid, n_most: int) -> Signals:
    """At most ``n_most`` hops, evenly spread from the first to the last (MACIL-SD: 200 rows)."""
    n_hops = n_hops_of(signals, grid)
    if n_hops <= n_most:
        return signals
    kept = np.linspace(0, n_hops - 1, n_most).astype(np.int64)

    def frames(f):
        return (kept[:, None] * f + np.arange(f)).reshape(-1)

    return {m: x[frames(grid.frames_per_hop[m])] for m, x in signals.items()}


def insert(signals: Signals, donor: Signals, grid: SnippetGrid, rng: np.random.Generator) -> Signals:
    """Put a stretch of a donor, up to half of it, somewhere into the recording.

    Args:
        signals: On the grid.
        donor: Signals of a recording that holds no event, so that the label stands.
        grid: How both are cut into hops.
        rng: Of all that is random.
    """
    n, n_donor = n_hops_of(signals, grid), n_hops_of(donor, grid)
    length = int(rng.integers(1, max(n_donor // 2, 1) + 1))
    start, at = int(rng.integers(0, n_donor - length + 1)), int(rng.integers(0, n + 1))
    joined = {}
    for m, x in signals.items():
        f = grid.frames_per_hop[m]
        joined[m] = np.concatenate([x[: at * f], donor[m][start * f : (start + length) * f], x[at * f :]])
    return joined
