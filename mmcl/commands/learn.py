"""Commands that train. Each is its options and a ``run``; heavy imports wait until then."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mmcl.commands.shared import Debug, print_figures
from mmcl.config import Config
from mmcl.errors import InputError


@dataclass(frozen=True)
class Train:
    """Train on a data set, evaluate on its test part, and keep everything in one folder.

    The folder holds config.json, best.safetensors, last.safetensors, state.pt, history.json,
    metrics.json and the tracker's logs. A run that was stopped, however hard, goes on with --resume
    and ends as if it had not been. Under `torchrun --nproc_per_node N -m mmcl train ...` it runs on
    N processes.
    """

    data: Path
    """Folder of the data set (UTD-MHAD: with Inertial/ and Skeleton/ in it; XD-Violence: with feature
    files NAME__0.npy to NAME__4.npy and NAME__vggish.npy anywhere below, and annotations.txt; MMAct: with
    acc_phone_clip/, acc_watch_clip/, gyro_clip/, orientation_clip/ and pose/). recordings, events: a manifest,
    a CSV file with a line a recording and the columns label, group, part (train, validation, test; or give
    --bags.test-groups) and, for each sensor, SENSOR with a file (.npy, .csv, .mat, .parquet) and SENSOR_hz with
    its rate; a header wrist:inertial, pose:skeleton, pose:skeleton2d or clip:features says what it is."""
    out: Path
    """Folder to make for the run."""
    config: Annotated[Config, tyro.conf.arg(name="")]
    resume: bool = False
    """Go on from the run's last checkpoint; starts anew where there is none yet."""
    start_from: Path | None = None
    """Folder of a run or an imported model of the same architecture whose weights to begin with."""
    debug: Debug = False

    def run(self) -> None:
        from mmcl.training.run import train

        figures = train(self.config, self.data, self.out, self.resume, self.start_from)
        if figures:
            print_figures("test", figures)
            print(f"run: {self.out}   report: mmcl report {self.out}")


@dataclass(frozen=True)
class Pretrain:
    """Learn from pairs of streams without any label, by contrast across them.

    Of utd-mhad, mmact, or recordings of your own that a manifest names (mmcl train recordings --help).

    Makes the same folder as mmcl train. Labels serve for the figures at the end only: linear probes on the
    frozen network, and how often the nearest recording of the other stream shows the same action. Then
    mmcl probe and mmcl finetune tell what it is worth with few labels or one stream.
    """

    data: Path
    """Folder of the data set (utd-mhad: with Inertial/ and Skeleton/ in it; mmact: as mmcl train mmact --help says), or the
    manifest of your own recordings."""
    out: Path
    """Folder to make for the run."""
    config: Annotated[Config, tyro.conf.arg(name="")]
    resume: bool = False
    """Go on from the run's last checkpoint; starts anew where there is none yet."""
    debug: Debug = False

    def run(self) -> None:
        from mmcl.training.run import train

        if self.config.objective.supervised > 0:
            raise InputError("--objective.supervised: pre-training has no labels; use mmcl train")
        figures = train(self.config, self.data, self.out, self.resume)
        if figures:
            print_figures("test", figures)
            print(f"run: {self.out}   few labels: mmcl finetune {self.out} --out {self.out}-tuned")


@dataclass(frozen=True)
class Finetune:
    """Train a pre-trained run's encoders with labels: all, few a class, or a part; several draws.

    Each number of labels and draw is a run of its own below OUT, and goes on where it was. Ends with a table
    of accuracies on the test subjects, mean and spread over draws.
    """

    run_folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder that mmcl pretrain (or train) made."""
    out: Path
    """Folder for the runs and table.json."""
    labels: tuple[float, ...] = (0.0, 2.0, 1.0)
    """Each a number of labelled recordings a class, or a part of all (0.1); 0 = all."""
    draws: int = 5
    """Draws of the labelled recordings, each with its own seed."""
    modalities: tuple[str, ...] = ()
    """Streams that there are at test time; the run's own if left out."""
    from_scratch: bool = False
    """The same without the run's weights, with the recipe's own epochs: what pre-training has to beat."""
    unlabelled: Literal["out", "probe"] = "out"
    """Training recordings without a label: left out, or trained on by what a linear probe on the run's embeddings, fitted
    to the labelled ones, says of them (self-training)."""
    first_draw: int = 0
    """Number of the first draw."""
    epochs: int | None = None
    """Passes over the training recordings; with few labels 30, else the recipe's own, if left out."""
    learning_rate: float | None = None
    """Peak learning rate; the recipe's own if left out."""
    encoder_rate: float | None = None
    """The encoders' learning rate as a part of that; with few labels 0.1, so that they keep what they learned, else 1, if
    left out."""
    data: Path | None = None
    """Folder of the data set; where it was when the run was trained, if left out."""
    debug: Debug = False

    def run(self) -> None:
        from mmcl.finetune import finetune, say

        table = finetune(
            self.run_folder,
            self.out,
            self.labels,
            self.draws,
            self.modalities,
            data=self.data,
            from_scratch=self.from_scratch,
            unlabelled=self.unlabelled,
            first_draw=self.first_draw,
            encoder_rate=self.encoder_rate,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
        )
        print("accuracy, test subjects, mean of the heads\n" + say(table))


@dataclass(frozen=True)
class Distill:
    """Let a finished run teach a student: one that has fewer streams, or the same with what unlabelled recordings add.

    On all training recordings, labelled or not, each head of the student learns what the teacher's heads say on
    average of the same augmented view. A student that wears the inertial sensor alone so learns from one that also
    sees the skeleton. Several RUNs (the draws of mmcl finetune) make a student each, and a table.
    """

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN")]
    """Folders of trained runs, the teachers."""
    out: Path
    """Folder for the runs and table.json."""
    modalities: tuple[str, ...] = ()
    """Streams that the student has; the teacher's own if left out."""
    start_from: Path | None = None
    """Run whose weights the student begins with; those that the teacher began with, if left out."""
    epochs: int | None = None
    """Passes over the training recordings; the recipe's own if left out."""
    learning_rate: float | None = None
    """Peak learning rate; the recipe's own if left out."""
    data: Path | None = None
    """Folder of the data set; where it was when the run was trained, if left out."""
    debug: Debug = False

    def run(self) -> None:
        from mmcl.finetune import distill, say

        table = distill(
            self.runs,
            self.out,
            self.modalities,
            start_from=self.start_from,
            data=self.data,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
        )
        print("accuracy, test part, mean of the heads\n" + say(table))


@dataclass(frozen=True)
class Compare:
    """Train one task with several objectives and the same seeds, and tell which are better than the first.

    An objective is the name of a part (docs/objectives.md), of several joined by "+", with options if need be:
    default, cluster-count, decoupled(sigma=0.5), margin-filter+std-hinge*0.5; "all" stands for every single mechanism;
    a part of your own is HOOK=package.module:Class, such as negatives=mine.weights:Rare. Each run
    goes on where it was; comparison.md holds the table with a paired test, comparison.png the figure.
    """

    data: Path
    """Folder of the data set, or a manifest."""
    out: Path
    """Folder for the runs, OUT/OBJECTIVE/seed-N, and the comparison."""
    config: Annotated[Config, tyro.conf.arg(name="")]
    objectives: tuple[str, ...] = ("default", "info-nce", "decoupled", "cluster-count")
    """What to compare, commas between them; the first is what the others are compared with."""
    seeds: int = 5
    """Seeds of each, 0 and on."""
    jobs: int = 2
    """Runs at a time, each on its share of the cores."""
    figure: str = ""
    """Which of the runs' figures; the task's own, if left out."""
    part: Literal["", "validation", "test"] = ""
    """Of which part; if left out, of the validation part where the runs hold one out, so that a choice leaves the test
    part untouched, else of the test part."""
    debug: Debug = False

    def run(self) -> None:
        from mmcl.compare import compare
        from mmcl.report import TASK_FIGURE
        from mmcl.tasks.own import complete

        config = complete(self.config, self.data)
        figure = self.figure or TASK_FIGURE[config.task]
        seeds = range(self.seeds)
        made = compare(config, self.data, self.out, self.objectives, seeds, self.jobs, figure, self.part)
        print(made.markdown())
        print(f"figure: {self.out / 'comparison.png'}")


@dataclass(frozen=True)
class Demo:
    """See the method work on recordings that it makes itself, in a minute or two on two cores.

    videos: makes clips with picture and sound, extracts features that need no weights, learns from one
    bit a clip at which moments something both flashes and booms (there also are silent flashes and
    unseen booms), judges clips it never saw and writes pages where they play beside their scores.

    sensors: makes skeleton + inertial recordings of eight made-up people, strings them into untrimmed
    streams, learns from one bit a stream which moments hold a target action, and judges every half
    second of streams of people it never saw.
    """

    kind: tyro.conf.Positional[Literal["videos", "sensors"]] = "videos"
    """What to make and learn."""
    out: Path = Path("demo")
    """Folder for recordings, run and report; made anew each time."""
    epochs: int = 0
    """Passes over the training recordings, 0 = as many as it takes."""
    clips: int = 96
    """Training clips to make (videos); a third as many are held out."""
    seed: int = 0
    """Seed of the recordings and the training."""
    debug: Debug = False

    def run(self) -> None:
        from mmcl.demo import run_demo

        run_demo(self.out, self.kind, self.epochs or None, self.seed, self.clips)
