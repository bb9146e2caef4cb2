"""Commands for recordings of your own: features and scores. Each is its options and a ``run``; heavy imports wait until then."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mmcl.commands.shared import Debug
from mmcl.config import VideoOptions


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
        from mmcl.training.folder import device_of

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
        from mmcl.training.folder import read_config

        lines = self.json == "-"
        folder = self.out if self.out is not None or lines else self.run_folder / "scores"
        output = Output(folder, EventRule(self.threshold, self.low, self.min_s), lines)
        config, _, _ = read_config(self.run_folder)
        if config.task == "xd-violence" and set(kinds_of(config).values()) == {"features"}:  # of videos
            score_videos(self.run_folder, self.recordings, output, self.videos, self.device, self.runtime)
        else:
            rates = {"inertial": self.inertial_hz, "skeleton": self.skeleton_hz}
            score_files(self.run_folder, self.recordings, output, rates, self.device, self.runtime)
