"""Objectives against each other on one task: the same seeds, runs in parallel that go on where they were, a table."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats
from tqdm import tqdm

from mmcl.config import Config
from mmcl.errors import InputError
from mmcl.figures import COLOURS, INK, new_axes, png
from mmcl.losses.parts import HOOKS, parse, split_specs
from mmcl.presets import changed
from mmcl.storage import read_figures, write_json, write_whole
from mmcl.training.check import check
from mmcl.training.folder import CONFIG, read_config
from mmcl.training.loop import METRICS
from mmcl.training.run import train

# what is no part of the objective by its name
BESIDE: dict[str, dict[str, dict[str, Any]]] = {
    "default": {},
    "no-contrast": {"objective": {"contrast": 0.0, "instance": 0.0}},
    "info-nce": {"objective": {"negatives": ()}},
    "repetition": {"bags": {"repetition": 0.32}},
    "modality-gate": {"model": {"joint": "gate"}},
    "no-distillation": {"teacher": {"distill": 0.0}},
}
# mechanisms that are two parts
TOGETHER = {"learned-view": "learned-view+adaptive-margin", "jepa": "masked-prediction+std-hinge"}
SINGLE = (  # every single mechanism
    *(n for hook, known in HOOKS.items() for n in known if n not in ("cosine", "info-nce", "concentration")),
    "decoupled(sigma=0.5)", "unimodal-teacher", *(n for n in BESIDE if n not in ("default",)),
)  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Per objective, in the order asked for, the figure of each seed."""

    figure: str
    values: Mapping[str, Sequence[float]]
    against: str

    def rows(self) -> list[tuple[str, float, float, float, float]]:
        """(objective, mean, spread, mean difference to ``against``, p of a paired t-test; NaN where there is none)."""
        base = np.asarray(self.values[self.against])
        made = []
        for name, values in self.values.items():
            x = np.asarray(values)
            n = min(len(x), len(base))
            differs = name != self.against and n > 1 and bool(np.any(x[:n] != base[:n]))
            p = float(stats.ttest_rel(x[:n], base[:n]).pvalue) if differs else float("nan")
            spread = float(x.std(ddof=1)) if len(x) > 1 else float("nan")
            made.append((name, float(x.mean()), spread, float((x[:n] - base[:n]).mean()), p))
        return made

    def markdown(self) -> str:
        n = len(self.values) - 1
        lines = [
            f"| objective | {self.figure} | against {self.against} | p | seed by seed |",
            "|---|---|---|---|---|",
        ]
        for name, mean, spread, difference, p in self.rows():
            of_seed = ", ".join(f"{v:.3f}" for v in self.values[name])
            beside = "" if name == self.against else f"{difference:+.3f}"
            chance = "" if np.isnan(p) else f"{p:.2f}"
            lines.append(f"| {name} | {mean:.3f} ± {spread:.3f} | {beside} | {chance} | {of_seed} |")
        if n > 1:
            lines += [
                "",
                f"p: paired t-test over seeds, not corrected; of {n} comparisons by chance {n / 20:.1f} fall below 0.05.",
            ]
        return "\n".join(lines)

    def picture(self) -> bytes:
        """A dot a seed, a bar the mean, in the order of the means."""
        order = sorted(self.values, key=lambda k: float(np.mean(self.values[k])))
        figure = Figure(figsize=(8, 1.2 + 0.24 * len(order)), layout="constrained")
        axes = new_axes(figure, (1, 1, 1))
        for y, name in enumerate(order):
            x = np.asarray(self.values[name])
            colour = COLOURS[1] if name == self.against else COLOURS[0]
            axes.plot(x, np.full(len(x), y), "o", color=colour, markersize=4, alpha=0.6)
            axes.plot([x.mean()] * 2, [y - 0.35, y + 0.35], color=colour, linewidth=2)
        axes.axvline(float(np.mean(self.values[self.against])), color=INK, linewidth=0.6, linestyle=":")
        axes.set_yticks(range(len(order)), order, fontsize=8)
        axes.set_xlabel(self.figure, fontsize=9, color=INK)
        return png(figure)


def with_parts(config: Config, text: str) -> Config:
    """The settings with the parts that ``text`` names, joined by "+": each goes where its name belongs, a weight of
    negatives before those that are there, a row or similarity in place of the one that is there."""
    made = config
    for spec_text in TOGETHER.get(text, text).split("+"):
        spec = parse(spec_text, "parts")
        if spec.name in BESIDE:
            made = changed(made, **BESIDE[spec.name])
            continue
        if spec.name == "unimodal-teacher":
            made = changed(made, teacher={"modality": made.bags.modalities[0]})
            continue
        hooks = [hook for hook, known in HOOKS.items() if spec.name in known]
        if not hooks:
            every = sorted({*BESIDE, *(n for known in HOOKS.values() for n in known), "unimodal-teacher"})
            raise InputError(f"--objectives {spec.name}: expected names from {', '.join(every)}, joined by +")
        hook, before = hooks[0], getattr(made.objective, hooks[0])
        value = spec_text if isinstance(before, str) else (spec_text, *before)
        made = changed(made, objective={hook: value})
    return made


def runs_of(config: Config, objectives: Sequence[str], seeds: Sequence[int]) -> dict[str, Config]:
    """``{"OBJECTIVE/seed-N": settings}``, every one checked before anything is trained."""
    made = {}
    for text in split_specs(objectives):
        with_it = with_parts(config, text)
        for seed in seeds:
            run = replace(with_it, optim=replace(with_it.optim, seed=seed))
            check(run)
            made[f"{text}/seed-{seed}"] = run
    return made


def compare(
    config: Config,
    data: Path,
    out: Path,
    objectives: Sequence[str],
    seeds: Sequence[int],
    jobs: int,
    figure: str,
) -> Comparison:
    """Train what is missing, ``jobs`` at a time, each in a process of its own; write comparison.json, .md and .png.

    The first objective is what the others are compared with. InputError names the runs that failed; the others are kept.
    """
    runs = runs_of(config, objectives, seeds)
    for name, settings in runs.items():
        if (out / name / CONFIG).exists():
            before, _, on = read_config(out / name)
            if before != settings or on != data.resolve():
                raise InputError(f"{out / name}: was made with other settings or data; choose another --out")
    missing = [name for name in runs if not (out / name / METRICS).exists()]
    threads = max((os.cpu_count() or 1) // jobs, 1)

    def start(name: str) -> int:
        command = [sys.executable, "-m", "mmcl", *sys.argv[1:], "--only", name]
        (out / name).mkdir(parents=True, exist_ok=True)
        with open(out / name / "log.txt", "w") as log:
            environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
            return subprocess.run(command, env=environment, stdout=log, stderr=log).returncode

    with ThreadPoolExecutor(jobs) as pool:
        codes = list(tqdm(pool.map(start, missing), total=len(missing), unit="run", disable=None))
    failed = [name for name, code in zip(missing, codes, strict=True) if code]
    if failed:
        raise InputError(
            f"{len(failed)} of {len(runs)} runs failed: {', '.join(failed)}; {out / failed[0] / 'log.txt'}"
        )
    made = read_comparison(out, split_specs(objectives), seeds, figure)
    write_json(
        out / "comparison.json", {"figure": figure, "against": made.against, "values": dict(made.values)}
    )
    text, image = made.markdown(), made.picture()
    write_whole(out / "comparison.md", lambda part: part.write_text(text + "\n"))
    write_whole(out / "comparison.png", lambda part: part.write_bytes(image))
    return made


def train_one(
    config: Config, data: Path, out: Path, objectives: Sequence[str], seeds: Sequence[int], name: str
) -> None:
    """One of the runs, in its own process."""
    train(runs_of(config, objectives, seeds)[name], data, out / name, resume=True)


def read_comparison(out: Path, names: Sequence[str], seeds: Sequence[int], figure: str) -> Comparison:
    values: dict[str, list[float]] = {}
    for name in names:
        for seed in seeds:
            figures = read_figures(out / name / f"seed-{seed}" / METRICS)
            if f"test {figure}" not in figures:
                raise InputError(f"--figure {figure}: the runs have {', '.join(figures)}")
            values.setdefault(name, []).append(figures[f"test {figure}"])
    return Comparison(figure, values, names[0])
