"""Metrics as lines of text."""

from __future__ import annotations


def print_metrics(title: str, metrics: dict[str, float]) -> None:
    """A title and a line a metric.

    Args:
        title: The first line.
        metrics: By name.

    Example:
        >>> print_metrics("test", {"accuracy": 0.5})
        test
          accuracy  0.5000
    """
    width = max(len(k) for k in metrics)
    print(title)
    for name, value in metrics.items():
        print(f"  {name:{width}}  {value:.4f}")
