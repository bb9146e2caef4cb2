"""Made-up clips with picture and sound, for the demo and the tests.

Discs drift over a dim ground while something hums. An event is a burst that is both seen (a fireball)
and heard (a boom). There also are fireballs without a sound and booms without a picture, in clips with
and without events: neither modality alone says which. Nothing here looks like real violence: it shows
that the machinery works.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmcl.errors import InputError
from mmcl.io import atomic_write
from mmcl.media.writer import write_video

FPS, HEIGHT, WIDTH, HZ = 24, 90, 120, 16_000
SHORTEST_S = 10.0  # room for an event and its distractors
FIRE = np.array([255, 190, 70], np.float32)
EVENT_CODE = "G"  # XD-Violence's code of explosions


@dataclass(frozen=True)
class Burst:
    """kind: "both", "seen" or "heard"; start and end in frames."""

    kind: str
    start: int
    end: int


def plan(rng: np.random.Generator, n_frames: int, is_event: bool) -> list[Burst]:
    """Bursts that do not touch, each 1.3 to 2.7 s: an event or two in event clips, distractors in all."""
    spare = -1
    while spare < 0:
        kinds = ["both"] * (int(rng.integers(1, 3)) if is_event else 0)
        kinds += ["seen"] * int(rng.integers(1, 3)) + ["heard"] * int(rng.integers(1, 3))
        kinds = [kinds[i] for i in rng.permutation(len(kinds))]
        lengths = rng.integers(32, 65, len(kinds))
        spare = n_frames - int(lengths.sum()) - 24 * (len(kinds) + 1)
    gaps = 24 + np.diff(np.sort(rng.integers(0, spare + 1, len(kinds))), prepend=0)
    bursts, at = [], 0
    for kind, length, gap in zip(kinds, lengths, gaps, strict=True):
        bursts.append(Burst(kind, at + int(gap), at + int(gap + length)))
        at = bursts[-1].end
    return bursts


def pictures(rng: np.random.Generator, n_frames: int, bursts: list[Burst]) -> Iterator[np.ndarray]:
    """Frames of a clip, ``(height, width, 3)`` uint8 each."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    ground = (rng.uniform(20, 70, 3) + rng.uniform(-25, 25, 3) * (x / WIDTH)[..., None]).astype(np.float32)
    discs = [
        (rng.uniform(0, 1, 2), rng.uniform(-0.1, 0.1, 2), rng.uniform(5, 14), rng.uniform(30, 160, 3)) for _ in range(4)
    ]
    places = {b.start: rng.uniform(0.25, 0.75, 2) for b in bursts}
    grain = rng.normal(0, 4, (8, HEIGHT, WIDTH, 1)).astype(np.float32)
    for k in range(n_frames):
        image = ground.copy()
        for place, pace, radius, colour in discs:
            cx, cy = (place + pace * k / FPS) % 1 * (WIDTH, HEIGHT)
            image[(x - cx) ** 2 + (y - cy) ** 2 < radius**2] = colour
        for b in bursts:
            if b.start <= k < b.end and b.kind != "heard":
                done = (k - b.start) / (b.end - b.start)
                cx, cy = places[b.start] * (WIDTH, HEIGHT)
                size = 32 * np.sin(np.pi * min(done * 1.6 + 0.1, 1) / 2) * (1 + 0.12 * np.sin(k * 2.1))
                glow = np.clip(1.4 - np.hypot(x - cx, y - cy) / np.float32(size), 0, 1)[..., None]
                glow *= np.float32(1 - 0.5 * done)
                image = image * (1 - glow) + glow * FIRE
        yield np.clip(image + grain[k % 8], 0, 255).astype(np.uint8)


def sound(rng: np.random.Generator, n_frames: int, bursts: list[Burst]) -> np.ndarray:
    """Sound of a clip, mono float32."""
    n = n_frames * HZ // FPS
    t = np.arange(n) / HZ
    hum = 0.03 * np.sin(2 * np.pi * rng.uniform(90, 300) * t) * (1 + 0.5 * np.sin(2 * np.pi * 0.3 * t))
    x = hum + rng.normal(0, rng.uniform(0.004, 0.015), n)
    for _ in range(rng.integers(2, 6)):  # beeps
        at = int(rng.integers(0, n - HZ // 2))
        x[at : at + HZ // 4] += 0.08 * np.sin(2 * np.pi * rng.uniform(500, 2000) * t[: HZ // 4])
    for b in bursts:
        if b.kind != "seen":
            first, last = b.start * HZ // FPS, b.end * HZ // FPS
            noise = rng.normal(0, 1, last - first + 64)
            low = np.convolve(noise, np.ones(64) / 8, "valid")[: last - first]
            x[first:last] += 0.2 * low * np.exp(-1.2 * np.linspace(0, 1, last - first))
    return np.clip(x, -1, 1).astype(np.float32)


def make_clips(folder: Path, n_clips: int, seconds: float, seed: int = 0, prefix: str = "clip") -> list[str]:
    """Write ``PREFIX_0000_label_G-0-0.mp4`` (with an event, every second one) and ``.._label_A.mp4``, and
    their events into ``annotations.txt``, as XD-Violence's; returns the names."""
    if seconds < SHORTEST_S:
        raise InputError(f"seconds: expected {SHORTEST_S:g} or more, got {seconds:g}")
    folder.mkdir(parents=True, exist_ok=True)
    n_frames = round(seconds * FPS)
    names, lines = [], []
    for i in range(n_clips):
        rng = np.random.default_rng([seed, i])
        is_event = i % 2 == 0
        bursts = plan(rng, n_frames, is_event)
        name = f"{prefix}_{i:04d}_label_{f'{EVENT_CODE}-0-0' if is_event else 'A'}"
        samples = sound(rng, n_frames, bursts)
        pieces = np.split(samples, range(HZ, len(samples), HZ))
        write_video(folder / f"{name}.mp4", pictures(rng, n_frames, bursts), FPS, pieces, HZ)
        names.append(name)
        if is_event:
            edges = (f"{b.start} {b.end}" for b in bursts if b.kind == "both")
            lines.append(f"{name} {' '.join(edges)}\n")
    atomic_write(folder / "annotations.txt", lambda path: path.write_text("".join(lines)))
    return names
