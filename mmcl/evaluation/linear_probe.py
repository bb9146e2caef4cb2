"""Classifiers on frozen embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


def linear_probe(c: float = 1.0) -> Pipeline:
    """Logistic regression on standardised features; c: inverse strength of its L2 penalty."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000))


def nearest_neighbours(k: int = 1) -> Pipeline:
    """By cosine among the labelled recordings."""
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), KNeighborsClassifier(k, metric="cosine"))


PROBES = {"linear": linear_probe, "k-NN": nearest_neighbours}
