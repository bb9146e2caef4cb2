"""Augmentations on the fly: they change a recording's signals, never what its bag label means.

All work on signals on the clock's grid, ``{modality: (frame, ...)}``, and take a numpy Generator, so
that a bag's augmentation is a function of (seed, epoch, bag) whichever process makes it.
"""

from __future__ import annotations

import numpy as np

from mmcl.types import Clock

Grid = dict[str, np.ndarray]
PIECE_HOPS = 8  # rotation and scale change every so many hops of a stream


def augment(
    grid: Grid, clock: Clock, rng: np.random.Generator, strength: float = 1.0, shuffle_hops: int = 0
) -> Grid:
    """Speed, rotation, scale and noise, by strength; then pieces of the stream shuffled."""
    if strength > 0:
        grid = perturb(warp_speed(grid, clock, rng, 0.25 * strength), clock, rng, strength)
    return shuffle(grid, clock, rng, shuffle_hops) if shuffle_hops else grid


def perturb(grid: Grid, clock: Clock, rng: np.random.Generator, strength: float) -> Grid:
    """Rotation, scale and noise, anew for every piece of a long recording."""
    n_hops = n_hops_of(grid, clock)
    piece = piece_of_hop(n_hops, max(n_hops // PIECE_HOPS, 1), rng)
    change = {m: PERTURB.get(clock.kind(m), _as_it_is) for m in grid}
    of_frame = {m: np.repeat(piece, clock.frames_per_hop[m]) for m in grid}
    return {m: change[m](x, of_frame[m], rng, strength) for m, x in grid.items()}


def retime(
    grid: Grid,
    rng: np.random.Generator,
    spread: float,
    smallest: float = 1.0,
    probability: float = 0.7,
    n_knots: int = 6,
) -> Grid:
    """A stretch of the recording, played at an uneven pace to last as long as the whole.

    With this probability the stretch is a part of ``smallest`` to 1, anywhere in it; the pace varies
    smoothly by up to ``exp(spread)``. All modalities see the same moments. For recordings that are
    played to one length.
    """
    part = rng.uniform(smallest, 1) if rng.random() < probability else 1.0
    start = rng.uniform(0, 1 - part)
    knots = np.exp(rng.uniform(-spread, spread, n_knots))
    retimed = {}
    for m, x in grid.items():
        n = len(x)
        pace = np.interp(np.linspace(0, n_knots - 1, n), np.arange(n_knots), knots)
        done = (pace.cumsum() - pace / 2) / pace.sum()
        retimed[m] = interpolate(x, (start + part * done) * n - 0.5)
    return retimed


def repeat(grid: Grid, clock: Clock, rng: np.random.Generator, most: float) -> Grid:
    """Up to the share ``most`` of the hops are played twice, drawn at random, in all modalities alike.

    Source: ESimCSE, Wu et al., COLING 2022, whose words are hops here.
    """
    n_hops = n_hops_of(grid, clock)
    n = int(rng.integers(0, int(most * n_hops) + 1))
    order = np.sort(np.concatenate([np.arange(n_hops), rng.permutation(n_hops)[:n]]))
    frames = {m: clock.frames_per_hop[m] for m in grid}
    return {
        m: x.reshape(n_hops, frames[m], *x.shape[1:])[order].reshape(-1, *x.shape[1:])
        for m, x in grid.items()
    }


def interpolate(x: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Samples of ``x (frame, ...)`` between its frames; beyond the ends the nearest is held."""
    at = np.clip(at, 0, len(x) - 1)
    low = at.astype(np.int64)
    high = np.minimum(low + 1, len(x) - 1)
    part = (at - low).astype(np.float32).reshape(-1, *[1] * (x.ndim - 1))
    return x[low] * (1 - part) + x[high] * part


def to_length(x: np.ndarray, n: int) -> np.ndarray:
    """``x (frame, ...)`` played to ``n`` frames."""
    return interpolate(x, (np.arange(n) + 0.5) / n * len(x) - 0.5)


def n_hops_of(grid: Grid, clock: Clock) -> int:
    m, x = next(iter(grid.items()))
    return len(x) // clock.frames_per_hop[m]


def piece_of_hop(n_hops: int, n_pieces: int, rng: np.random.Generator) -> np.ndarray:
    """``(hop,)``: which of ``n_pieces`` stretches, cut at random, each hop lies in."""
    cuts = np.sort(rng.integers(0, n_hops, n_pieces - 1))
    return np.searchsorted(cuts, np.arange(n_hops), side="right")


def warp_speed(grid: Grid, clock: Clock, rng: np.random.Generator, spread: float) -> Grid:
    """Play slower and faster by up to ``exp(spread)``, smoothly, all modalities together."""
    n_hops = n_hops_of(grid, clock)
    n_knots = max(n_hops // 8, 2)
    knots = np.exp(rng.uniform(-spread, spread, n_knots))
    pace = np.interp(np.linspace(0, n_knots - 1, n_hops), np.arange(n_knots), knots)
    ends = np.concatenate([[0.0], pace.cumsum()])
    n_new = max(round(ends[-1]), clock.hops_per_window)
    warped = {}
    for m, x in grid.items():
        per_hop = clock.frames_per_hop[m]
        at = (np.arange(n_new * per_hop) + 0.5) / (n_new * per_hop) * ends[-1]
        warped[m] = interpolate(x, np.interp(at, ends, np.arange(n_hops + 1)) * per_hop - 0.5)
    return warped


def shuffle(grid: Grid, clock: Clock, rng: np.random.Generator, hops: int) -> Grid:
    """Cut into pieces of ``hops`` hops on average and put them in random order."""
    n_hops = n_hops_of(grid, clock)
    n_pieces = n_hops // hops
    if n_pieces < 2:
        return grid
    cuts = np.sort(rng.choice(np.arange(1, n_hops), n_pieces - 1, replace=False))
    pieces = np.split(np.arange(n_hops), cuts)
    order = np.concatenate([pieces[i] for i in rng.permutation(n_pieces)])
    return {
        m: x.reshape(n_hops, clock.frames_per_hop[m], *x.shape[1:])[order].reshape(x.shape)
        for m, x in grid.items()
    }


def crop(
    grid: Grid, clock: Clock, rng: np.random.Generator, smallest: float, probability: float = 0.7
) -> Grid:
    """Keep a stretch of at least ``smallest`` of the recording, with this probability."""
    n_hops = n_hops_of(grid, clock)
    least = max(int(np.ceil(smallest * n_hops)), clock.hops_per_window)
    if rng.random() >= probability or least >= n_hops:
        return grid
    kept = int(rng.integers(least, n_hops + 1))
    start = int(rng.integers(0, n_hops - kept + 1))
    return {m: x[start * f : (start + kept) * f] for m, x in grid.items() for f in (clock.frames_per_hop[m],)}


def sample_down(grid: Grid, clock: Clock, n_most: int) -> Grid:
    """At most ``n_most`` hops, evenly spread from the first to the last (MACIL-SD: 200 rows)."""
    n_hops = n_hops_of(grid, clock)
    if n_hops <= n_most:
        return grid
    kept = np.linspace(0, n_hops - 1, n_most).astype(np.int64)
    frames = lambda f: (kept[:, None] * f + np.arange(f)).reshape(-1)
    return {m: x[frames(clock.frames_per_hop[m])] for m, x in grid.items()}


def insert(grid: Grid, donor: Grid, clock: Clock, rng: np.random.Generator) -> Grid:
    """Put a stretch of the donor, up to half of it, somewhere into the recording.

    With a donor that holds no event the bag's label stands, whatever it is.
    """
    n, n_donor = n_hops_of(grid, clock), n_hops_of(donor, clock)
    length = int(rng.integers(1, max(n_donor // 2, 1) + 1))
    start, at = int(rng.integers(0, n_donor - length + 1)), int(rng.integers(0, n + 1))
    joined = {}
    for m, x in grid.items():
        f = clock.frames_per_hop[m]
        joined[m] = np.concatenate([x[: at * f], donor[m][start * f : (start + length) * f], x[at * f :]])
    return joined


def rotation(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rodrigues' formula: axis ``(n, 3)`` of unit length, angle ``(n,)`` rad -> ``(n, 3, 3)``."""
    x, y, z = axis.T
    zero = np.zeros_like(x)
    k = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
    s, c = np.sin(angle)[:, None, None], 1 - np.cos(angle)[:, None, None]
    return np.eye(3) + s * k + c * (k @ k)


def _axes(rng: np.random.Generator, n: int) -> np.ndarray:
    axis = rng.standard_normal((n, 3))
    return axis / np.linalg.norm(axis, axis=1, keepdims=True)


def perturb_skeleton(
    x: np.ndarray, piece: np.ndarray, rng: np.random.Generator, strength: float
) -> np.ndarray:
    """Turn about the vertical by up to 30 degrees, tilt a little, stretch by a tenth, jitter."""
    n, n_coordinates = int(piece[-1]) + 1, x.shape[-1]
    turn = rotation(np.tile([0.0, 1.0, 0.0], (n, 1)), rng.uniform(-1, 1, n) * np.radians(30) * strength)
    tilt = rotation(_axes(rng, n), rng.standard_normal(n) * np.radians(8) * strength)
    stretch = 1 + 0.1 * strength * rng.standard_normal((n, 1, 3)).clip(-2, 2)
    linear = ((turn @ tilt).transpose(0, 2, 1) * stretch).astype(np.float32)
    linear = linear[:, :n_coordinates, :n_coordinates]  # of a picture's skeleton: what a camera sees of it
    noise = rng.standard_normal(x.shape, np.float32) * np.float32(0.01 * strength)
    return x @ linear[piece] + noise


def perturb_inertial(
    x: np.ndarray, piece: np.ndarray, rng: np.random.Generator, strength: float
) -> np.ndarray:
    """Turn the sensor by some 15 degrees, scale both its kinds of channels, jitter.

    Six channels are two triples of axes, acceleration and angular rate of one sensor; what others are is not
    known, so they are scaled (by triples, where they are such) but not turned. Noise is 3 % of a channel's spread
    in this recording.
    """
    n, n_channels = int(piece[-1]) + 1, x.shape[1]
    axes = 3 if n_channels % 3 == 0 else 1
    parts = x.reshape(len(x), -1, axes)
    if n_channels == 6:
        turn = rotation(_axes(rng, n), rng.standard_normal(n) * np.radians(15) * strength)
        parts = parts @ turn.transpose(0, 2, 1).astype(np.float32)[piece]
    scale = 1 + 0.15 * strength * rng.standard_normal((n, parts.shape[1], 1)).clip(-2, 2)
    noise = rng.standard_normal(x.shape, np.float32) * (x.std(0) * np.float32(0.03 * strength))
    return (parts * scale.astype(np.float32)[piece]).reshape(x.shape) + noise


def _as_it_is(x: np.ndarray, piece: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    return x  # of precomputed features nothing is known that would not change what they say


PERTURB = {"skeleton": perturb_skeleton, "inertial": perturb_inertial}
