"""What trackers are told."""

from __future__ import annotations

import itertools
from typing import Any

from accelerate import Accelerator
from torch import Tensor

from mmcl.config.files import to_dict


def flatten(config: Any) -> dict[str, Any]:
    """Settings by their paths, as trackers take them.

    Example:
        >>> from mmcl.config import RunConfig
        >>> flatten(RunConfig())["optim.epochs"]
        20
    """
    flat: dict[str, Any] = {}

    def add(values: dict[str, Any], prefix: str) -> None:
        for name, value in values.items():
            if isinstance(value, dict):
                add(value, f"{prefix}{name}.")
            else:
                flat[prefix + name] = value if isinstance(value, int | float | str | bool) else str(value)

    add(to_dict(config), "")
    return flat


def log_histograms(accelerator: Accelerator, counts: dict[str, Tensor], epoch: int) -> dict[str, list[float]]:
    """Counts of an epoch's cosines, summed over processes and sent to TensorBoard.

    Args:
        accelerator: Of the training.
        counts: ``{name: (bin,)}``, equal bins from -1 to 1.
        epoch: From 1 on.
    """
    summed = {k: accelerator.reduce(v.float(), "sum").tolist() for k, v in sorted(counts.items())}
    for tracker in accelerator.trackers:
        if tracker.name != "tensorboard" or not accelerator.is_main_process:
            continue
        for name, of_bin in summed.items():
            edges = [2 * i / len(of_bin) - 1 for i in range(len(of_bin) + 1)]
            middle = [(a + b) / 2 for a, b in itertools.pairwise(edges)]
            tracker.writer.add_histogram_raw(
                name,
                min=-1.0,
                max=1.0,
                num=sum(of_bin),
                sum=sum(n * x for n, x in zip(of_bin, middle, strict=True)),
                sum_squares=sum(n * x * x for n, x in zip(of_bin, middle, strict=True)),
                bucket_limits=edges[1:],
                bucket_counts=of_bin,
                global_step=epoch,
            )
    return summed
