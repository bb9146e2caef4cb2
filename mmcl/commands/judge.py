"""Commands that judge: runs, data and the scores of others. Each is its options and a ``run``; heavy imports wait until then."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mmcl.commands.shared import Debug, print_figures
from mmcl.errors import InputError


@dataclass(frozen=True)
class Probe:
    """Judge a run's frozen representations by a linear probe or nearest neighbours, with few labels or all."""

    run_folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder that mmcl pretrain (or train) made."""
    labels: tuple[float, ...] = (0.0, 2.0, 1.0)
    """Each a number of labelled recordings a class, or a part of all (0.1); 0 = all."""
    draws: int = 5
    """Draws of the labelled recordings."""
    kinds: tuple[str, ...] = ("linear", "k-NN")
    """Probes: logistic regression on standardised features, the nearest labelled recording by cosine."""
    modalities: tuple[str, ...] = ()
    """Streams whose representations the probe sees, side by side; all if left out."""
    part: Literal["test", "validation"] = "test"
    """Recordings to judge by."""
    out: Path | None = None
    """JSON file to write the accuracies to as well."""
    data: Path | None = None
    """Folder of the data set; where it was when the run was trained, if left out."""
    device: str = "cpu"
    """Where to compute (cpu, cuda)."""
    debug: Debug = False

    def run(self) -> None:
        from mmcl.finetune import probe, say
        from mmcl.storage import write_json

        table = probe(
            self.run_folder,
            self.labels,
            self.draws,
            self.kinds,
            self.modalities,
            data=self.data,
            part=self.part,
            device=self.device,
        )
        print(f"accuracy, {self.part} subjects\n{say(table)}")
        if self.out is not None:
            write_json(self.out, table)


@dataclass(frozen=True)
class Evaluate:
    """Compute the figures of a finished run anew and add them to its metrics.json."""

    run_folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder that mmcl train made."""
    data: Path | None = None
    """Folder of the data set; where it was when the run was trained, if left out."""
    part: Literal["test", "validation"] = "test"
    """Recordings to judge by."""
    weights: Literal["best", "last"] = "best"
    """The selected epoch's weights, or the last epoch's."""
    without: str = ""
    """Judge as if this modality were missing (audio, visual, skeleton, inertial); not written down."""
    device: str = "cpu"
    """Where to compute (cpu, cuda)."""
    debug: Debug = False

    def run(self) -> None:
        from mmcl.training.evaluation import evaluate

        figures = evaluate(
            self.run_folder, self.data, self.part, self.weights, self.device, without=self.without
        )
        print_figures(self.part + (f", without {self.without}" if self.without else ""), figures)


@dataclass(frozen=True)
class Diagnose:
    """Look at a run's embeddings: spread, alignment, hardness, and how many of the hard negatives are false.

    Writes diagnosis.json and diagnosis.png: cosines of pairs, false negatives by hardness, spectrum, and a map.
    """

    run_folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder that mmcl pretrain or train made, of two streams."""
    out: Path | None = None
    """Folder for the files; RUN if left out."""
    part: Literal["test", "validation", "train"] = "test"
    """Recordings to look at."""
    data: Path | None = None
    """Folder of the data set; where it was when the run was trained, if left out."""
    device: str = "cpu"
    """Where to compute (cpu, cuda)."""
    debug: Debug = False

    def run(self) -> None:
        from mmcl.diagnose import diagnose

        print_figures(self.part, diagnose(self.run_folder, self.out, self.part, self.data, self.device))
        print(f"pictures: {(self.out or self.run_folder) / 'diagnosis.png'}")


@dataclass(frozen=True)
class Report:
    """Write one self-contained HTML page: curves, timelines against the truth, ablation table.

    RUN is the folder of one run, or a folder of runs: then the page compares them, runs that differ
    only in their seed being one line with mean and spread.
    """

    run_folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder that mmcl train made, or a folder of such folders."""
    data: Path | None = None
    """Folder of the data set; where it was when the run was trained, if left out."""
    out: Path | None = None
    """File to write; RUN/report.html if left out."""
    timelines: int = 6
    """Test recordings to show as timelines."""
    debug: Debug = False

    def run(self) -> None:
        from mmcl.report import write_report

        print(f"report: {write_report(self.run_folder, self.out, self.data, self.timelines)}")


@dataclass(frozen=True)
class CheckXdViolence:
    """Look at every file of an XD-Violence folder and tell all that is wrong with it.

    Checks names and label codes, missing crops and halves, files that belong to nothing, unreadable
    and empty ones, widths, NaN, lengths of pairs and against the frame counts, lists, order, and the
    truth that annotations and lengths make. Exits with 1 when anything is wrong.
    """

    data: Path
    """Folder with the feature files anywhere below; lists, annotations.txt and *_frames.csv where there
    are any."""
    crops: int = 5
    """Crops that each video should have."""
    values: bool = True
    """Read all values, to find NaN and infinity; --no-values looks at shapes only."""
    debug: Debug = False

    def run(self) -> None:
        from mmcl.data.doctor import examine

        n_wrong = 0
        for finding in examine(self.data, self.crops, self.values):
            print(finding.text)
            n_wrong += finding.is_wrong
        if n_wrong:
            raise InputError(f"{self.data}: {n_wrong} things are wrong, each named above")
        print("nothing is wrong")


@dataclass(frozen=True)
class EvaluateXdViolence:
    """Judge snippet scores of any system on XD-Violence's test set, frame by frame.

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
    """JSON file to write the figures to as well."""
    bootstrap: int = 1000
    """Resamplings of the videos for the interval, 0 = none."""
    seed: int = 0
    """Seed of the resampling."""
    debug: Debug = False

    def run(self) -> None:
        from mmcl.frame_evaluation import frame_figures, read_scores, read_truth
        from mmcl.storage import write_json

        if self.bootstrap < 0:
            raise InputError(f"--bootstrap: expected 0 or more, got {self.bootstrap}")
        truth = read_truth(self.data)
        figures = frame_figures(read_scores(self.scores, truth), truth, self.bootstrap, self.seed)
        print_figures(f"{self.scores} on {len(truth.names)} videos", figures)
        if self.out is not None:
            write_json(self.out, figures)
