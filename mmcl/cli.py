"""The command line: parse, call, print. Heavy imports wait until a command is chosen."""

from __future__ import annotations

import difflib
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from mmcl.config import Config, VideoOptions
from mmcl.errors import InputError
from mmcl.presets import PRESETS, pretrain, to_compare

Debug = Annotated[bool, tyro.conf.arg(help="Show the traceback of an error.")]


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
    """Folder of the data set, with Inertial/ and Skeleton/ in it."""
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
        from mmcl.training.run import evaluate

        figures = evaluate(
            self.run_folder, self.data, self.part, self.weights, self.device, without=self.without
        )
        print_figures(self.part + (f", without {self.without}" if self.without else ""), figures)


@dataclass(frozen=True)
class ImportMacilSd:
    """Make a model of the weights that MACIL-SD's authors released with their code.

    Evaluate it (mmcl evaluate MODEL --data DIR) or fine-tune it (mmcl train xd-violence --start-from
    MODEL ...) like a run of your own.
    """

    weights: tyro.conf.Positional[Path]
    """The authors' macil_sd.pkl, read without running code from it."""
    out: Path
    """Folder to make for the model."""
    debug: Debug = False

    def run(self) -> None:
        from mmcl.training.run import import_macil_sd

        import_macil_sd(self.weights, self.out)
        print(f"model: {self.out}   figures: mmcl evaluate {self.out} --data XD-VIOLENCE")


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


@dataclass(frozen=True)
class Extract:
    """Make features of video and audio files, one row for each 16 frames at 24 fps.

    Writes NAME__0.npy (visual; NAME__0 to __4 with --crops 5), NAME__FRONTEND.npy (audio) and
    NAME__info.json, in XD-Violence's layout: train on the folder when the files' names end in label codes.
    What is there already is left as it is, so that a stopped job goes on; under `torchrun
    --nproc_per_node N -m mmcl extract ...` each process takes its share of the files. Ends with a
    table of the files that failed and why.
    """

    sources: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="SRC")]
    """Files, folders whose media files to take, or patterns such as 'videos/*.mp4'."""
    out: Path
    """Folder of the store."""
    visual: Literal["descriptors", "i3d", "s3d", "r2plus1d", "mvit", "swin3d", "none"] = "descriptors"
    """Front-end of the picture; descriptors need no weights, and know colours, edges and motion only."""
    audio: Literal["log-mel", "vggish", "none"] = "log-mel"
    """Front-end of the sound; log-mel needs no weights, and knows loudness in bands only."""
    visual_weights: str = ""
    """A file, or an address with #sha256=HEX behind it; the public weights if left out."""
    audio_weights: str = ""
    """The same for the sound."""
    crops: Literal[1, 5] = 1
    """The centre of the picture, or also its four corners (networks only)."""
    pca: Path | None = None
    """VGGish's PCA parameters (.npz): whiten and quantise its features as AudioSet's were."""
    half: bool = False
    """Keep float16: half the disk."""
    jobs: int = 2
    """Files decoded at a time."""
    timeout_s: float = 60.0
    """Seconds without progress after which a file's decoder is given up."""
    device: str = "cpu"
    """Where to compute (cpu, cuda)."""
    debug: Debug = False

    def run(self) -> None:
        from mmcl.features.extract import extract
        from mmcl.features.frontends import make_front_ends
        from mmcl.training.run import device_of

        front_ends = make_front_ends(
            self.visual,
            self.audio,
            visual_weights=self.visual_weights,
            audio_weights=self.audio_weights,
            n_crops=self.crops,
            pca=self.pca,
        )
        rank = os.environ.get("LOCAL_RANK")  # of several processes each takes a GPU of its own
        device = device_of(f"cuda:{rank}" if self.device == "cuda" and rank else self.device)
        extract(
            self.sources,
            self.out,
            front_ends.to(device),
            half=self.half,
            jobs=self.jobs,
            timeout_s=self.timeout_s,
        )


@dataclass(frozen=True)
class Score:
    """Score every snippet of videos or sensor recordings of your own.

    Which of the two, the model says. Writes NAME.json (scores, events), NAME.csv (start_s, end_s, joint
    score, one per modality) and NAME.png; of videos also NAME.html, where the video plays beside its
    curves and a click on a curve seeks. A bad file is named in one line, the others are scored, and the
    exit code is 1.

    Videos: any file, folder or pattern such as 'videos/*.mp4'. One without sound, or sound without
    picture, is scored by the stream that is there.

    Sensor recordings: pairs of files that differ in the modality's name, NAME_inertial.mat and
    NAME_skeleton.mat as in UTD-MHAD, or NAME_inertial.csv and NAME_skeleton.csv with a header. Inertial
    columns: 3 of acceleration [g], 3 of angular rate [deg/s]. Skeleton columns: x, y and z [m] of 20
    joints in UTD-MHAD's order. A CSV gives its rate by a column time_s, or you give it below.
    A model of other sensors (mmcl train recordings, events, mmact) takes a manifest, as for training, labels left out.
    """

    run_folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """Folder that mmcl train or mmcl import-macil-sd made."""
    recordings: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="SRC")]
    """Files, folders whose files to take, or patterns (videos)."""
    out: Path | None = None
    """Folder for the results; MODEL/scores if left out."""
    json: Literal["", "-"] = ""
    """"-": one JSON object a recording and line on standard output; files only if --out is given."""
    threshold: float = 0.5
    """An event's highest joint score is at least this."""
    low: float = 0.3
    """An event goes on while the joint score is at least this."""
    min_s: float = 0.0
    """Shorter events are left out [s]."""
    videos: Annotated[VideoOptions, tyro.conf.OmitArgPrefixes] = VideoOptions()  # noqa: RUF009, frozen
    inertial_hz: float | None = None
    """Samples a second of inertial CSV files without a column time_s."""
    skeleton_hz: float | None = None
    """Frames a second of skeleton CSV files without a column time_s."""
    device: str = "cpu"
    """Where to compute (cpu, cuda)."""
    runtime: Literal["torch", "onnx"] = "torch"
    """What computes the scores: PyTorch, or ONNX Runtime with MODEL/model.onnx, which mmcl export writes."""
    debug: Debug = False

    def run(self) -> None:
        from mmcl.events import EventRule
        from mmcl.infer import Output, score_files
        from mmcl.models.build import kinds_of
        from mmcl.score_videos import score_videos
        from mmcl.training.run import read_config

        lines = self.json == "-"
        folder = self.out if self.out is not None or lines else self.run_folder / "scores"
        output = Output(folder, EventRule(self.threshold, self.low, self.min_s), lines)
        config, _, _ = read_config(self.run_folder)
        if config.task == "xd-violence" and set(kinds_of(config).values()) == {"features"}:  # of videos
            score_videos(self.run_folder, self.recordings, output, self.videos, self.device, self.runtime)
        else:
            rates = {"inertial": self.inertial_hz, "skeleton": self.skeleton_hz}
            score_files(self.run_folder, self.recordings, output, rates, self.device, self.runtime)


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
class Compare:
    """Train one task with several objectives and the same seeds, and tell which are better than the first.

    An objective is the name of a part (docs/objectives.md), of several joined by "+", with options if need be:
    default, cluster-count, decoupled(sigma=0.5), margin-filter+std-hinge*0.5; "all" stands for every single mechanism.
    Each run goes on where it was; comparison.md holds the table with a paired test, comparison.png the figure.
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
    """Which of the runs' test figures; the task's own, if left out."""
    only: str = ""
    """Internal: train one of the runs, OBJECTIVE/seed-N."""
    debug: Debug = False

    def run(self) -> None:
        from mmcl.compare import SINGLE, compare, train_one
        from mmcl.report import TASK_FIGURE
        from mmcl.tasks.own import complete

        config = complete(self.config, self.data)
        asked = [
            text for name in self.objectives for text in (("default", *SINGLE) if name == "all" else (name,))
        ]
        seeds = range(self.seeds)
        if self.only:
            train_one(config, self.data, self.out, asked, seeds, self.only)
            return
        figure = self.figure or TASK_FIGURE[config.task]
        made = compare(config, self.data, self.out, asked, seeds, self.jobs, figure)
        print(made.markdown())
        print(f"figure: {self.out / 'comparison.png'}")


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
class Share:
    """Make a folder to give away of a run: weights, settings, figures and a model card; no paths, no training state.

    Every command takes the folder as it takes a run. --push uploads it to a hub, which asks for your token.
    """

    run_folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder that mmcl train made."""
    out: Path
    """Folder to make."""
    push: str = ""
    """owner/name of a hub's repository to upload it to, private until you say otherwise there."""
    debug: Debug = False

    def run(self) -> None:
        from mmcl.sharing import push, save_pretrained

        save_pretrained(self.run_folder, self.out)
        print(f"model: {self.out}   card: {self.out / 'README.md'}")
        if self.push:
            print(f"uploaded: {push(self.out, self.push)}")


@dataclass(frozen=True)
class Export:
    """Write a run's scoring network as ONNX, for any number of recordings of any length, and check it.

    Scores in ONNX Runtime are compared with PyTorch's on recordings of several lengths; they must agree to 1e-4.
    """

    run_folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder that mmcl train made."""
    out: Path | None = None
    """File to write; RUN/model.onnx if left out, where mmcl score --runtime onnx looks."""
    debug: Debug = False

    def run(self) -> None:
        from mmcl.export import ONNX, export_onnx

        out = self.out or self.run_folder / ONNX
        print(f"{out}: largest difference of a score from PyTorch's {export_onnx(self.run_folder, out):.1g}")


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


def _train(task: str) -> Callable[[list[str], str], Any]:
    def parse(args: list[str], prog: str) -> Any:
        default = Train(data=tyro.MISSING, out=tyro.MISSING, config=PRESETS[task]())
        return tyro.cli(Train, args=args, prog=prog, default=default, config=(tyro.conf.SuppressFixed,))

    return parse


def _pretrain(task: str) -> Callable[[list[str], str], Any]:
    def parse(args: list[str], prog: str) -> Any:
        default = Pretrain(data=tyro.MISSING, out=tyro.MISSING, config=pretrain(PRESETS[task]()))
        return tyro.cli(Pretrain, args=args, prog=prog, default=default, config=(tyro.conf.SuppressFixed,))

    return parse


def _compare(task: str) -> Callable[[list[str], str], Any]:
    def parse(args: list[str], prog: str) -> Any:
        default = Compare(data=tyro.MISSING, out=tyro.MISSING, config=to_compare(task))
        return tyro.cli(Compare, args=args, prog=prog, default=default, config=(tyro.conf.SuppressFixed,))

    return parse


def _plain(cls: type) -> Callable[[list[str], str], Any]:
    return lambda args, prog: tyro.cli(cls, args=args, prog=prog)


COMMANDS: dict[tuple[str, ...], tuple[str, Callable[[list[str], str], Any]]] = {
    ("train", "utd-mhad-streams"): (
        "learn events in untrimmed streams from one bit a stream",
        _train("utd-mhad-streams"),
    ),
    ("train", "utd-mhad"): ("learn to recognise 27 actions in trimmed recordings", _train("utd-mhad")),
    ("train", "xd-violence"): (
        "learn violence in videos from one bit a video, on features from the disk",
        _train("xd-violence"),
    ),
    ("train", "mmact"): ("learn to recognise 36 actions in MMAct's trimmed recordings", _train("mmact")),
    ("train", "recordings"): (
        "learn to recognise what your own recordings show, which a manifest names",
        _train("recordings"),
    ),
    ("train", "events"): (
        "learn where in your own long recordings something happens, from a label for each",
        _train("events"),
    ),
    ("pretrain", "utd-mhad"): ("learn from pairs of streams without labels", _pretrain("utd-mhad")),
    ("pretrain", "mmact"): ("the same on MMAct", _pretrain("mmact")),
    ("pretrain", "recordings"): ("the same on your own recordings", _pretrain("recordings")),
    ("finetune",): ("train a pre-trained run with all or few labels, several draws", _plain(Finetune)),
    ("distill",): ("let a run teach a student with fewer streams or labels", _plain(Distill)),
    ("probe",): ("judge a run's frozen representations, with all or few labels", _plain(Probe)),
    **{
        ("compare", task): (f"objectives against each other on {task}", _compare(task))
        for task in ("utd-mhad-streams", "utd-mhad", "xd-violence", "mmact", "recordings", "events")
    },
    ("diagnose",): ("what a run's embeddings are like, with pictures", _plain(Diagnose)),
    ("share",): ("a folder to give away of a run, with a model card", _plain(Share)),
    ("export",): ("a run's network as ONNX, checked", _plain(Export)),
    ("evaluate", "xd-violence"): (
        "judge any system's scores on XD-Violence's test set",
        _plain(EvaluateXdViolence),
    ),
    ("check", "xd-violence"): (
        "look at every file of a feature folder, tell what is wrong",
        _plain(CheckXdViolence),
    ),
    ("import-macil-sd",): (
        "a model from the weights that MACIL-SD's authors released",
        _plain(ImportMacilSd),
    ),
    ("extract",): ("features of video and audio files", _plain(Extract)),
    ("evaluate",): ("figures of a finished run, computed anew", _plain(Evaluate)),
    ("score",): ("snippet scores of your own videos or sensor recordings", _plain(Score)),
    ("report",): ("one HTML page of a run, or of many compared", _plain(Report)),
    ("demo",): ("see the method work on recordings it makes itself", _plain(Demo)),
}


def usage() -> str:
    lines = [f"  mmcl {' '.join(words):24} {what}" for words, (what, _) in COMMANDS.items()]
    return (
        "Multimodal contrastive learning on weakly labelled recordings.\n\n"
        + "\n".join(lines)
        + "\n\nmmcl COMMAND --help tells every option with its default."
    )


def find(args: list[str]) -> tuple[tuple[str, ...], Callable[[list[str], str], Any]]:
    """The command that ``args`` begin with; InputError with the nearest one otherwise."""
    for words, (_, parse) in COMMANDS.items():
        if tuple(args[: len(words)]) == words:
            return words, parse
    known = [" ".join(words) for words in COMMANDS]
    typed = " ".join(args[:2] if args[0] in ("train", "pretrain", "check", "compare") else args[:1])
    near = difflib.get_close_matches(typed, known, 1, 0.4)
    hint = f"; did you mean 'mmcl {near[0]}'?" if near else ""
    raise InputError(f"unknown command 'mmcl {typed}'{hint} Commands: {', '.join(known)}")


def print_figures(title: str, figures: dict[str, float]) -> None:
    width = max(len(k) for k in figures)
    print(title)
    for name, value in figures.items():
        print(f"  {name:{width}}  {value:.4f}")


def main(argv: list[str] | None = None) -> int:
    args = list(sys.argv[1:] if argv is None else argv)
    if (
        not args
        or args[0] in ("-h", "--help", "help")
        or (args[0] in ("train", "pretrain", "check", "compare") and args[1:] in ([], ["-h"], ["--help"]))
    ):
        print(usage())
        return 0
    if args[0] in ("--version", "version"):
        import mmcl

        print(f"mmcl {mmcl.__version__}")
        return 0
    try:
        words, parse = find(args)
        command = parse(args[len(words) :], "mmcl " + " ".join(words))
        command.run()
    except InputError as error:
        if "--debug" in args:
            traceback.print_exc()
        print(f"mmcl: error: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        if "--debug" in args:
            raise
        print(f"mmcl: unexpected {type(error).__name__}: {error}; --debug shows where", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "mmcl: stopped; what was done is kept (a training goes on with --resume, mmcl extract by itself)",
            file=sys.stderr,
        )
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
