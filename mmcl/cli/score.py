"""Commands for recordings of your own: features and scores. Each is its options and a ``run``; heavy imports wait
until then."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from mmcl.cli.options import Debug, Device, EngineOptions
from mmcl.errors import InputError
from mmcl.inference.videos import ExtractorOptions
from mmcl.reporting.score_files import PageOptions

if TYPE_CHECKING:
    from mmcl.inference.score_each import ScoredRecording
    from mmcl.media.find import MediaFile

AT_A_TIME = 2  # videos: the next one is decoded while this one is computed


@dataclass(frozen=True)
class Extract:
    """Make features of video and audio files, one row for each 16 frames at 24 fps.

    Writes NAME__0.npy (visual; NAME__0 to __4 with --crops 5), NAME__EXTRACTOR.npy (audio) and
    NAME__info.json, in XD-Violence's layout: train on the folder when the files' names end in label codes.
    What is there already is left as it is, so that a stopped job goes on; under `torchrun
    --nproc_per_node N -m mmcl extract ...` each process takes its share of the files. Ends with a
    table of the files that failed and why.
    """

    sources: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="SRC")]
    """Files, folders whose media files to take, or patterns such as 'videos/*.mp4'."""
    out: Path
    """Folder of the store."""
    visual: tuple[str, ...] = ("descriptors",)
    """Extractors of the picture, side by side: descriptors (no weights; colours, edges and motion only),
    efficientnet-lite0, i3d, s3d, r2plus1d, mvit, swin3d, hf:OWNER/NAME, package.module:Class, or none."""
    audio: tuple[str, ...] = ("log-mel",)
    """Extractors of the sound, side by side: log-mel (no weights; loudness in bands only), vggish, torchaudio:BUNDLE,
    hf:OWNER/NAME, package.module:Class, or none."""
    visual_weights: str = ""
    """A file, or an address with #sha256=HEX behind it; the public weights by default."""
    audio_weights: str = ""
    """The same for the sound."""
    crops: Literal[1, 5] = 1
    """The centre of the picture, or also its four corners (networks only)."""
    pca: Path | None = None
    """VGGish's PCA parameters (.npz): whiten and quantize its features as AudioSet's were."""
    audio_track: str = "default"
    """Which sound track is heard: default (the one that the file marks so, else the first), mix, or its number."""
    half: bool = False
    """Keep float16: half the disk."""
    jobs: int = 2
    """Files decoded at a time."""
    timeout_s: float = 60.0
    """Seconds without progress after which a file's decoder is given up."""
    where: Annotated[EngineOptions, tyro.conf.OmitArgPrefixes] = EngineOptions()  # noqa: RUF009
    """Where the files are worked on."""
    device: Device = "auto"
    debug: Debug = False

    def run(self) -> None:
        """Extract what is missing."""
        from mmcl.features.extract_files import extract_files
        from mmcl.features.extractor_set import create_extractors
        from mmcl.features.on_ray import extract_on_ray
        from mmcl.runs.model import resolve_device
        from mmcl.runs.run_dir import check_holds_no_run

        if not self.sources:
            raise InputError("mmcl extract: nothing given; name files, folders or patterns such as 'videos/*.mp4'")
        check_holds_no_run(self.out)
        make = partial(
            create_extractors,
            self.visual,
            self.audio,
            visual_weights=self.visual_weights,
            audio_weights=self.audio_weights,
            n_crops=self.crops,
            pca=self.pca,
            audio_track=self.audio_track,
        )
        extractors, cluster, engine = make(), self.where.cluster(), None
        if cluster is not None:
            engine = extract_on_ray(make, self.out, cluster, self.half, self.timeout_s)
        rank = os.environ.get("LOCAL_RANK")  # of several processes each takes a GPU of its own
        on_gpu = resolve_device(self.device).type == "cuda" and ":" not in self.device
        device = resolve_device(f"cuda:{rank}" if on_gpu and rank else self.device)
        extract_files(
            self.sources,
            self.out,
            extractors.to(device),
            half=self.half,
            jobs=self.jobs,
            timeout_s=self.timeout_s,
            engine=engine,
        )


@dataclass(frozen=True)
class Score:
    """Score every snippet of videos, features or sensor recordings of your own.

    A model scores what it was trained on. Writes NAME.json (scores, events), NAME.csv (start_s, end_s, joint
    score, one per modality) and NAME.png; of videos also NAME.html, where the video plays above its
    curves, and NAME.jpg; and index.html, a table of all. A bad file is named in one line, the others are
    scored, and the exit code is 1.

    Videos: any file, folder or pattern such as 'videos/*.mp4'. One without sound, or sound without
    picture, is scored by the modality that is there.

    Sensor recordings: pairs of files that differ in the modality's name, NAME_inertial.mat and
    NAME_skeleton.mat as in UTD-MHAD, or NAME_inertial.csv and NAME_skeleton.csv with a header. Inertial
    columns: 3 of acceleration [g], 3 of angular rate [deg/s]. Skeleton columns: x, y and z [m] of 20
    joints in UTD-MHAD's order. A CSV gives its rate by a column time_s, or you give it below.

    Any model takes a manifest, as for training, labels left out; models of other sensors (mmcl train recordings,
    events, mmact) take nothing else. Features: a folder of NAME__0.npy (visual) and NAME__EXTRACTOR.npy (audio), as
    mmcl extract makes it. Results keep subfolders.
    """

    run_dir: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """Folder that mmcl train, share or import-macil-sd made, or hub:OWNER/NAME."""
    recordings: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="SRC")]
    """Files, folders whose files to take, or patterns (videos)."""
    out: Path | None = None
    """Folder for the results; by default MODEL/scores of a run of yours, ./scores of a model from elsewhere."""
    json: Literal["", "-"] = ""
    """"-": one JSON object a recording and line on standard output; files only if --out is given."""
    threshold: float = 0.5
    """An event's highest joint score is at least this."""
    low: float = 0.3
    """An event goes on while the joint score is at least this."""
    min_s: float = 0.0
    """Shorter events are left out [s]."""
    pages: Annotated[PageOptions, tyro.conf.OmitArgPrefixes] = PageOptions()  # noqa: RUF009
    """Files of each recording."""
    extractors: Annotated[ExtractorOptions, tyro.conf.OmitArgPrefixes] = ExtractorOptions()  # noqa: RUF009
    """Extractors of videos, where the model does not know its own."""
    where: Annotated[EngineOptions, tyro.conf.OmitArgPrefixes] = EngineOptions()  # noqa: RUF009
    """Where videos are worked on."""
    inertial_hz: float | None = None
    """Samples a second of inertial CSV files without a column time_s."""
    skeleton_hz: float | None = None
    """Frames a second of skeleton CSV files without a column time_s."""
    device: Device = "auto"
    runtime: Literal["torch", "onnx"] = "torch"
    """What computes the scores: PyTorch, or ONNX Runtime with MODEL/model.onnx, which mmcl export writes."""
    debug: Debug = False

    def run(self) -> None:
        """Score every recording."""
        from mmcl.api.model import load
        from mmcl.evaluation.events import EventRule
        from mmcl.features.on_ray import run_on_ray
        from mmcl.inference.any_source import find_job
        from mmcl.inference.score_each import score_ahead, score_each
        from mmcl.reporting.score_files import ScoreFiles
        from mmcl.runs.run_dir import check_holds_no_run

        if not self.recordings:
            raise InputError(f"mmcl score {self.run_dir}: nothing given to score; name files, folders or patterns")
        lines = self.json == "-"
        if self.out is not None:
            check_holds_no_run(self.out)
        model = load(self.run_dir, self.device, runtime=self.runtime, options=self.extractors)
        folder = self.out
        if folder is None and not lines:
            folder = self.run_dir / "scores" if model.info.is_own else Path("scores")
            check_holds_no_run(folder)
        rule = EventRule(self.threshold, self.low, self.min_s)
        writer = ScoreFiles(folder, rule, lines, model.predictor.multiclass, self.pages, self.extractors.timeout_s)
        rates = {"inertial": self.inertial_hz, "skeleton": self.skeleton_hz}
        job = find_job(model.predictor, model.info, self.recordings, lambda: model.video_scorer, rates, folder)
        cluster = self.where.cluster()
        if cluster is not None and job.noun != "video":
            raise InputError("--engine ray: scores videos; other recordings are scored by this process")
        if cluster is None:
            results = score_ahead(job.items, job.score, AT_A_TIME if job.noun == "video" else 1)
        else:
            model_place = self.run_dir if str(self.run_dir).startswith("hub:") else self.run_dir.absolute()
            items = [replace(file, path=file.path.absolute()) for file in job.items]
            results = run_on_ray(items, partial(video_score, model_place, self.extractors), cluster)
        score_each(job.items, results, writer, job.noun, job.name_of)


def video_score(model: Path, extractors: ExtractorOptions) -> Callable[[MediaFile], ScoredRecording]:
    """What a worker does with a video.

    Args:
        model: Folder of the run, which all machines see.
        extractors: As given.
    """
    from mmcl.api.model import load

    return load(model, options=extractors).video_scorer.score
