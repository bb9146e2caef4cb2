"""The linear model that stands beside every network: logistic regression on snippets, from the same weak labels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mmcl.data.collate import require_finite
from mmcl.data.snippet_features import snippet_features
from mmcl.errors import InputError
from mmcl.inference.predictor import scores_of_logits
from mmcl.models.score_smoothing import smooth_probabilities
from mmcl.types import Recording, SnippetGrid, SnippetScores

MAX_BAGS, MAX_ROWS, MAX_VALUES = 1000, 100_000, 100_000_000  # training bags, snippets and numbers that it is fitted to
N_REFITS = 6
CLIP = 5.0  # standard deviations
C = 5.0  # inverse strength of the penalty, on blocks of unit size

Rows = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class LinearModel:
    """Logits linear in standardized features, ``clip((x - mean) / std) * scale @ weight + bias``.

    A modality that a recording lacks adds nothing, as its mean would.

    Attributes:
        mean, std, scale: ``{modality: (dim,)}``.
        weight: ``{modality: (dim, class)}``.
        bias: ``(class,)``.
    """

    mean: Rows
    std: Rows
    scale: Rows
    weight: Rows
    bias: np.ndarray

    def logits(self, rows: Rows) -> np.ndarray:
        """``(snippet, class)`` of a recording's rows ``{modality: (snippet, dim)}``; others are ignored."""
        n = len(next(iter(rows.values())))
        total = np.tile(self.bias, (n, 1))
        for m, weight in self.weight.items():
            if m in rows:
                total = total + self.standardize(m, rows[m]) @ weight
        return total

    def standardize(self, m: str, x: np.ndarray) -> np.ndarray:
        """Rows of a modality as the weights take them."""
        z = np.subtract(x, self.mean[m], dtype=np.float32)
        z /= self.std[m].astype(np.float32)
        np.clip(z, -CLIP, CLIP, out=z)
        z *= self.scale[m].astype(np.float32)
        return z


@dataclass(frozen=True)
class LinearBaseline:
    """Linear models of all modalities together and of each alone.

    Attributes:
        joint: Of all, or of the one that does better without the others.
        alone: ``{modality: model}``.
        grid: How recordings are cut into snippets.
        classes: Names of the classes.
        topk_divisor: Of the pooling.
        multiclass: Classes exclude each other.
        joint_of: The modality that the joint score is of, "" = all.
    """

    joint: LinearModel
    alone: Mapping[str, LinearModel]
    grid: SnippetGrid
    classes: tuple[str, ...]
    topk_divisor: int
    multiclass: bool
    joint_of: str = ""

    def only_joint_of(self, modality: str) -> LinearBaseline:
        """The same, its joint score that of one modality ("" = as it is)."""
        return replace(self, joint=self.alone[modality], joint_of=modality) if modality in self.alone else self

    def predict(self, recordings: Sequence[Recording], smoothing: int = 1) -> Iterator[SnippetScores]:
        """Scores of recordings, as ``Predictor.predict`` gives them.

        Args:
            recordings: What is scored.
            smoothing: Snippets that probabilities are smoothed over, 1 = none.
        """
        for recording in recordings:
            yield self.score(recording, snippet_features(recording, self.grid), smoothing)

    def score(self, recording: Recording, rows: Rows, smoothing: int = 1) -> SnippetScores:
        """Scores of a recording.

        Args:
            recording: What is scored.
            rows: Its ``snippet_features``.
            smoothing: Snippets that probabilities are smoothed over, 1 = none.
        """
        logit = {m: model.logits({m: rows[m]}) for m, model in self.alone.items() if m in rows}
        has_joint = any(m in rows for m in self.joint.weight) or not logit  # nothing is known: the bias
        logit["joint"] = self.joint.logits(rows) if has_joint else np.mean(list(logit.values()), 0)
        tensors = {k: torch.from_numpy(v) for k, v in logit.items()}
        if smoothing > 1:
            all_real = torch.ones(1, len(logit["joint"]), dtype=torch.bool)
            tensors = {k: smooth_probabilities(v[None], all_real, smoothing)[0] for k, v in tensors.items()}
        return scores_of_logits(recording, tensors, self.grid, self.classes, self.topk_divisor, self.multiclass)


def fit_linear_baseline(
    recordings: Sequence[Recording],
    grid: SnippetGrid,
    classes: tuple[str, ...],
    *,
    topk_divisor: int = 16,
    multiclass: bool = False,
    blocks: Mapping[str, Sequence[int]] | None = None,
    n_refits: int = N_REFITS,
) -> LinearBaseline:
    """Fit to weak labels.

    Of classes that exclude each other: multinomial logistic regression on the mean over a recording's snippets. Else,
    for each class: logistic regression on every snippet with its bag's label, then refitted, of the positive bags on
    their highest-scored snippets alone, as many as the pooling takes.

    Args:
        recordings: The training split, with labels; of very many some are drawn, of long ones evenly spread snippets.
        grid: How they are cut into snippets.
        classes: Names of the classes.
        topk_divisor: Of the pooling.
        multiclass: Classes exclude each other.
        blocks: Channels of each extractor whose features stand side by side, by modality: each counts the same.
        n_refits: At most; 0 = every snippet with its bag's label.

    Raises:
        InputError: No recording has a label.

    Reference:
        The refitting is mi-SVM's (Andrews et al., NIPS 2002) with logistic regression and several snippets a bag.
    """
    chosen = draw_bags(recordings, lambda r: r.label is not None and bool(r.label.any() or not multiclass))
    if not chosen:
        raise InputError("linear baseline: no training recording has a label")
    rows: list[Rows] = []
    for r in chosen:
        of_bag = snippet_features(r, grid)
        width = sum(x.shape[1] for x in of_bag.values())
        most = max(min(MAX_ROWS, MAX_VALUES // width) // len(chosen), 8)
        n = len(next(iter(of_bag.values())))
        kept = np.arange(n) if n <= most else np.linspace(0, n - 1, most).astype(int)
        rows.append({m: x[kept] for m, x in of_bag.items()})
        require_finite(rows[-1], r.name)
    label = np.stack([r.label for r in chosen if r.label is not None])
    modalities = list(dict.fromkeys(m for r in rows for m in r))

    def fit(used: Sequence[str]) -> LinearModel:
        kept = [i for i, r in enumerate(rows) if any(m in r for m in used)]
        of_used = [rows[i] for i in kept]
        return fit_linear_model(
            of_used,
            label[kept],
            used,
            topk_divisor=topk_divisor,
            multiclass=multiclass,
            blocks=blocks or {},
            n_refits=n_refits,
        )

    joint = fit(modalities)
    alone = {m: fit([m]) for m in modalities} if len(modalities) > 1 else {modalities[0]: joint}
    return LinearBaseline(joint, alone, grid, classes, topk_divisor, multiclass)


def draw_bags(recordings: Sequence[Recording], is_usable: Callable[[Recording], bool]) -> list[Recording]:
    """The usable recordings in their order, of very many ``MAX_BAGS``, drawn without a look at the others.

    Args:
        recordings: In any number.
        is_usable: Of a recording.
    """
    drawn: dict[int, Recording] = {}
    for i in np.random.default_rng(0).permutation(len(recordings)).tolist():
        if len(drawn) == MAX_BAGS:
            break
        recording = recordings[i]
        if is_usable(recording):
            drawn[i] = recording
    return [drawn[i] for i in sorted(drawn)]


def fit_linear_model(
    rows: Sequence[Rows],
    label: np.ndarray,
    used: Sequence[str],
    *,
    topk_divisor: int = 16,
    multiclass: bool = False,
    blocks: Mapping[str, Sequence[int]],
    n_refits: int,
) -> LinearModel:
    """A linear model of some modalities; sums are computed by one thread, as refits must not depend on their number.

    Args:
        rows: ``{modality: (snippet, dim)}`` of each bag.
        label: ``(bag, class)``.
        used: Modalities that are read.
        topk_divisor: Of the pooling.
        multiclass: Classes exclude each other.
        blocks: See ``fit_linear_baseline``.
        n_refits: At most; 0 = every snippet with its bag's label.
    """
    with threadpool_limits(1):
        return _fit(rows, label, used, topk_divisor, multiclass, blocks, n_refits)


def _fit(
    rows: Sequence[Rows],
    label: np.ndarray,
    used: Sequence[str],
    topk_divisor: int,
    multiclass: bool,
    blocks: Mapping[str, Sequence[int]],
    n_refits: int,
) -> LinearModel:
    mean, std, scale = {}, {}, {}
    for m in used:
        x = np.concatenate([r[m] for r in rows if m in r])
        mean[m], spread = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
        std[m] = np.maximum(spread, 1e-3 * spread.max() + 1e-6)  # a dead channel stays small
        widths = list(blocks.get(m, ())) or [x.shape[1]]
        scale[m] = np.repeat([n**-0.5 for n in widths], widths)
    n_blocks = sum(len(list(blocks.get(m, ())) or [0]) for m in used)
    scale = {m: v / n_blocks**0.5 for m, v in scale.items()}
    empty = LinearModel(mean, std, scale, {}, np.zeros(label.shape[1]))
    joined = [_join(empty, r, used) for r in rows]
    if multiclass:
        pooled = np.stack([x.mean(0) for x in joined])
        weight, bias = _regress(pooled, label.argmax(1), label.shape[1])
    else:
        fits = [_fit_class(joined, label[:, k] > 0, topk_divisor, n_refits) for k in range(label.shape[1])]
        weight, bias = np.stack([w for w, _ in fits], 1), np.array([b for _, b in fits])
    ends = np.cumsum([0, *(len(mean[m]) for m in used)])
    of_modality = {m: weight[ends[i] : ends[i + 1]] for i, m in enumerate(used)}
    return LinearModel(mean, std, scale, of_modality, bias)


def _join(model: LinearModel, rows: Rows, used: Sequence[str]) -> np.ndarray:
    """All modalities of a bag side by side, zeros where it lacks one."""
    n = len(next(iter(rows.values())))
    return np.concatenate(
        [model.standardize(m, rows[m]) if m in rows else np.zeros((n, len(model.mean[m])), np.float32) for m in used],
        1,
    )


def _fit_class(
    bags: Sequence[np.ndarray], positive: np.ndarray, topk_divisor: int, n_refits: int
) -> tuple[np.ndarray, float]:
    """Weight ``(dim,)`` and bias of one class."""
    if positive.all() or not positive.any():
        return np.zeros(bags[0].shape[1]), 0.0
    x = np.concatenate(bags)
    bag = np.repeat(np.arange(len(bags)), [len(b) for b in bags])
    is_positive = positive[bag]
    kept = np.ones(len(x), bool)
    starts = np.cumsum([0, *(len(b) for b in bags)])
    for _ in range(n_refits + 1):
        weight, bias = _regress(x[kept], is_positive[kept].astype(int), 1)
        score = x @ weight[:, 0]
        now = ~is_positive
        for i in np.flatnonzero(positive).tolist():
            own = slice(starts[i], starts[i + 1])
            n = len(bags[i])
            top = np.argsort(-score[own], kind="stable")[: min(n // topk_divisor + 1, n)]
            now[starts[i] + top] = True
        if (now == kept).all():
            break
        kept = now
    return weight[:, 0], float(bias[0])


def _regress(x: np.ndarray, target: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Weight ``(dim, class)`` and bias ``(class,)``; of one class that of the positives."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(target)) < 2:  # a modality that one class alone has
        bias = np.full(n_classes, -20.0 if n_classes > 1 else 0.0)
        bias[int(target[0]) if n_classes > 1 else 0] = 0.0
        return np.zeros((x.shape[1], n_classes)), bias
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        fitted = LogisticRegression(C=C, max_iter=300).fit(x, target)
    if n_classes == 1:
        return fitted.coef_.T, fitted.intercept_
    weight, bias = np.zeros((x.shape[1], n_classes)), np.full(n_classes, -20.0)
    if len(fitted.classes_) == 2:  # one row of coefficients: the second class against the first
        first, second = fitted.classes_
        weight[:, first], weight[:, second] = -fitted.coef_[0] / 2, fitted.coef_[0] / 2
        bias[first], bias[second] = -fitted.intercept_[0] / 2, fitted.intercept_[0] / 2
        return weight, bias
    weight[:, fitted.classes_] = fitted.coef_.T
    bias[fitted.classes_] = fitted.intercept_
    return weight, bias
