"""XD-Violence, all stages: extract, check, train, evaluate, compare, report.

    python pipelines/xd_violence.py --data XD-VIOLENCE --out runs/xd-violence
    python pipelines/xd_violence.py --videos VIDEOS --visual i3d --audio vggish --data FEATURES

MACIL-SD's settings, several seeds, an epoch selected on a tenth of the training videos. VIDEOS holds train/ and test/
with videos whose names end in label codes, and annotations.txt. A stopped pipeline is resumed where it was. Nothing
of it was run on the data set's real features; on generated ones of its size an epoch takes minutes on 2 cores
(BENCHMARKS.md).
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from mmcl.config import override
from mmcl.datasets import get_dataset
from mmcl.datasets.sources.xd_violence_check import examine
from mmcl.errors import InputError
from mmcl.features.extract_files import extract_files
from mmcl.features.extractor_set import create_extractors
from mmcl.features.store import read_cards
from mmcl.reporting.run_report import write_report
from mmcl.runs.model import resolve_device
from mmcl.training import train


@dataclass(frozen=True)
class Pipeline:
    """From videos or features to a table over seeds."""

    data: Path
    """Folder of the features; filled from --videos where that is given."""
    out: Path = Path("runs/xd-violence")
    """Folder of the runs: OUT/seed-N."""
    videos: Path | None = None
    """Folder of videos to extract features from: train/, test/ and annotations.txt."""
    visual: str = "i3d"
    """Extractor of the picture."""
    audio: str = "vggish"
    """Extractor of the sound."""
    crops: int = 5
    """Crops of the picture."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of network, order and the videos held out."""
    epochs: int = 50
    """Epochs of each run."""
    device: str = "auto"
    """Where to compute: auto (a GPU where there is one), cpu, cuda."""


def main() -> None:
    p = tyro.cli(Pipeline, description=__doc__)
    if p.videos is not None:
        n_crops = 1 if p.visual == "descriptors" else p.crops
        extractors = create_extractors(p.visual, p.audio, n_crops=n_crops).to(resolve_device(p.device))
        for split in ("train", "test"):
            extract_files([p.videos / split], p.data / split, extractors)
        shutil.copy(p.videos / "annotations.txt", p.data)
    cards = read_cards(p.data)
    crops = cards["visual"].crops if "visual" in cards else p.crops
    findings = list(examine(p.data, crops))
    print("\n".join(f.text for f in findings))
    if any(f.is_wrong for f in findings):
        sys.exit(f"{p.data}: see above; repair the features first")
    for seed in p.seeds:
        print(f"seed {seed}", flush=True)
        config = override(get_dataset("xd-violence").default_config(), {"seed": seed, "optim.epochs": p.epochs})
        metrics = train(config, p.data, p.out / f"seed-{seed}", resume=True, device=p.device)
        for name, value in metrics.items():
            print(f"  {name:55} {value:.4f}")
    print(f"report: {write_report(p.out)}")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
