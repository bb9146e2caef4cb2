"""Objectives against each other on one task: the same seeds, runs in parallel that go on where they were, a table."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats
from tqdm import tqdm

from mmcl.config import Config, from_dict, to_dict
from mmcl.errors import InputError
from mmcl.figures import COLOURS, INK, new_axes, png
from mmcl.losses.parts import HOOKS, parse, split_specs
from mmcl.presets import changed
from mmcl.storage import read_figures, read_json, write_json, write_whole
from mmcl.training.check import check
from mmcl.training.folder import CONFIG, n_asked, read_config
from mmcl.training.loop import METRICS
from mmcl.training.run import train

ASKED = "asked.json"
# what is no part of the objective by its name
BESIDE: dict[str, dict[str, dict[str, Any]]] = {
    "default": {},
    "no-contrast": {
        "objective": dict(contrast=0.0, instance=0.0, pair=0.0, within=0.0, memory=0, same="none", mined=0.0)
    },
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
    """Per objective, in the order asked for, the figure of each seed on one part of the data."""

    figure: str
    values: Mapping[str, Sequence[float]]
    against: str
    part: str = "test"

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
            f"| objective | {self.figure}, {self.part} | against {self.against} | p | seed by seed |",
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
                f"p: paired t-test over seeds, not corrected; of {n} comparisons by chance {n / 20:.1f} fall below 0.05. "
                "The recordings are the same for all seeds, and what other recordings would say it does not tell.",
            ]
            if self.part == "test":
                lines[-1] += (
                    " A choice made by this table has no test part left: choose by the validation part."
                )
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
        axes.set_ylim(-0.7, len(order) - 0.3)
        axes.set_xlabel(f"{self.figure}, {self.part}", fontsize=9, color=INK)
        return png(figure)


def with_parts(config: Config, text: str) -> Config:
    """The settings with the parts that ``text`` names, joined by "+": each goes where its name belongs, a stranger's where
    ``HOOK=package.module:Class`` says; a weight of negatives before those that are there, a row or similarity in place of
    the one that is there."""
    made = config
    for named in TOGETHER.get(text, text).split("+"):
        told, spec_text = named.split("=", 1) if named.split("=")[0] in HOOKS else ("", named)
        spec = parse(spec_text, told or "parts")
        if spec.name in BESIDE:
            made = changed(made, **BESIDE[spec.name])
            continue
        if spec.name == "unimodal-teacher":
            made = changed(made, teacher={"modality": made.bags.modalities[0]})
            continue
        hooks = [told] if told else [hook for hook, known in HOOKS.items() if spec.name in known]
        if not hooks:
            every = sorted({*BESIDE, *(n for known in HOOKS.values() for n in known), "unimodal-teacher"})
            raise InputError(
                f"--objectives {spec.name}: expected names from {', '.join(every)}, joined by +; or HOOK=package.module:Class"
            )
        hook, before = hooks[0], getattr(made.objective, hooks[0])
        value = spec_text if isinstance(before, str) else (spec_text, *before)
        made = changed(made, objective={hook: value})
    return made


def chosen(config: Config, objectives: Sequence[str]) -> list[str]:
    """The objectives, each once; "all" is every single mechanism. What trains here just as the first does, and of "all"
    what these settings do not allow, is told and left out."""
    asked = split_specs(objectives)
    if not asked:
        raise InputError("--objectives: expected one or more, got none")
    names = list(
        dict.fromkeys(n for name in asked for n in (("default", *SINGLE) if name == "all" else (name,)))
    )
    first, *others = names
    base = with_parts(config, first)
    check(base)
    kept = [first]
    for name in others:
        made = with_parts(config, name)
        try:
            check(made)
        except InputError as error:
            if name in asked:
                raise
            print(f"{name}: left out; {error}")
            continue
        if _as_it_trains(made) == _as_it_trains(base):
            print(f"{name}: left out; with these settings it is {first}")
            continue
        kept.append(name)
    return kept


def _as_it_trains(config: Config) -> Config:
    """Without a concentration of 0."""
    o = config.objective
    if (o.beta if o.contrast else 0) or (o.instance_beta if o.instance or o.pair else 0):
        return config
    return changed(config, objective={"negatives": tuple(n for n in o.negatives if n != "concentration")})


def runs_of(config: Config, names: Sequence[str], seeds: Sequence[int]) -> dict[str, Config]:
    """``{"OBJECTIVE/seed-N": settings}``."""
    return {
        f"{name}/seed-{seed}": changed(with_parts(config, name), optim={"seed": seed})
        for name in names
        for seed in seeds
    }


def compare(
    config: Config,
    data: Path,
    out: Path,
    objectives: Sequence[str],
    seeds: Sequence[int],
    jobs: int,
    figure: str,
    part: str = "",
) -> Comparison:
    """Train what is missing, ``jobs`` at a time, each in a process of its own; write comparison.json, .md and .png.

    The first objective is what the others are compared with. part: "validation" or "test"; if left out, validation where
    the runs hold one out, else test. InputError names the runs that failed; the others are kept.
    """
    if n_asked() > 1:
        raise InputError("mmcl compare: starts its own processes; run it without torchrun, with --jobs")
    for option, value in (("jobs", jobs), ("seeds", len(seeds))):
        if value < 1:
            raise InputError(f"--{option}: expected 1 or more, got {value}")
    names = chosen(config, objectives)
    runs = runs_of(config, names, seeds)
    for name, settings in runs.items():
        if (out / name / CONFIG).exists():
            before, _, on = read_config(out / name)
            if before != settings or on != data.resolve():
                raise InputError(f"{out / name}: was made with other settings or data; choose another --out")
    missing = [name for name in runs if not (out / name / METRICS).exists()]
    threads = max((os.cpu_count() or 1) // jobs, 1)

    pointless = threading.Event()

    def start(name: str) -> int:
        if pointless.is_set():
            return 1
        (out / name).mkdir(parents=True, exist_ok=True)
        asked = out / name / ASKED
        write_json(asked, {"data": str(data.resolve()), "config": to_dict(runs[name])})
        command = [
            sys.executable,
            "-c",
            "import sys, mmcl.compare as c; c.train_asked(sys.argv[1])",
            str(asked),
        ]
        with open(out / name / "log.txt", "w") as log:
            environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
            code = subprocess.run(command, env=environment, stdout=log, stderr=log).returncode
        if code == 0:
            try:
                figure_and_part(out / name, figure, part)
            except InputError:  # a wrong --figure is told after one run, not after all
                pointless.set()
                raise
        return code

    with ThreadPoolExecutor(jobs) as pool:
        codes = list(tqdm(pool.map(start, missing), total=len(missing), unit="run", disable=None))
    failed = [name for name, code in zip(missing, codes, strict=True) if code]
    if failed:
        raise InputError(
            f"{len(failed)} of {len(runs)} runs failed: {', '.join(failed)}; {out / failed[0] / 'log.txt'}"
        )
    found = {
        name: [figure_and_part(out / f"{name}/seed-{seed}", figure, part) for seed in seeds] for name in names
    }
    values = {name: [value for value, _ in of_seeds] for name, of_seeds in found.items()}
    made = Comparison(figure, values, names[0], found[names[0]][0][1])
    write_json(
        out / "comparison.json",
        {"figure": figure, "part": made.part, "against": made.against, "values": dict(made.values)},
    )
    text, image = made.markdown(), made.picture()
    write_whole(out / "comparison.md", lambda file: file.write_text(text + "\n"))
    write_whole(out / "comparison.png", lambda file: file.write_bytes(image))
    return made


def train_asked(asked: str) -> None:
    """One of the runs, in its own process, into the folder of the file that says what was asked."""
    path = Path(asked)
    saved = read_json(path)
    train(from_dict(Config, saved["config"], path), Path(saved["data"]), path.parent, resume=True)


def figure_and_part(run: Path, figure: str, part: str) -> tuple[float, str]:
    """A run's figure and the part that it is of: the validation part, if not told, where there is one."""
    figures = read_figures(run / METRICS)
    for of in (part,) if part else ("validation", "test"):
        if f"{of} {figure}" in figures:
            return figures[f"{of} {figure}"], of
    raise InputError(f"--figure {figure}, --part {part or 'left out'}: the runs have {', '.join(figures)}")
