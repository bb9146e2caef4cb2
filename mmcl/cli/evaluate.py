"""Commands that evaluate runs, data and the scores of other systems. Each is its options and a ``run``; heavy imports
wait until then."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mmcl.cli.options import Debug, Device
from mmcl.cli.print_metrics import print_metrics
from mmcl.errors import InputError


@dataclass(frozen=True)
class Evaluate:
    """Compute the metrics of a finished run anew and add them to its metrics.json.

    Under torchrun (--nproc_per_node N -m mmcl evaluate ...) the recordings are shared out over the processes.
    """

    run_dir: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder that mmcl train made."""
    data: Path | None = None
    """The data set; where the run was trained on it by default."""
    split: Literal["test", "validation"] = "test"
    """Recordings to evaluate on."""
    weights: Literal["best", "last"] = "best"
    """The selected epoch's weights, or the last epoch's."""
    without: str = ""
    """Evaluate as if this modality were missing (audio, visual, skeleton, inertial); is not added to metrics.json."""
    device: Device = "auto"
    debug: Debug = False

    def run(self) -> None:
        """Evaluate and print."""
        from mmcl.training import evaluate

        metrics = evaluate(self.run_dir, self.data, self.split, self.weights, self.device, self.without)
        if metrics:  # of several processes one has them
            print_metrics(self.split + (f", without {self.without}" if self.without else ""), metrics)


@dataclass(frozen=True)
class Report:
    """Write one self-contained HTML page: curves, timelines against the truth, ablation table.

    RUN is the folder of one run, or a folder of runs: then the page compares them, runs that differ
    only in their seed being one line with mean and spread.
    """

    run_dir: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder that mmcl train made, or a folder of such folders."""
    data: Path | None = None
    """The data set; where the run was trained on it by default."""
    out: Path | None = None
    """File to write; RUN/report.html by default."""
    timelines: int = 6
    """Test recordings to show as timelines."""
    device: Device = "auto"
    debug: Debug = False

    def run(self) -> None:
        """Write the page."""
        from mmcl.reporting.run_report import write_report

        print(f"report: {write_report(self.run_dir, self.out, self.data, self.timelines, self.device)}")


@dataclass(frozen=True)
class CheckXdViolence:
    """Check every file of an XD-Violence folder and name all that is wrong with it.

    Checks names and label codes, missing crops and halves, files that belong to nothing, unreadable
    and empty ones, widths, NaN, lengths of pairs and against the frame counts, lists, order, and the
    truth that annotations and lengths make. Exits with 1 when anything is wrong.
    """

    data: Path
    """Folder with the feature files anywhere below; lists, annotations.txt and *_frames.csv where there
    are any."""
    crops: int = 0
    """Crops that each video should have; by default those that the folder's card tells (mmcl extract), else 5."""
    values: bool = True
    """Read all values, to find NaN and infinity; --no-values looks at shapes only."""
    debug: Debug = False

    def run(self) -> None:
        """Print every finding."""
        from mmcl.datasets.sources.xd_violence_check import examine

        n_wrong = 0
        for finding in examine(self.data, self.crops, self.values):
            print(finding.text)
            n_wrong += finding.is_wrong
        if n_wrong:
            raise InputError(f"{self.data}: {n_wrong} things are wrong, each named above")
        print("nothing is wrong")


@dataclass(frozen=True)
class EvaluateXdViolence:
    """Evaluate snippet scores of any system on XD-Violence's test set, frame by frame.

    Gives average precision step-wise and by trapezoids (the papers' "AP"), ROC-AUC, the same inside
    the videos of each class, and a bootstrap interval over videos: most differences between published
    systems lie within it.
    """

    scores: Path
    """A .npy file with one score a snippet of 16 frames (or a frame), all test videos one after
    the other in the list's order."""
    data: Path
    """Folder with visual_test.list, annotations.txt and test_frames.csv (columns name, frames)."""
    out: Path | None = None
    """JSON file to write the metrics to as well."""
    bootstrap: int = 1000
    """Resamplings of the videos for the interval, 0 = none."""
    seed: int = 0
    """Seed of the resampling."""
    debug: Debug = False

    def run(self) -> None:
        """Evaluate and print."""
        from mmcl.datasets.sources.xd_violence_files import CLASSES
        from mmcl.datasets.sources.xd_violence_scores import read_scores, read_truth
        from mmcl.evaluation.frame_level import frame_metrics
        from mmcl.io import write_json

        if self.bootstrap < 0:
            raise InputError(f"--bootstrap: expected 0 or more, got {self.bootstrap}")
        truth = read_truth(self.data)
        scores = read_scores(self.scores, truth)
        metrics = frame_metrics(scores, truth, CLASSES, self.bootstrap, self.seed)
        print_metrics(f"{self.scores} on {len(truth.names)} videos", metrics)
        if self.out is not None:
            write_json(self.out, metrics)
