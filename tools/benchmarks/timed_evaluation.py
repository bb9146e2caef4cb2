"""`mmcl evaluate`, timed from the files to the metrics: `torchrun -m benchmarks.timed_evaluation RUN DATA`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from mmcl.training import evaluate


def main() -> None:
    """Measure twice, print the second; the first one fills the disk's cache."""
    torch.set_num_threads(1)  # the same of one process and of two
    seconds = 0.0
    for _ in range(2):
        started = time.perf_counter()
        metrics = evaluate(Path(sys.argv[1]), Path(sys.argv[2]), device="cpu")
        seconds = time.perf_counter() - started
    if metrics:
        print(f"seconds {seconds} {metrics['frame average precision']}", flush=True)


if __name__ == "__main__":
    main()
