"""Commands that train one run. Each is its options and a ``run``; heavy imports wait until then."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mmcl.cli.options import Debug, Device
from mmcl.cli.print_metrics import print_metrics
from mmcl.config.schema import RunConfig
from mmcl.errors import InputError


@dataclass(frozen=True)
class Train:
    """Train on a data set, evaluate on its test split, and keep everything in one folder.

    The folder holds config.json, best.safetensors, last.safetensors, state.pt, history.json, metrics.json and the
    tracker's logs. A run that was stopped, however hard, goes on with --resume and ends as if it had not been.
    Settings can come from a file, --config FILE (YAML, JSON, or a run's config.json); options override it. Under
    `torchrun --nproc_per_node N -m mmcl train ...` it runs on N processes.
    """

    data: Path
    """The data set."""
    out: Path
    """Folder to make for the run."""
    config: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)
    resume: bool = False
    """Go on from the run's last saved training state; start where there is none yet."""
    start_from: Path | None = None
    """Folder of a run or an imported model of the same architecture whose weights to begin with."""
    dry_run: bool = False
    """Say what would be read, computed and written, and about how long it would take; write nothing."""
    device: Device = "auto"
    debug: Debug = False

    def run(self) -> None:
        """Train and print the test metrics."""
        if self.dry_run:
            print("\n".join(self._plan()))
            return
        from mmcl.training import train

        metrics = train(self.config, self.data, self.out, self.resume, self.start_from, self.device)
        if metrics:
            print_metrics("test", metrics)
            print(f"run: {self.out}   report: mmcl report {self.out}")

    def _plan(self) -> list[str]:
        from mmcl.datasets import get_dataset
        from mmcl.runs.model import resolve_device
        from mmcl.training.dry_run import Plan, describe_plan
        from mmcl.training.run import check_run

        dataset = get_dataset(self.config.dataset)
        c = check_run(self.config, dataset, self.data)
        sizes = (c.loader.batch_size, c.optim.epochs, bool(c.teacher.unimodal), c.seed)
        plan = Plan(dataset, self.data, self.out, c.data, c.features, c.snippets, c.model, *sizes)
        return describe_plan(plan, resolve_device(self.device))


@dataclass(frozen=True)
class Pretrain:
    """Learn from pairs of modalities without any label, by contrast across them.

    Makes the same folder as mmcl train. Labels serve for the metrics at the end only: linear probes on the frozen
    network, and how often the nearest recording of the other modality shows the same class. Then mmcl probe and mmcl
    finetune measure what it is worth with few labels or one modality. Settings can come from a file, --config FILE.
    """

    data: Path
    """The data set."""
    out: Path
    """Folder to make for the run."""
    config: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)
    resume: bool = False
    """Go on from the run's last saved training state; start where there is none yet."""
    device: Device = "auto"
    debug: Debug = False

    def run(self) -> None:
        """Train and print the test metrics."""
        from mmcl.training import train

        if self.config.loss.mil.weight > 0:
            raise InputError("--loss.mil.weight: pre-training has no labels; use mmcl train")
        metrics = train(self.config, self.data, self.out, self.resume, device=self.device)
        if metrics:
            print_metrics("test", metrics)
            print(f"run: {self.out}   few labels: mmcl finetune {self.out} --out {self.out}-tuned")


@dataclass(frozen=True)
class Demo:
    """See the method work on recordings that it makes itself, in a minute or two on two cores.

    videos: makes clips with picture and sound, extracts features that need no weights, learns from one label a clip at
    which moments something both flashes and booms (there also are silent flashes and unseen booms), scores clips it
    never saw and writes pages where they play beside their scores.

    sensors: makes skeleton + inertial recordings of eight made-up people, concatenates them to untrimmed streams,
        learns
    from one label a stream which moments hold a target action, and scores every half second of streams of people it
    never saw.
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
    device: Device = "auto"
    debug: Debug = False

    def run(self) -> None:
        """Make, train, score and report."""
        from mmcl.cli.demo import run_demo

        run_demo(self.out, self.kind, self.epochs or None, self.seed, self.clips, self.device)
