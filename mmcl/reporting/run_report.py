"""One self-contained HTML page of a run, or of a folder of runs compared."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from mmcl.config.files import to_dict
from mmcl.data.recording_index import SPLITS
from mmcl.datasets._missing_streams import describe_warning
from mmcl.errors import FileError
from mmcl.inference.predictor import Predictor
from mmcl.io import atomic_write, check_writable, read_json, read_metrics
from mmcl.reporting.page_parts import Picture, Section
from mmcl.reporting.plots import draw_scores, plot_curves, plot_histograms, png
from mmcl.reporting.run_comparison import (
    WITHOUT_LABELS,
    Table,
    comparison,
    comparison_page,
    find_runs,
    headline_metric,
    same_headline,
)
from mmcl.reporting.split_results import result_sections
from mmcl.runs.model import resolve_device
from mmcl.runs.run_dir import CONFIG, HISTOGRAMS, HISTORY, METRICS, RunInfo, read_run
from mmcl.runs.run_splits import load_run_splits
from mmcl.training.baseline import POOLED, PREFIX, describe_choice
from mmcl.types import Recording, SnippetScores

TELLING = 0.2  # distance of a ROC-AUC from 0.5 that a reader is warned of
MAX_SCORED = 5000  # recordings of the test split that a page is made of


def write_report(
    folder: Path, out: Path | None = None, data: Path | None = None, n_timelines: int = 6, device: str = "auto"
) -> Path:
    """Write the page of a run (a folder with config.json) or of the runs in a folder.

    Args:
        folder: Of a run or of runs.
        out: The page; ``folder/report.html`` by default.
        data: The data set, for timelines; where the run was trained on it by default.
        n_timelines: Test recordings to show.
        device: Where they are scored: "auto", "cpu" or a GPU.

    Returns:
        The page's path.

    Raises:
        InputError: The folder holds no finished run, or its data are not as expected.
    """
    out = out or folder / "report.html"
    if folder.is_dir():
        check_writable(out.parent)
    if (folder / CONFIG).exists():
        page = run_page(folder, data, n_timelines, device, out.parent)
    elif folder.is_dir() and (runs := find_runs(folder)):
        page = comparison_page(folder, runs)
    else:
        raise FileError(
            folder,
            "holds neither a run nor runs",
            "give the --out of a finished mmcl train, or a folder of such",
        )
    template = jinja2.Environment(autoescape=True).from_string(
        (Path(__file__).parent / "templates" / "run_report.html.jinja").read_text()
    )
    html = template.render({"headline": [], "tables": [], "pictures": [], "metrics": [], "settings": "", **page})
    atomic_write(out, lambda path: path.write_text(html))
    return out


def run_page(run: Path, data: Path | None, n_timelines: int, device: str, folder: Path) -> dict[str, Any]:
    """What the template shows of a run; pages of its errors go below the folder."""
    info, metrics = read_run(run), read_metrics(run / METRICS)
    headline = headline_metric(info, metrics)
    has_scores, trained_on = headline != WITHOUT_LABELS, data or info.own_data
    recordings, scores = (
        score_test(run, info, trained_on, n_timelines, device) if has_scores and trained_on else ([], [])
    )
    timelines = choose_timelines(recordings, scores, n_timelines)
    multiclass = info.config.loss.mil.multiclass
    of_split, sections = result_sections(recordings, scores, multiclass, folder) if scores else ([], [])
    selected_by = info.dataset.primary_metric if has_scores else headline
    tables = [
        modality_table(headline, metrics, read_json(run / CONFIG).get("recordings", {}).get("test")),
        *baseline_tables(headline, metrics),
        *missing_tables(run, metrics),
        *of_split,
    ]
    siblings = [r for r in find_runs(run.parent, "*/") if same_headline(r, info.config.dataset, headline)]
    if len(siblings) > 1:
        tables.insert(1, comparison(siblings, run.parent))
    n = len(info.classes)
    return {
        "title": f"mmcl run: {run.resolve().name}",
        "subtitle": f"{info.config.dataset}, {', '.join(info.inputs)}, {n} class{'es' if n > 1 else ''}, "
        f"seed {info.config.seed}",
        "headline": [
            (f"test {headline}", figure(metrics, f"test {headline}", ".3f", "undefined")),
            ("training", figure(metrics, "training seconds", ".0f") + " s"),
            ("parameters", figure(metrics, "parameters of the network", ",")),
        ],
        "tables": tables,
        "pictures": [
            *sections,
            *training_pictures(run, metrics, selected_by),
            *timeline_pictures(timelines),
        ],
        "metrics": [(k, f"{v:,.0f}" if v == int(v) and abs(v) > 1 else f"{v:.4f}") for k, v in metrics.items()],
        "settings": json.dumps(to_dict(info.config), indent=2),
    }


def figure(metrics: Mapping[str, float], name: str, form: str, otherwise: str = "?") -> str:
    """A metric as text; those that are undefined, such as AP without events, are not among a run's metrics.

    Example:
        >>> figure({"accuracy": 0.5}, "accuracy", ".2f"), figure({}, "accuracy", ".2f", "undefined")
        ('0.50', 'undefined')
    """
    return f"{metrics[name]:{form}}" if name in metrics else otherwise


def modality_table(metric: str, metrics: Mapping[str, float], n_recordings: int | None) -> Table:
    """The metric of the joint score and of each modality alone, and of how many recordings it is.

    Args:
        metric: Of the test split.
        metrics: Of the run.
        n_recordings: Of the test split; None where the run does not tell.

    Example:
        >>> metrics = {"test AP": 0.7, "test AP, audio alone": 1.0, "test share of recordings with audio": 0.5}
        >>> table = modality_table("AP", metrics, 10)
        >>> table.rows
        [('joint', '0.7000', 'all'), ('audio alone', '1.0000', '5 of 10')]
        >>> table.note.partition(": ")[2]
        'no comparison with the joint score.'
    """
    note = f"{metric} on the test split, which was never used for a choice."
    rows, lacks = [], False
    for name, value in metrics.items():
        if not re.fullmatch(f"test {re.escape(metric)}(, .+ alone)?", name):
            continue
        score = name.removeprefix(f"test {metric}").lstrip(", ") or "joint"
        share = metrics.get(f"test share of recordings with {score.removesuffix(' alone')}", 1.0)
        part = f"{share:.0%}" if n_recordings is None else f"{round(share * n_recordings)} of {n_recordings}"
        lacks |= share < 1
        rows.append((score, f"{value:.4f}", part if share < 1 else "all"))
    if not lacks:
        return Table("Each modality alone", note, ("score", metric), [row[:2] for row in rows])
    note += " Modalities that some recordings lack are evaluated on those that have them: no comparison with the joint "
    note += "score."
    return Table("Each modality alone", note, ("score", metric, "of recordings"), rows)


def baseline_tables(metric: str, metrics: Mapping[str, float]) -> list[Table]:
    """Network and linear baselines side by side, where the run has them."""
    rows = []
    for name in dict.fromkeys((metric, "bag ROC-AUC")):
        for split in ("validation", "test"):
            values = [metrics.get(f"{split} {prefix}{name}") for prefix in ("", PREFIX, POOLED)]
            if values[0] is not None and any(v is not None for v in values[1:]):
                rows.append((f"{split} {name}", *("" if v is None else f"{v:.4f}" for v in values)))
    if not rows:
        return []
    return [
        Table(
            "Beside linear models",
            f"{describe_choice(dict(metrics), metric)}. Logistic regression on the same features and splits, of "
            "snippets (refitted to the highest-scored ones of positive recordings) and of recordings (mean and spread "
            "of their snippets); a network that is no better than one of them on the validation split adds nothing.",
            ("metric", "network", "of snippets", "of recordings"),
            rows,
        )
    ]


def missing_tables(run: Path, metrics: Mapping[str, float]) -> list[Table]:
    """What recordings of each split lack, and how well "has it" alone tells the class."""
    counts = read_json(run / CONFIG).get("recordings", {})
    rows, warnings = [], []
    for m in dict.fromkeys(key.rpartition(" ")[2] for key in metrics if " share of recordings with " in key):
        lacking = []
        for split in SPLITS:
            n = counts.get(split, 0)
            n_lacking = round(n * (1 - metrics.get(f"{split} share of recordings with {m}", 1.0)))
            lacking.append(f"{n_lacking} of {n} in {split}")
        auc = metrics.get(f"train ROC-AUC of having {m}", float("nan"))
        rows.append((m, ", ".join(lacking), f"{auc:.2f}" if auc == auc else "all have it, or none, in training"))
        if abs(auc - 0.5) > TELLING:
            warnings.append(describe_warning(m, " a class", auc) + ".")
    if not rows:
        return []
    return [
        Table(
            "Recordings that lack a modality",
            " ".join(["ROC-AUC (training split) far from 0.5: the lack itself tells the class.", *warnings]),
            ("modality", "recordings without it", "ROC-AUC of having it"),
            rows,
        )
    ]


def training_pictures(run: Path, metrics: Mapping[str, float], selected_by: str) -> list[Section]:
    """Curves of the training and histograms of cosines; a shared model has neither."""
    pictures = []
    if (run / HISTORY).exists():
        history, selected = read_history(run / HISTORY), metrics.get("selected epoch")
        curves = plot_curves(history, curve_groups(history, selected_by), None if selected is None else int(selected))
        note = "The dotted line marks the selected epoch."
        pictures.append(Section("Training", note, [Picture("losses and validation metrics over epochs", curves)]))
    if (run / HISTOGRAMS).exists():
        note = "Positives rise towards 1 while negatives spread; all at 1 is a collapse. Darker = more of them."
        spread = plot_histograms(read_json(run / HISTOGRAMS))
        pictures.append(
            Section("Cosines of pairs", note, [Picture("histograms of positive and negative cosines", spread)])
        )
    return pictures


def read_history(path: Path) -> list[dict[str, float]]:
    """Losses and metrics of every epoch.

    Raises:
        FileError: The file holds something else.
    """
    content = read_json(path)
    good = isinstance(content, list) and all(isinstance(h, dict) and type(h.get("epoch")) is int for h in content)
    if not good or not all(isinstance(v, int | float | None) for h in content for v in h.values()):
        raise FileError(path, "holds no losses by epoch", "restore the file, or remove it")
    return content


def timeline_pictures(timelines: Sequence[SnippetScores]) -> list[Section]:
    """Timelines of test recordings."""
    if not timelines:
        return []
    note = "Scores learned from bag labels alone; true events are shaded."
    images = [Picture(f"timeline of {t.name}", png(draw_scores(t))) for t in timelines]
    return [Section("Timelines of test recordings", note, images)]


def score_test(
    run: Path, info: RunInfo, data: Path, n: int, device: str
) -> tuple[list[Recording], list[SnippetScores]]:
    """The test recordings with labels and their scores; of very many, those alone that are shown.

    Args:
        run: Folder of the run.
        info: Of the run.
        data: The data set.
        n: How many recordings are shown.
        device: "auto", "cpu" or a GPU.
    """
    if n < 1:
        return [], []
    splits = load_run_splits(run, info, data, ("test",), needs_classes=True)
    chosen = [r for r in splits.test if r.label is not None]
    if len(chosen) > MAX_SCORED:
        chosen = _shown(chosen, n)
    return chosen, list(Predictor.from_run(run, resolve_device(device)).predict(chosen))


def choose_timelines(recordings: Sequence[Recording], scores: Sequence[SnippetScores], n: int) -> list[SnippetScores]:
    """Scores of the first recordings that hold an event, and of one that does not.

    Args:
        recordings: Of the test split.
        scores: Theirs.
        n: How many.
    """
    names = {r.name for r in _shown(recordings, n)}
    return [s for s in scores if s.name in names]


def _shown(recordings: Sequence[Recording], n: int) -> list[Recording]:
    with_event = [r for r in recordings if r.label is not None and r.label.any()]
    without = [r for r in recordings if r.label is not None and not r.label.any()]
    return with_event[: max(n - bool(without), 0)] + without[: min(1, n)]


def curve_groups(history: Sequence[Mapping[str, float]], selected_by: str) -> dict[str, list[str]]:
    """Names of the curves of each panel."""
    names = list(dict.fromkeys(k for h in history for k in h))
    validation = [k for k in names if k.startswith(f"validation {selected_by}")]
    groups = {
        "total loss": ["loss total"],
        "loss of the bags": [k for k in names if k.startswith("loss mil")],
        "contrast": [k for k in names if k.startswith("loss contrast")],
        f"validation {selected_by}": validation,
    }
    return {title: group for title, group in groups.items() if group}
