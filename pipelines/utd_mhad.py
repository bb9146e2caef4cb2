"""UTD-MHAD, all stages: train, pre-train, fine-tune, probe, distill, compare, report; every component beside the rest.

    python pipelines/utd_mhad.py --data UTD-MHAD --out runs/utd-mhad

streams: MIL alone, + contrast, + concentration, + teacher (the full system), MACIL-SD's teacher, single modalities;
recognition: all labels; random: the same on a random fifth of the recordings, which leaks; few-labels: what
pre-training without labels gives, by probes, fine-tuning and distillation, beside training from scratch; grid:
temperature, concentration and class prior of pre-training, with and without handling of false negatives, evaluated on
subject 7, and the points that decide on two seeds more; rates: encoders' rate and epochs of fine-tuning, on the train
subjects; subjects: leave-one-subject-out over all eight.
Five seeds, trained on subjects 1, 3, 5, 7 and evaluated on 2, 4, 6, 8 (settings were chosen on 1, 3, 5 -> 7). About
eight hours on 2 cores; `--stages few-labels` is two. A stopped pipeline is resumed where it was.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tyro

from mmcl.config import RunConfig, override
from mmcl.datasets import get_dataset
from mmcl.datasets.sources.recipes import pretraining_recipe
from mmcl.experiments.ablation import ablation_steps
from mmcl.experiments.finetune import distill, finetune
from mmcl.experiments.probe import format_table, probe
from mmcl.io import write_json
from mmcl.reporting.run_report import write_report
from mmcl.training import train

STAGES = ("streams", "recognition", "random", "few-labels", "grid", "rates", "subjects")
DEFAULT_STAGES = ("streams", "recognition", "few-labels")
LABELS = (0.0, 8.0, 4.0, 2.0, 1.0)  # all, and so many a class
FINAL = {"data.validation_subjects": ()}
NEIGHBOURS: dict[str, Any] = {"false_negatives": "neighbours", "false_negatives_k": 3}
HANDLING: dict[str, dict[str, Any]] = {  # of false negatives in pre-training
    "none": {"negatives": ("concentration",)},
    "clusters": {"negatives": ("concentration",), "false_negatives": "clusters"},
    "within group": {},
}
MORE_HANDLING: dict[str, dict[str, Any]] = {  # at the default point only
    "neighbours": {"negatives": ("concentration",), **NEIGHBOURS},
    "within group, neighbours attract": {**NEIGHBOURS, "pseudo_positives": 0.3},
    "within group, bad pairs": {"anchor_weights": ("bad-pairs",)},
}
GRID_EPOCHS = 40
RATES = ((0.1, 30), (1.0, 100))  # of the encoders, beside the rest; and epochs
TRAIN_SUBJECTS = (1, 3, 5, 7)


def pretraining() -> RunConfig:
    """Settings of pre-training without labels."""
    return pretraining_recipe(get_dataset("utd-mhad").default_config())


@dataclass(frozen=True)
class Pipeline:
    """Run every job, each in a process of its own, then compare."""

    data: Path
    """UTD-MHAD's folder, with Inertial/ and Skeleton/ in it."""
    out: Path = Path("runs/utd-mhad")
    """Folder of the runs: OUT/STAGE/VARIANT/seed-N."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds of network, order, augmentation and labels; the streams stay the same."""
    stages: tuple[str, ...] = DEFAULT_STAGES
    """Which of streams, recognition, random, few-labels, grid, rates, subjects."""
    jobs: int = 2
    """Jobs at a time, each on its share of the cores."""
    epochs: int | None = None
    """Epochs of each run; the recipes' own by default."""
    only: str | None = None
    """Internal: one job."""

    def waves(self) -> list[dict[str, Callable[[], object]]]:
        """Jobs by name; those of a wave need those of the waves before."""
        first: dict[str, Callable[[], object]] = {}
        second: dict[str, Callable[[], object]] = {}
        third: dict[str, Callable[[], object]] = {}
        for seed in self.seeds:
            if "streams" in self.stages:
                for name, config in ablation_steps(get_dataset("utd-mhad-streams").default_config()).items():
                    first |= self._training(f"streams/{name}/seed-{seed}", override(config, FINAL), seed)
            if "recognition" in self.stages:
                first |= self._training(
                    f"recognition/all labels/seed-{seed}",
                    override(get_dataset("utd-mhad").default_config(), FINAL),
                    seed,
                )
            if "random" in self.stages:
                for name, modalities in (("both", ()), ("inertial", ("inertial",))):
                    changes = FINAL | {"data.protocol": "random", "data.modalities": modalities}
                    config = override(get_dataset("utd-mhad").default_config(), changes)
                    first |= self._training(f"random/{name}/seed-{seed}", config, seed)
            if "few-labels" in self.stages:
                first |= self._training(f"few-labels/pretrained/seed-{seed}", pretraining(), seed)
                second |= self._few_labels(seed)
                third |= self._distilled(seed)
        if "grid" in self.stages:
            for seed in self.seeds[:3]:
                first |= self._grid(seed, every_point=seed == self.seeds[0])
        if "rates" in self.stages:
            for subject in TRAIN_SUBJECTS:
                pre, tuned = self._rates(subject)
                first |= pre
                second |= tuned
        if "subjects" in self.stages:
            for subject in range(1, 9):
                pre, tuned = self._subject(subject)
                first |= pre
                second |= tuned
        return [first, second, third]

    @property
    def settings(self) -> dict[str, object]:
        """What jobs that are done must have been done with."""
        return {"data": str(self.data.resolve()), "epochs": self.epochs}

    def marker(self, name: str) -> Path:
        return self.out / "done" / f"{name.replace('/', ' ')}.json"

    def is_done(self, name: str) -> bool:
        path = self.marker(name)
        return path.exists() and json.loads(path.read_text()) == self.settings

    def _training(self, name: str, config: RunConfig, seed: int) -> dict[str, Callable[[], object]]:
        changes = {"seed": seed} | ({} if self.epochs is None else {"optim.epochs": self.epochs})
        return {name: partial(train, override(config, changes), self.data, self.out / name, True)}

    def _few_labels(self, seed: int) -> dict[str, Callable[[], object]]:
        run = self.out / f"few-labels/pretrained/seed-{seed}"
        tune = partial(finetune, run, label_seeds=1, first_seed=seed, epochs=self.epochs)
        imu = ("inertial",)

        def probed() -> None:
            for modalities in ((), imu):
                table = probe(run, (0.0, 2.0, 1.0), 5, ("linear", "k-NN"), modalities)
                write_json(
                    self.out / f"few-labels/probes/{'-'.join(modalities) or 'both'}/seed-{seed}/table.json",
                    table,
                )

        jobs: dict[str, Callable[[], object]] = {f"few-labels/probes/seed-{seed}": probed}
        for kind, modalities, labels, options in (
            ("fine-tuned", (), LABELS, {}),
            ("fine-tuned, unlabelled too", (), (2.0, 1.0), {"unlabelled": "probe"}),
            ("from scratch", (), LABELS, {"from_scratch": True}),
            ("fine-tuned", imu, LABELS, {}),
            ("fine-tuned, unlabelled too", imu, (1.0,), {"unlabelled": "probe"}),
            ("from scratch", imu, LABELS, {"from_scratch": True}),
        ):
            name = f"few-labels/{kind}/{'inertial' if modalities else 'both'}/seed-{seed}"
            jobs[name] = partial(tune, self.out / name, labels, modalities=modalities, **options)
        return jobs

    def _distilled(self, seed: int) -> dict[str, Callable[[], object]]:
        """The inertial student of the network of both modalities."""
        jobs: dict[str, Callable[[], object]] = {}
        for n_labels, folder in ((0, "all-labels"), (1, "1-a-class")):
            teacher = self.out / f"few-labels/fine-tuned/both/seed-{seed}/{folder}/seed-{seed}"
            name = f"few-labels/distilled/inertial/{n_labels}/seed-{seed}"
            jobs[name] = partial(distill, (teacher,), self.out / name, ("inertial",), epochs=self.epochs)
        return jobs

    def _grid(self, seed: int, every_point: bool) -> dict[str, Callable[[], object]]:
        """On 1, 3, 5, evaluated on 7 by probes; every point, or those that decide."""
        jobs: dict[str, Callable[[], object]] = {}
        priors = (0.0, 1 / 27) if every_point else (0.0,)
        handling = HANDLING if every_point else {how: HANDLING[how] for how in ("none", "within group")}
        grid = list(itertools.product((0.5, 0.1), (1.0, 0.0), priors, handling.items()))
        if every_point:
            grid += [(0.5, 1.0, 0.0, how) for how in MORE_HANDLING.items()]
        for temperature, beta, tau_plus, (how, options) in grid:
            recording = {"temperature": temperature, "beta": beta, "tau_plus": tau_plus, **options}
            changes = {f"loss.recording.{k}": v for k, v in recording.items()}
            changes |= {"data.validation_subjects": (7,), "optim.epochs": self.epochs or GRID_EPOCHS, "seed": seed}
            config = override(pretraining(), changes)
            name = f"grid/{how}, temperature {temperature:g}, beta {beta:g}, tau_plus {tau_plus:.2g}/seed-{seed}"
            jobs[name] = partial(self._evaluated, config, self.out / name)
        return jobs

    def _evaluated(self, config: RunConfig, out: Path) -> None:
        train(config, self.data, out, True)
        table = probe(out, (0.0, 1.0), 5, ("linear",), split="validation")
        write_json(out / "table.json", table)

    def _rates(self, subject: int) -> tuple[dict[str, Callable[[], object]], dict[str, Callable[[], object]]]:
        """Pre-trained and fine-tuned on three of the train subjects, evaluated on this one, the fourth."""
        others = tuple(s for s in TRAIN_SUBJECTS if s != subject)
        changes = {"data.train_subjects": others, "data.test_subjects": (subject,)}
        name = f"rates/pretrained/{subject}"
        jobs: dict[str, Callable[[], object]] = {}
        for scale, epochs in RATES:
            tuned = f"rates/rate {scale:g}, {epochs} epochs/{subject}"
            options: dict[str, Any] = {"encoder_lr_scale": scale, "epochs": self.epochs or epochs}
            jobs[tuned] = partial(finetune, self.out / name, self.out / tuned, LABELS[1:], 1, **options)
        return self._training(name, override(pretraining(), changes), 0), jobs

    def _subject(self, subject: int) -> tuple[dict[str, Callable[[], object]], dict[str, Callable[[], object]]]:
        """Trained on the seven others, evaluated on this one: nothing is chosen here."""
        train_subjects = tuple(s for s in range(1, 9) if s != subject)
        changes = {"data.train_subjects": train_subjects, "data.test_subjects": (subject,)}
        name = f"subjects/pretrained/{subject}"
        run, tuned = self.out / name, f"subjects/tuned/{subject}"
        config = override(pretraining(), changes)

        def evaluated() -> None:
            write_json(run / "table.json", probe(run, (0.0, 1.0), 5))
            for kind, from_scratch in (("fine-tuned", False), ("from scratch", True)):
                for which, modalities in (("both", ()), ("inertial", ("inertial",))):
                    out = self.out / f"subjects/{kind}/{which}/{subject}"
                    labels = (0.0,) if modalities else (0.0, 1.0)
                    options: dict[str, Any] = {"epochs": self.epochs, "from_scratch": from_scratch}
                    finetune(run, out, labels, 1, modalities, **options)

        return self._training(name, config, 0), {tuned: evaluated}


def summary(out: Path) -> str:
    """All tables of a stage's folders, one line a variant over its seeds."""
    rows: dict[str, list[float]] = {}
    for path in sorted(out.glob("**/table.json")):
        variant = [p for p in path.relative_to(out).parts[:-1] if not p.startswith("seed-")]
        for row, values in json.loads(path.read_text()).items():
            rows.setdefault(f"{', '.join(variant)}: {row}", []).extend([sum(values) / len(values)])
    return format_table(rows) if rows else ""


def main() -> None:
    pipeline = tyro.cli(Pipeline, description=__doc__)
    if wrong := [t for t in pipeline.stages if t not in STAGES]:
        sys.exit(f"--stages: expected some of {', '.join(STAGES)}, got {wrong[0]}")
    waves = pipeline.waves()
    if pipeline.only:
        job = next(wave[pipeline.only] for wave in waves if pipeline.only in wave)
        job()
        write_json(pipeline.marker(pipeline.only), pipeline.settings)
        return
    threads = max((os.cpu_count() or 1) // pipeline.jobs, 1)

    def start(name: str) -> int:
        print(f"{name}", flush=True)
        command = [sys.executable, *sys.argv, "--only", name]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        return subprocess.run(command, env=environment, stdout=subprocess.DEVNULL).returncode

    failed: list[str] = []
    for wave in waves:
        missing = [name for name in wave if not pipeline.is_done(name)]
        with ThreadPoolExecutor(pipeline.jobs) as pool:
            failed += [name for name, code in zip(missing, pool.map(start, missing), strict=True) if code]
    print(summary(pipeline.out))
    print(f"report: {write_report(pipeline.out)}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
