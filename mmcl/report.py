"""One self-contained HTML page of a run, or of a folder of runs compared."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from mmcl.config import Config, to_dict
from mmcl.errors import FileError, InputError
from mmcl.figures import curves_figure, histograms_figure, timeline_figure
from mmcl.storage import read_figures, read_json, write_whole
from mmcl.tasks import TASKS, scorer
from mmcl.training.folder import CONFIG, knows_data, load_network, read_config
from mmcl.training.loop import HISTOGRAMS, HISTORY, METRICS
from mmcl.types import Timeline


@dataclass(frozen=True)
class Table:
    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def write_report(
    folder: Path, out: Path | None = None, data: Path | None = None, n_timelines: int = 6
) -> Path:
    """Write the page of a run (a folder with config.json) or of the runs in a folder; returns its path."""
    out = out or folder / "report.html"
    if (folder / CONFIG).exists():
        page = run_page(folder, data, n_timelines)
    elif folder.is_dir() and (runs := find_runs(folder)):
        page = comparison_page(folder, runs)
    else:
        raise FileError(
            folder,
            "holds neither a run nor runs",
            "give the --out of a finished mmcl train, or a folder of such",
        )
    template = jinja2.Environment(autoescape=True).from_string(
        (Path(__file__).parent / "report.html.jinja").read_text()
    )
    html = template.render({"headline": [], "tables": [], "pictures": [], "settings": "", **page})
    write_whole(out, lambda part: part.write_text(html))
    return out


def find_runs(folder: Path, pattern: str = "**/") -> list[Path]:
    """Finished runs in the folder and below, sorted; an unreadable one is told and left out."""
    runs = []
    for path in sorted(folder.glob(pattern + METRICS)):
        if (path.parent / CONFIG).exists():
            try:
                read_config(path.parent)
                read_figures(path)
                runs.append(path.parent)
            except InputError as error:
                print(f"left out: {error}")
    return runs


def run_page(run: Path, data: Path | None, n_timelines: int) -> dict[str, Any]:
    config, classes, trained_on = read_config(run)
    metrics = read_figures(run / METRICS)
    figure = figure_of(config.task, metrics)
    scored = figure != WITHOUT_LABELS
    timelines = (
        score_test(run, data or trained_on, n_timelines) if scored and (data or knows_data(run)) else []
    )
    select_by = TASK_FIGURE[config.task] if scored else figure
    heads = {
        k: v
        for k, v in metrics.items()
        if k == f"test {figure}" or re.fullmatch(f"test {figure}, .+ alone", k)
    }
    tables = [
        Table(
            "Each stream alone",
            f"{figure} on the test part, which was never used for a choice.",
            ("score", figure),
            [
                (k.removeprefix(f"test {figure}").lstrip(", ") or "joint", f"{v:.4f}")
                for k, v in heads.items()
            ],
        ),
        Table(
            "All figures",
            "As in metrics.json.",
            ("figure", "value"),
            [(k, f"{v:,.0f}" if v == int(v) and abs(v) > 1 else f"{v:.4f}") for k, v in metrics.items()],
        ),
    ]
    siblings = [
        r
        for r in find_runs(run.parent, "*/")
        if same_task(r, config) and figure_of(config.task, read_figures(r / METRICS)) == figure
    ]
    if len(siblings) > 1:
        tables.insert(1, comparison(siblings, run.parent))
    pictures = []
    if (run / HISTORY).exists():  # not of a shared model
        history = read_json(run / HISTORY)
        curves = curves_figure(history, curve_groups(history, select_by), metrics.get("selected epoch"))  # type: ignore[arg-type]
        note = "The dotted line marks the selected epoch."
        pictures.append(section("Training", note, [("losses and validation figures over epochs", curves)]))
    if (run / HISTOGRAMS).exists():
        note = (
            "Positives rise towards 1 while negatives spread; all at 1 is a collapse. Darker = more of them."
        )
        spread = histograms_figure(read_json(run / HISTOGRAMS))
        pictures.append(
            section("Cosines of pairs", note, [("histograms of positive and negative cosines", spread)])
        )
    if timelines:
        note = "Scores learned from bag labels alone; true events are shaded."
        images = [(f"timeline of {t.name}", timeline_figure(t)) for t in timelines]
        pictures.append(section("Timelines of test recordings", note, images))
    return {
        "title": f"mmcl run: {run.resolve().name}",
        "subtitle": f"{config.task}, {', '.join(config.bags.modalities)}, {len(classes)} class{'es' if len(classes) > 1 else ''}, seed {config.optim.seed}",
        "headline": [
            (f"test {figure}", f"{metrics[f'test {figure}']:.3f}"),
            ("training", f"{metrics['training seconds']:.0f} s"),
            ("parameters", f"{metrics['parameters of the network']:,}"),
        ],
        "tables": tables,
        "pictures": pictures,
        "settings": json.dumps(to_dict(config), indent=2),
    }


TASK_FIGURE = {
    "utd-mhad-streams": "snippet average precision",
    "utd-mhad": "accuracy",
    "xd-violence": "video average precision",
    "mmact": "macro F1",
    "recordings": "accuracy",
    "events": "bag average precision",
}
WITHOUT_LABELS = "linear probe accuracy"  # of runs that learned without labels
FINER = {
    "xd-violence": "frame average precision",
    "events": "snippet average precision",
}  # where the test part's truth is known that finely


def figure_of(task: str, metrics: Mapping[str, float]) -> str:
    """The test figure that a task's page is about."""
    for figure in (FINER.get(task, ""), WITHOUT_LABELS):
        if f"test {figure}" in metrics:
            return figure
    return TASK_FIGURE[task]


def score_test(run: Path, data: Path, n: int) -> list[Timeline]:
    """The first test recordings that hold an event, and one that does not."""
    network, config, classes = load_network(run)
    test = TASKS[config.task](data, config, ("test",)).test
    with_event = [r for r in test if r.label is not None and r.label.any()]
    without = [r for r in test if r.label is not None and not r.label.any()]
    chosen = with_event[: max(n - bool(without), 0)] + without[: min(1, n)]
    return list(scorer(network, config, classes).score(chosen))


def curve_groups(history: Sequence[Mapping[str, float]], select_by: str) -> dict[str, list[str]]:
    names = list(dict.fromkeys(k for h in history for k in h))
    validation = [k for k in names if k.startswith(f"validation {select_by}")]
    groups = {
        "total loss": ["loss total"],
        "loss of the bags": [k for k in names if k.startswith("loss mil")],
        "contrast": [k for k in names if k.startswith("loss contrast")],
        f"validation {select_by}": validation,
    }
    return {title: found for title, found in groups.items() if found}


def section(title: str, note: str, images: Sequence[tuple[str, bytes]]) -> dict[str, Any]:
    return {
        "title": title,
        "note": note,
        "images": [{"alt": alt, "data": base64.b64encode(data).decode()} for alt, data in images],
    }


def same_task(run: Path, config: Config) -> bool:
    return read_config(run)[0].task == config.task


def comparison_page(folder: Path, runs: Sequence[Path]) -> dict[str, Any]:
    tasks: dict[tuple[str, str], list[Path]] = {}
    for run in runs:
        task = read_config(run)[0].task
        tasks.setdefault((task, figure_of(task, read_figures(run / METRICS))), []).append(run)
    return {
        "title": f"mmcl runs in {folder.resolve().name}",
        "subtitle": f"{len(runs)} runs",
        "tables": [comparison(members, folder) for members in tasks.values()],
    }


def comparison(runs: Sequence[Path], folder: Path) -> Table:
    """Mean and spread of runs that differ in their seeds alone; named by their folder."""
    groups: dict[str, list[Path]] = {}
    for run in runs:
        values = to_dict(read_config(run)[0])
        values["optim"].pop("seed")
        values["bags"].pop("label_seed")
        values["start from"] = read_json(run / CONFIG).get("start from")
        groups.setdefault(json.dumps(values, sort_keys=True), []).append(run)
    task = read_config(runs[0])[0].task
    loaded = [[read_figures(r / METRICS) for r in members] for members in groups.values()]
    figure = f"test {figure_of(task, loaded[0][0])}"
    is_shown = re.compile(f"{figure}(, .+ (alone|head))?").fullmatch
    names = list(dict.fromkeys(k for m in loaded for one in m for k in one if is_shown(k)))
    if not names:
        raise InputError(f"{folder}: no run has the figure '{figure}'")
    rows = []
    for members, metrics in zip(groups.values(), loaded, strict=True):
        label = str(
            members[0].relative_to(folder) if len(members) == 1 else members[0].parent.relative_to(folder)
        )
        rows.append(
            [
                label if label != "." else members[0].name,
                str(len(members)),
                *(mean_spread(metrics, k) for k in names),
            ]
        )
    columns = ["run", "seeds", *(k.removeprefix(figure).lstrip(", ") or "joint" for k in names)]
    return Table(f"Comparison: {figure}", "Mean ± standard deviation over seeds.", columns, rows)


def mean_spread(metrics: Sequence[Mapping[str, float]], name: str) -> str:
    values = np.array([m[name] for m in metrics if name in m])
    if not len(values):
        return "-"
    return f"{values.mean():.4f}" + (f" ± {values.std(ddof=1):.4f}" if len(values) > 1 else "")
