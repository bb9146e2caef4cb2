"""Generated features under XD-Violence's real names and lengths, to try and time all that works on it.

    python tools/generate_xd_violence.py --lists XD-VIOLENCE --out /data/generated

Noise, with a mark in both streams where a test video is annotated and somewhere in each violent training
video: enough to train and evaluate every step at the data set's true size, and nothing to learn violence
from. LISTS holds visual_train.list, visual_test.list, annotations.txt, train_frames.csv and
test_frames.csv (columns name, frames).
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from tqdm import tqdm

from mmcl.datasets.sources.xd_violence_features import file_names
from mmcl.datasets.sources.xd_violence_files import (
    codes_of,
    event_frames,
    n_snippets,
    read_annotations,
    read_frame_counts,
    read_list,
)


@dataclass(frozen=True)
class Generate:
    """Write the features of every N-th video of the lists."""

    lists: Path
    """Folder of the lists, annotations and frame counts."""
    out: Path
    """Folder to fill; holds lists and annotations of its own afterwards."""
    step: int = 1
    """Take every so many-th video (10: a tenth of the data set)."""
    visual: int = 1024
    """Channels of the visual features."""
    audio: int = 128
    """Channels of the audio features."""
    links: bool = False
    """Let a video's five crops be one file with five names: a fifth of the disk."""
    seed: int = 0
    """Seed of the noise."""


def main(g: Generate) -> None:
    if g.out.resolve() == g.lists.resolve():
        sys.exit(f"--out {g.out}: is the folder of the lists, which would be overwritten; choose another")
    g.out.mkdir(parents=True, exist_ok=True)
    annotations = read_annotations(g.lists / "annotations.txt")
    kept: set[str] = set()
    for split in ("train", "test"):
        frames = read_frame_counts(g.lists / f"{split}_frames.csv")
        names = read_list(g.lists / f"visual_{split}.list")[:: g.step]
        kept |= set(names)
        for number, name in enumerate(tqdm(names, desc=split, disable=None)):
            rng = np.random.default_rng([g.seed, split == "test", number])
            n = n_snippets(frames[name])
            if split == "test":
                is_event = event_frames(annotations.get(name, ()), n) > 0
            else:
                start = int(rng.integers(0, n))
                is_event = np.arange(n) // max(n // 5, 1) == start // max(n // 5, 1)
                is_event &= bool(codes_of(name))
            _write(g, name, rng, is_event)
        lines = [f"{name}__{c}.npy\n" for name in names for c in range(5)]
        (g.out / f"visual_{split}.list").write_text("".join(lines))
        shutil.copy(g.lists / f"{split}_frames.csv", g.out)
    lines = (g.lists / "annotations.txt").read_text().splitlines(keepends=True)
    mine = [line for line in lines if line.split()[0].removesuffix(".mp4") in kept]
    (g.out / "annotations.txt").write_text("".join(mine))


def _write(g: Generate, name: str, rng: np.random.Generator, is_event: np.ndarray) -> None:
    *crops, audio = (g.out / file for file in file_names(name, 5))
    for i, path in enumerate(crops):
        if i and g.links:
            path.unlink(missing_ok=True)
            os.link(crops[0], path)
            continue
        np.save(path, _features(rng, is_event, g.visual))
    np.save(audio, _features(rng, is_event, g.audio))


def _features(rng: np.random.Generator, is_event: np.ndarray, n_channels: int) -> np.ndarray:
    x = rng.standard_normal((len(is_event), n_channels), np.float32)
    x[is_event, : n_channels // 16] += 1
    return x.astype(np.float16)


if __name__ == "__main__":
    main(tyro.cli(Generate, description=__doc__))
