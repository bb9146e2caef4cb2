"""Cross-validation: runs on every fold (or draw of a split) and seed, network and linear baseline on the same ones."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import stdtr

from mmcl.config.files import override
from mmcl.config.schema import RunConfig
from mmcl.data.media import extract_media, hold_streams
from mmcl.data.recording_index import SPLITS, RecordingIndex
from mmcl.datasets import get_dataset
from mmcl.datasets._missing_streams import describe_missing_of_rows
from mmcl.errors import InputError
from mmcl.experiments.comparison import ROUNDING
from mmcl.experiments.many_runs import check_many_runs, train_missing
from mmcl.io import atomic_write, read_metrics, write_json
from mmcl.runs.model import resolve_device
from mmcl.runs.run_dir import METRICS
from mmcl.training.baseline import PREFIX
from mmcl.training.run import check_run


@dataclass(frozen=True)
class CrossValidation:
    """Test metrics of network and linear baseline on the same folds.

    Attributes:
        metric: Its name.
        runs: Their places below the folder.
        network: ``(run,)``.
        linear: ``(run,)``.
        test_share: See ``share_tested``, mean over runs.

    Example:
        >>> c = CrossValidation("accuracy", ("a", "b"), np.array([0.8, 0.9]), np.array([0.7, 0.7]), 0.25)
        >>> round(c.difference, 2)
        0.15
    """

    metric: str
    runs: tuple[str, ...]
    network: np.ndarray
    linear: np.ndarray
    test_share: float

    @property
    def difference(self) -> float:
        """Mean difference of network and baseline."""
        return float((self.network - self.linear).mean())

    @property
    def p(self) -> float:
        """See ``corrected_p``."""
        return corrected_p(self.network - self.linear, self.test_share)

    def to_markdown(self) -> str:
        """The table, and what its p-value means."""
        lines = [f"| system | {self.metric}, test | run by run |", "|---|---|---|"]
        for name, values in (("network", self.network), ("linear baseline", self.linear)):
            spread = values.std(ddof=1) if len(values) > 1 else float("nan")
            lines.append(f"| {name} | {values.mean():.3f} ± {spread:.3f} | {', '.join(f'{v:.3f}' for v in values)} |")
        lines += [
            "",
            "Network and baseline are the same in every run."
            if not (self.network - self.linear).any()
            else f"Network minus baseline: {self.difference:+.3f}, p = {self.p:.2g} ({len(self.runs)} runs; paired "
            "t-test corrected for training splits that overlap).",
        ]
        return "\n".join(lines)


def corrected_p(difference: np.ndarray, test_share: float) -> float:
    """Two-sided p of a paired t-test whose variance is corrected for training splits that overlap.

    Args:
        difference: ``(run,)``.
        test_share: See ``share_tested``.

    Returns:
        NaN of one run or of equal differences.

    Reference:
        Nadeau and Bengio, Machine Learning 2003, the corrected resampled t-test.

    Example:
        >>> round(corrected_p(np.array([0.1, 0.12, 0.11, 0.09]), 0.25), 4)
        0.0014
    """
    n = len(difference)
    spread = difference.std(ddof=1) if n > 1 else 0.0
    if spread <= ROUNDING * max(1.0, float(np.abs(difference).max(initial=0.0))):
        return float("nan")
    t = difference.mean() / (spread * (1 / n + test_share) ** 0.5)
    return float(2 * stdtr(n - 1, -abs(t)))


def share_tested(index: RecordingIndex, with_validation: bool) -> float:
    """What is tested on, as a share of what is trained on, in independent units.

    These are groups, where every recording has one; media files, of which several recordings may be composed; else
    recordings.

    Args:
        index: With splits.
        with_validation: Whether the validation split is trained on too.
    """
    units: dict[str, set[Hashable]] = {split: set() for split in SPLITS}
    grouped = all(row.group for row in index.rows)
    for row in index.rows:
        units[row.split] |= {row.group} if grouped else set(row.media_files) or {row.name}
    n_train = len(units["train"] | (units["validation"] if with_validation else set()))
    return len(units["test"]) / max(n_train, 1)


def cross_validate(
    config: RunConfig,
    data: Path,
    out: Path,
    seeds: Sequence[int],
    jobs: int = 2,
    metric: str = "",
    device: str = "auto",
) -> CrossValidation:
    """Train what is missing, each run in a process of its own; write crossval.json and crossval.md.

    Args:
        config: Every setting; each run's folds and seed are set.
        data: The data set.
        out: For the runs, ``OUT/seed-N/FOLD``.
        seeds: Each draws folds, and is the run's seed.
        jobs: Runs at a time.
        metric: Of the runs; that which heads the data set's reports by default.
        device: "auto", "cpu" or a GPU.

    Raises:
        InputError: An option is wrong, or runs failed, which it names; the others are kept.
    """
    check_many_runs("crossval", jobs, len(seeds))
    where = resolve_device(device)
    dataset = get_dataset(config.dataset)
    config = check_run(config, dataset, data)
    runs = {
        f"seed-{seed}/{name}": override(config, {"seed": seed, **changes})
        for seed in seeds
        for name, changes in dataset.resamples(config.data, seed).items()
    }
    shares = {}
    for name, settings in runs.items():  # what is wrong with the data or the folds is told before anything is made
        index = dataset.index(data, settings.data, settings.seed)
        shares[name] = share_tested(index, with_validation=config.refits)
    held = hold_streams(index)
    lacking, of_lacking = describe_missing_of_rows(held, config.data.modalities, by_split=False)
    for line in lacking:
        print(line, flush=True)
    extract_media(held, config.features, config.data.modalities, SPLITS, where)  # once, not in every run
    train_missing(runs, data, out, jobs, "", "test", device)
    finished = {name: read_metrics(out / name / METRICS) for name in runs}
    metric = metric or dataset.headline_metric(next(iter(finished.values())))
    keys = [f"test {metric}", f"test {PREFIX}{metric}"]
    kept = {name: [of_run[k] for k in keys] for name, of_run in finished.items() if all(k in of_run for k in keys)}
    if not kept:
        raise InputError(f"--metric {metric}: no run has it for network and linear baseline")
    if len(kept) < len(runs):
        print(f"{len(runs) - len(kept)} runs have no {metric} (one class alone was tested on), and are left out")
    share = float(np.mean([shares[name] for name in kept]))
    network, linear = (np.array(v) for v in zip(*kept.values(), strict=True))
    result = CrossValidation(metric, tuple(kept), network, linear, share)
    write_json(
        out / "crossval.json",
        {
            "metric": metric,
            "runs": list(kept),
            "network": network.tolist(),
            "linear baseline": linear.tolist(),
            "difference": result.difference,
            "p": result.p,
            "lacking": {"lines": lacking, **of_lacking},
        },
    )
    atomic_write(
        out / "crossval.md", lambda file: file.write_text("\n".join([result.to_markdown(), "", *lacking]) + "\n")
    )
    return result
