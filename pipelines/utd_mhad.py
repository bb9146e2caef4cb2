"""UTD-MHAD, all stages: train, pre-train, fine-tune, probe, distil, compare, report; every part beside the rest.

    python pipelines/utd_mhad.py --data UTD-MHAD --out runs/utd-mhad

streams: MIL alone, + contrast, + concentration, + teacher (the full system), MACIL-SD's teacher, single streams;
recognition: all labels; few-labels: what pre-training without labels gives, by probes, fine-tuning and distillation,
beside training from scratch; grid: temperature, concentration and class prior of pre-training, with and without
handling of false negatives, judged on subject 7; subjects: leave-one-subject-out over all eight.
Five seeds, trained on subjects 1, 3, 5, 7 and judged on 2, 4, 6, 8 (settings were chosen on 1, 3, 5 -> 7). About six
hours on 2 cores; `--tasks few-labels` is one. Stopped, it goes on where it was.
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

from mmcl.config import Config
from mmcl.finetune import distill, finetune, probe, say
from mmcl.presets import ablation, changed, utd_mhad, utd_mhad_pretrain, utd_mhad_streams
from mmcl.report import write_report
from mmcl.storage import write_json
from mmcl.training.run import train

STAGES = ("streams", "recognition", "few-labels", "grid", "subjects")
FINAL = {"validation_subjects": ()}
HANDLING: dict[str, dict[str, Any]] = {  # of false negatives in pre-training
    "none": {"negatives": ("concentration",)},
    "clusters": {"negatives": ("concentration",), "same": "clusters"},
    "own group": {},
}
MORE_HANDLING: dict[str, dict[str, Any]] = {  # at the default point alone
    "neighbours": {"negatives": ("concentration",), "same": "neighbours", "same_size": 3},
    "own group, neighbours attract": {"same": "neighbours", "same_size": 3, "mined": 0.3},
    "own group, bad pairs": {"anchors": ("bad-pairs",)},
}
GRID_EPOCHS = 40


@dataclass(frozen=True)
class Pipeline:
    """Run every job, each in a process of its own, then compare."""

    data: Path
    """UTD-MHAD's folder, with Inertial/ and Skeleton/ in it."""
    out: Path = Path("runs/utd-mhad")
    """Folder of the runs: OUT/STAGE/VARIANT/seed-N."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds of network, order, augmentation and labels; the streams stay the same."""
    tasks: tuple[str, ...] = STAGES[:3]
    """Which of streams, recognition, few-labels, grid, subjects."""
    jobs: int = 2
    """Jobs at a time, each on its share of the cores."""
    epochs: int | None = None
    """Epochs of each run; the recipes' own, if left out."""
    only: str | None = None
    """Internal: one job."""

    def waves(self) -> list[dict[str, Callable[[], object]]]:
        """Jobs by name; those of a wave need those of the waves before."""
        first: dict[str, Callable[[], object]] = {}
        second: dict[str, Callable[[], object]] = {}
        third: dict[str, Callable[[], object]] = {}
        for seed in self.seeds:
            if "streams" in self.tasks:
                for name, config in ablation(utd_mhad_streams()).items():
                    first |= self._training(f"streams/{name}/seed-{seed}", changed(config, bags=FINAL), seed)
            if "recognition" in self.tasks:
                first |= self._training(
                    f"recognition/all labels/seed-{seed}", changed(utd_mhad(), bags=FINAL), seed
                )
            if "few-labels" in self.tasks:
                first |= self._training(f"few-labels/pretrained/seed-{seed}", utd_mhad_pretrain(), seed)
                second |= self._few_labels(seed)
                third |= self._distilled(seed)
        if "grid" in self.tasks:
            first |= self._grid()
        if "subjects" in self.tasks:
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

    def _training(self, name: str, config: Config, seed: int) -> dict[str, Callable[[], object]]:
        optim = {"seed": seed} | ({} if self.epochs is None else {"epochs": self.epochs})
        return {name: partial(train, changed(config, optim=optim), self.data, self.out / name, True)}

    def _few_labels(self, seed: int) -> dict[str, Callable[[], object]]:
        run = self.out / f"few-labels/pretrained/seed-{seed}"
        tune = partial(finetune, run, draws=1, first_draw=seed, epochs=self.epochs)
        imu = ("inertial",)

        def probed() -> None:
            for streams in ((), imu):
                table = probe(run, (0.0, 2.0, 1.0), 5, ("linear", "k-NN"), streams)
                write_json(
                    self.out / f"few-labels/probes/{'-'.join(streams) or 'both'}/seed-{seed}/table.json",
                    table,
                )

        jobs: dict[str, Callable[[], object]] = {f"few-labels/probes/seed-{seed}": probed}
        for kind, streams, labels, options in (
            ("fine-tuned", (), (0.0, 2.0, 1.0), {}),
            ("fine-tuned, unlabelled too", (), (2.0, 1.0), {"unlabelled": "probe"}),
            ("from scratch", (), (0.0, 2.0, 1.0), {"from_scratch": True}),
            ("fine-tuned", imu, (0.0, 1.0), {}),
            ("fine-tuned, unlabelled too", imu, (1.0,), {"unlabelled": "probe"}),
            ("from scratch", imu, (0.0, 1.0), {"from_scratch": True}),
        ):
            for part in labels:
                name = f"few-labels/{kind}/{'inertial' if streams else 'both'}/{part:g}/seed-{seed}"
                jobs[name] = partial(tune, self.out / name, (part,), modalities=streams, **options)
        return jobs

    def _distilled(self, seed: int) -> dict[str, Callable[[], object]]:
        """The inertial student of the network that sees both."""
        jobs: dict[str, Callable[[], object]] = {}
        for part, where in ((0, "all-labels"), (1, "1-a-class")):
            teacher = self.out / f"few-labels/fine-tuned/both/{part}/seed-{seed}/{where}/draw-{seed}"
            name = f"few-labels/distilled/inertial/{part}/seed-{seed}"
            jobs[name] = partial(distill, (teacher,), self.out / name, ("inertial",), epochs=self.epochs)
        return jobs

    def _grid(self) -> dict[str, Callable[[], object]]:
        """One seed each, on 1, 3, 5, judged on 7 by probes."""
        jobs: dict[str, Callable[[], object]] = {}
        points = itertools.product((0.5, 0.1), (1.0, 0.0), (0.0, 1 / 27))
        every = [(*point, how) for point, how in itertools.product(points, HANDLING.items())]
        every += [(0.5, 1.0, 0.0, how) for how in MORE_HANDLING.items()]
        for temperature, beta, tau, (how, parts) in every:
            objective = {"temperature": temperature, "instance_beta": beta, "instance_tau": tau, **parts}
            config = changed(utd_mhad_pretrain(), bags={"validation_subjects": (7,)}, objective=objective)
            config = changed(config, optim={"epochs": self.epochs or GRID_EPOCHS})
            name = f"grid/{how}, temperature {temperature:g}, beta {beta:g}, tau {tau:.2g}"
            jobs[name] = partial(self._judged, config, self.out / name)
        return jobs

    def _judged(self, config: Config, out: Path) -> None:
        train(config, self.data, out, True)
        table = probe(out, (0.0, 1.0), 5, ("linear",), part="validation")
        write_json(out / "table.json", table)

    def _subject(
        self, subject: int
    ) -> tuple[dict[str, Callable[[], object]], dict[str, Callable[[], object]]]:
        """Trained on the seven others, judged on this one: nothing is chosen here."""
        bags = {"train_subjects": tuple(s for s in range(1, 9) if s != subject), "test_subjects": (subject,)}
        name = f"subjects/pretrained/{subject}"
        run, tuned = self.out / name, f"subjects/fine-tuned/{subject}"
        config = changed(utd_mhad_pretrain(), bags=bags)

        def judged() -> None:
            finetune(run, self.out / tuned, (1.0,), 1, epochs=self.epochs)
            write_json(run / "table.json", probe(run, (0.0, 1.0), 5))

        return self._training(name, config, 0), {tuned: judged}


def summary(out: Path) -> str:
    """All tables of a stage's folders, one row a variant over its seeds."""
    rows: dict[str, list[float]] = {}
    for path in sorted(out.glob("**/table.json")):
        variant = [p for p in path.relative_to(out).parts[:-1] if not p.startswith(("seed-", "draw-"))]
        for row, values in json.loads(path.read_text()).items():
            rows.setdefault(f"{', '.join(variant)}: {row}", []).extend([sum(values) / len(values)])
    return say(rows) if rows else ""


def main() -> None:
    pipeline = tyro.cli(Pipeline, description=__doc__)
    if wrong := [t for t in pipeline.tasks if t not in STAGES]:
        sys.exit(f"--tasks: expected some of {', '.join(STAGES)}, got {wrong[0]}")
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
