"""Train a detector on a folder of class folders: `python examples/train_on_own_videos.py CLIPS OUT`.

CLIPS holds a folder of videos for each class, one of them without events (normal, negative, background ...).
"""

from __future__ import annotations

import sys
from pathlib import Path

import mmcl
from mmcl.config import override


def main(clips: str, out: str, epochs: int = 20) -> None:
    """Train, and compare the network with the linear baseline that every run fits."""
    data = Path(clips)
    config = override(
        mmcl.get_dataset("events").default_config(data),
        {
            "features.visual": ("motion",),  # optical flow: no weights; see docs/videos.md for others
            "features.audio": ("log-mel",),
            "optim.epochs": epochs,
            "trainer.tracker": "none",
        },
    )
    metrics = mmcl.train(config, data=data, out=Path(out))
    for name, value in metrics.items():
        if name.startswith("bag"):
            print(f"test {name}: {value:.3f}")
    print(f"mmcl report {out} draws errors and curves; mmcl.load('{out}').score('video.mp4') scores")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
