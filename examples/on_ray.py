"""Extract features of a folder of videos on a Ray cluster: `python examples/on_ray.py VIDEOS OUT [ADDRESS]`.

Needs the extra ray. Without an address Ray starts on this machine. Killed workers are replaced, what is done stays;
the same on the command line: `mmcl extract VIDEOS --out OUT --engine ray --ray-workers 2`.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from mmcl.features.extract_files import extract_files
from mmcl.features.extractor_set import create_extractors
from mmcl.features.on_ray import Cluster, extract_on_ray


def main(videos: str, out: str, address: str = "") -> None:
    """Two workers, each with extractors of its own."""
    make = partial(create_extractors, "descriptors", "log-mel")
    engine = extract_on_ray(make, Path(out), Cluster(address, 2))
    extract_files([Path(videos)], Path(out), make(), engine=engine)  # prints what is done and what failed


if __name__ == "__main__":
    main(*sys.argv[1:])
