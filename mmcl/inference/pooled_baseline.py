"""Logistic regression on recordings, each by the mean and the spread of its snippets: which hold an event, not when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmcl.data.snippet_features import snippet_features
from mmcl.errors import InputError
from mmcl.inference.linear_baseline import LinearModel, Rows, draw_bags, fit_linear_model
from mmcl.types import Recording, SnippetGrid


@dataclass(frozen=True)
class PooledBaseline:
    """A linear model of whole recordings.

    Attributes:
        model: Of their pooled rows.
        grid: How recordings are cut into snippets.
    """

    model: LinearModel
    grid: SnippetGrid

    def predict(self, recordings: Sequence[Recording]) -> np.ndarray:
        """``(recording, class)``: the probability that a recording shows the class."""
        logit = [self.model.logits(pool_rows(snippet_features(r, self.grid)))[0] for r in recordings]
        return 1 / (1 + np.exp(-np.stack(logit)))


def fit_pooled_baseline(
    recordings: Sequence[Recording], grid: SnippetGrid, blocks: Mapping[str, Sequence[int]] | None = None
) -> PooledBaseline:
    """Fit to weak labels, classes that do not exclude each other.

    Args:
        recordings: The training split, with labels; of very many some are drawn.
        grid: How they are cut into snippets.
        blocks: Channels of each extractor whose features stand side by side, by modality: each counts the same.

    Raises:
        InputError: No recording has a label.
    """
    chosen = draw_bags(recordings, lambda r: r.label is not None)
    if not chosen:
        raise InputError("linear baseline: no training recording has a label")
    rows = [pool_rows(snippet_features(r, grid)) for r in chosen]
    label = np.stack([r.label for r in chosen if r.label is not None])
    modalities = list(dict.fromkeys(m for r in rows for m in r))
    twice = {m: (*widths, *widths) for m, widths in (blocks or {}).items()}
    return PooledBaseline(fit_linear_model(rows, label, modalities, blocks=twice, n_refits=0), grid)


def pool_rows(rows: Rows) -> Rows:
    """A recording's rows as one, mean and standard deviation ``{modality: (1, 2 dim)}``.

    Example:
        >>> pool_rows({"visual": np.array([[0.0], [2.0]])})["visual"].tolist()
        [[1.0, 1.0]]
    """
    return {m: np.concatenate([x.mean(0), x.std(0)])[None].astype(np.float32) for m, x in rows.items()}
