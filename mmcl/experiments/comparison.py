"""The table of a comparison: means, spread, and paired tests over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

ROUNDING = 1e-9  # differences whose spread is smaller are equal


@dataclass(frozen=True)
class ComparisonRow:
    """One objective of a comparison.

    Attributes:
        name: Of the objective.
        mean: Over seeds.
        spread: Standard deviation over seeds, NaN of one seed.
        difference: Mean difference to the baseline.
        p: Of a paired t-test, NaN where there is none.
    """

    name: str
    mean: float
    spread: float
    difference: float
    p: float


@dataclass(frozen=True)
class Comparison:
    """A metric of each objective and seed, on one split.

    Attributes:
        metric: Its name.
        values: Of each objective, by seed; the seeds are the same for all.
        baseline: The objective that the others are compared with.
        split: "validation" or "test".

    Example:
        >>> c = Comparison("accuracy", {"a": [0.5, 0.6], "b": [0.7, 0.9]}, "a")
        >>> [round(row.difference, 2) for row in c.rows()]
        [0.0, 0.25]
    """

    metric: str
    values: Mapping[str, Sequence[float]]
    baseline: str
    split: str = "test"

    def rows(self) -> list[ComparisonRow]:
        """A row an objective, in order."""
        base = np.asarray(self.values[self.baseline])
        rows = []
        for name, values in self.values.items():
            x = np.asarray(values)
            n = min(len(x), len(base))
            spread_of_differences = np.ptp(x[:n] - base[:n]) if n else 0.0
            differs = name != self.baseline and n > 1 and bool(spread_of_differences > ROUNDING)
            p = float(stats.ttest_rel(x[:n], base[:n]).pvalue) if differs else float("nan")
            spread = float(x.std(ddof=1)) if len(x) > 1 else float("nan")
            rows.append(ComparisonRow(name, float(x.mean()), spread, float((x[:n] - base[:n]).mean()), p))
        return rows

    def to_markdown(self) -> str:
        """The table, and what its p-values do not say."""
        lines = [
            f"| objective | {self.metric}, {self.split} | against {self.baseline} | p | seed by seed |",
            "|---|---|---|---|---|",
        ]
        for row in self.rows():
            of_seed = ", ".join(f"{v:.3f}" for v in self.values[row.name])
            difference = "" if row.name == self.baseline else f"{row.difference:+.3f}"
            p = "" if np.isnan(row.p) else f"{row.p:.2f}"
            lines.append(f"| {row.name} | {row.mean:.3f} ± {row.spread:.3f} | {difference} | {p} | {of_seed} |")
        n = len(self.values) - 1
        if n > 1:
            note = (
                f"p: paired t-test over seeds, not corrected; of {n} comparisons by chance {n / 20:.1f} fall below "
                "0.05. The recordings are the same for all seeds; the test says nothing of other recordings."
            )
            if self.split == "test":
                note += " A choice made by this table has no test split left: choose by the validation split."
            lines += ["", note]
        return "\n".join(lines)
