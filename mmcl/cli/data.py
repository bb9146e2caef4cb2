"""Commands that look at data. Each is its options and a ``run``; heavy imports wait until then."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mmcl.cli.options import Debug


@dataclass(frozen=True)
class Index:
    """Write a manifest of a folder of videos, to look at and to edit: class, split, group, duration, streams, problems.

    FOLDER holds a folder a class (fight/ normal/), below train/ and test/ or not. Without these folders one fold of
    five is tested on and one validates; no group is in two of them. Then mmcl train events --data FILE.
    """

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDER")]
    """Folder of class folders."""
    out: Path
    """CSV file to write."""
    group_by: str = ""
    """A regular expression that finds each video's group (source, camera, person) in its name; its first bracket, if
    any. By default the folder between the class and the file."""
    folds: int = 5
    """One of so many folds is tested on, one validates."""
    seed: int = 0
    """Draws the folds."""
    debug: Debug = False

    def run(self) -> None:
        """Probe, write, sum up."""
        from mmcl.datasets.sources.write_manifest import write_manifest

        print(write_manifest(self.folder, self.out, self.group_by, self.folds, self.seed))
        print(f"manifest: {self.out}   train: mmcl train events --data {self.out} --out RUN (when something happens;")
        print(
            "   --data.normal CLASS where it is not clear which has none), or mmcl train recordings (what each shows)"
        )
