"""Commands of several runs, or on a finished one. Each is its options and a ``run``; heavy imports wait until then."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mmcl.cli.options import Debug, Device
from mmcl.cli.print_metrics import print_metrics
from mmcl.config.schema import RunConfig


@dataclass(frozen=True)
class Finetune:
    """Train a pre-trained run's encoders with labels: all, few a class, or a share; several draws.

    Each number of labels and draw is a run of its own below OUT, and is resumed where it was. Ends with a table of
    accuracies on the test split, mean and spread over draws.
    """

    run_dir: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder that mmcl pretrain (or train) made."""
    out: Path
    """Folder for the runs and table.json."""
    labels: tuple[float, ...] = (0.0, 2.0, 1.0)
    """Each a number of labelled recordings a class, or a share of all (0.1); 0 = all."""
    label_seeds: int = 5
    """Draws of the labelled recordings, each with its own seed."""
    modalities: tuple[str, ...] = ()
    """Modalities that there are at test time; the run's own by default."""
    from_scratch: bool = False
    """The same without the run's weights, with the recipe's own epochs: what pre-training has to beat."""
    unlabelled: Literal["out", "probe"] = "out"
    """Training recordings without a label: left out, or labelled by a linear probe on the run's embeddings, fitted to
    the labelled ones (self-training)."""
    first_seed: int = 0
    """Seed of the first draw."""
    epochs: int | None = None
    """Passes over the training recordings; with fewer than four labels a class 30, else the recipe's own."""
    learning_rate: float | None = None
    """Peak learning rate; the recipe's own by default."""
    encoder_lr_scale: float | None = None
    """The encoders' learning rate as a share of that; with fewer than four labels a class 0.1, which keeps what they
    learned, else 1, by default."""
    data: Path | None = None
    """The data set; where the run was trained on it by default."""
    device: Device = "auto"
    debug: Debug = False

    def run(self) -> None:
        """Train and print the table."""
        from mmcl.experiments.finetune import finetune
        from mmcl.experiments.probe import format_table

        table = finetune(
            self.run_dir,
            self.out,
            self.labels,
            self.label_seeds,
            self.modalities,
            data=self.data,
            from_scratch=self.from_scratch,
            unlabelled=self.unlabelled,
            first_seed=self.first_seed,
            encoder_lr_scale=self.encoder_lr_scale,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            device=self.device,
        )
        print("accuracy, test split, mean of the heads\n" + format_table(table))


@dataclass(frozen=True)
class Distill:
    """Let a finished run teach a student: one that has fewer modalities, or the same with what unlabelled recordings
    add.

    On all training recordings, labelled or not, each head of the student learns the mean of the teacher's heads on
    the same augmented view. A student of the inertial sensor alone so learns from a teacher that also sees the
    skeleton. Several RUNs (the draws of mmcl finetune) make a student each, and a table.
    """

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN")]
    """Folders of trained runs, the teachers."""
    out: Path
    """Folder for the runs and table.json."""
    modalities: tuple[str, ...] = ()
    """Modalities that the student has; the teacher's own by default."""
    start_from: Path | None = None
    """Run whose weights the student begins with; those that the teacher began with by default."""
    epochs: int | None = None
    """Passes over the training recordings; the recipe's own by default."""
    learning_rate: float | None = None
    """Peak learning rate; the recipe's own by default."""
    data: Path | None = None
    """The data set; where the teacher was trained on it by default."""
    device: Device = "auto"
    debug: Debug = False

    def run(self) -> None:
        """Train and print the table."""
        from mmcl.experiments.finetune import distill
        from mmcl.experiments.probe import format_table

        table = distill(
            self.runs,
            self.out,
            self.modalities,
            start_from=self.start_from,
            data=self.data,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            device=self.device,
        )
        print("accuracy, test split, mean of the heads\n" + format_table(table))


@dataclass(frozen=True)
class Crossval:
    """Train on every fold of a data set, with several seeds; is the network better than the linear baseline?

    Each seed draws folds that share no group (of data sets with a fixed split it is the run's seed alone). Runs are
    resumed where they were; crossval.md holds the table with a paired test. Settings can come from a file,
    --config FILE.
    """

    data: Path
    """The data set."""
    out: Path
    """Folder for the runs, OUT/seed-N/FOLD, and the table."""
    config: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)
    seeds: int = 1
    """Seeds, 0 and on."""
    jobs: int = 2
    """Runs at a time, each on its share of the cores."""
    metric: str = ""
    """Which of the runs' metrics; the one that heads reports by default."""
    device: Device = "auto"
    debug: Debug = False

    def run(self) -> None:
        """Train what is missing and print the table."""
        from mmcl.experiments.folds import cross_validate

        result = cross_validate(
            self.config, self.data, self.out, range(self.seeds), self.jobs, self.metric, self.device
        )
        print(result.to_markdown())


@dataclass(frozen=True)
class Compare:
    """Train on one data set with several objectives and the same seeds; which are better than the first?

    An objective is the name of a component (docs/objectives.md), of several joined by "+", with options if need be:
    default, cluster-count, dcl(sigma=0.5), margin-filter+std-hinge*0.5; "all" stands for every single mechanism; a
    component of your own is SLOT=package.module:Class, such as negatives=mine.weights:Rare. Each run is resumed where
    it was; comparison.md holds the table with a paired test, comparison.png the figure. Settings can come from a file,
    --config FILE.
    """

    data: Path
    """The data set."""
    out: Path
    """Folder for the runs, OUT/OBJECTIVE/seed-N, and the comparison."""
    config: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)
    objectives: tuple[str, ...] = ("default", "info-nce", "dcl", "cluster-count")
    """What to compare, commas between them; the first is what the others are compared with."""
    seeds: int = 5
    """Seeds of each, 0 and on."""
    jobs: int = 2
    """Runs at a time, each on its share of the cores."""
    metric: str = ""
    """Which of the runs' metrics; the data set's primary one by default."""
    split: Literal["", "validation", "test"] = ""
    """Of which split; by default validation where the runs hold one out, so that a choice leaves the test split
    untouched, else test."""
    device: Device = "auto"
    debug: Debug = False

    def run(self) -> None:
        """Train what is missing, print the table and draw it."""
        from mmcl.experiments.compare import compare
        from mmcl.io import atomic_write
        from mmcl.reporting.experiment_plots import plot_comparison

        comparison = compare(
            self.config,
            self.data,
            self.out,
            self.objectives,
            range(self.seeds),
            self.jobs,
            self.metric,
            self.split,
            self.device,
        )
        figure, picture = self.out / "comparison.png", plot_comparison(comparison)
        atomic_write(figure, lambda file: file.write_bytes(picture))
        print(f"{comparison.to_markdown()}\nfigure: {figure}")


@dataclass(frozen=True)
class Probe:
    """Evaluate a run's frozen embeddings by a linear probe or nearest neighbours, with few labels or all."""

    run_dir: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder that mmcl pretrain (or train) made."""
    labels: tuple[float, ...] = (0.0, 2.0, 1.0)
    """Each a number of labelled recordings a class, or a share of all (0.1); 0 = all."""
    label_seeds: int = 5
    """Draws of the labelled recordings, each with its own seed."""
    kinds: tuple[str, ...] = ("linear", "k-NN")
    """Probes: logistic regression on standardized embeddings, the nearest labelled recording by cosine."""
    modalities: tuple[str, ...] = ()
    """Modalities whose embeddings the probe reads, side by side; all by default."""
    split: Literal["test", "validation"] = "test"
    """Recordings to evaluate on."""
    out: Path | None = None
    """JSON file to write the accuracies to as well."""
    data: Path | None = None
    """The data set; where the run was trained on it by default."""
    device: Device = "auto"
    debug: Debug = False

    def run(self) -> None:
        """Evaluate and print the table."""
        from mmcl.experiments.probe import format_table, probe
        from mmcl.io import write_json

        table = probe(
            self.run_dir,
            self.labels,
            self.label_seeds,
            self.kinds,
            self.modalities,
            data=self.data,
            split=self.split,
            device=self.device,
        )
        print(f"accuracy, {self.split} split\n{format_table(table)}")
        if self.out is not None:
            write_json(self.out, table)


@dataclass(frozen=True)
class Diagnose:
    """Look at a run's embeddings: spread, alignment, hardness, and how many of the hard negatives are false.

    Writes diagnosis.json and diagnosis.png: cosines of pairs, false negatives by hardness, spectrum, and a map.
    """

    run_dir: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder that mmcl pretrain or train made, of two modalities."""
    out: Path | None = None
    """Folder for the files; RUN by default."""
    split: Literal["test", "validation", "train"] = "test"
    """Recordings to look at."""
    data: Path | None = None
    """The data set; where the run was trained on it by default."""
    device: Device = "auto"
    debug: Debug = False

    def run(self) -> None:
        """Compute, draw and print."""
        from mmcl.experiments.diagnose import diagnose
        from mmcl.io import atomic_write
        from mmcl.reporting.experiment_plots import plot_embeddings

        metrics, sample = diagnose(self.run_dir, self.out, self.split, self.data, self.device)
        path, picture = (self.out or self.run_dir) / "diagnosis.png", plot_embeddings(sample)
        atomic_write(path, lambda file: file.write_bytes(picture))
        print_metrics(self.split, metrics)
        print(f"pictures: {path}")
