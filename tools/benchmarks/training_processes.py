"""Training on two processes against one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.feature_files import small_store
from benchmarks.measure import Benchmark, Row


def processes(b: Benchmark) -> None:
    """One process against two that share the batch: the same losses, and how fast."""
    with tempfile.TemporaryDirectory(dir=b.work) as temporary:
        folder = Path(temporary)
        data = small_store(folder / "store", 512, np.float32, b.seed)
        histories = {}
        n_cores = os.cpu_count() or 1
        for n in (1, 2):
            out = folder / f"run{n}"
            command = [
                sys.executable,
                "-m",
                "torch.distributed.run",
                "--nproc_per_node",
                str(n),
                "-m",
                "mmcl",
            ]
            command += ["train", "xd-violence", "--data", str(data), "--out", str(out), "--data.crops", "1"]
            command += ["--data.validation-share", "0", "--model.dropout", "0", "--optim.epochs", "4"]
            threads = {"OMP_NUM_THREADS": str(max(n_cores // n, 1))} if b.device == "cpu" else {}
            subprocess.run(command, check=True, env={**os.environ, **threads}, stdout=subprocess.DEVNULL)
            histories[n] = json.loads((out / "history.json").read_text())
            seconds = json.loads((out / "metrics.json").read_text())["training seconds"]
            rate = 4 * 512 / seconds
            ratio = None if n == 1 else rate / b.rows[-1].median
            b.report(Row("processes", f"{n} of them, 128 bags a step", rate, rate, rate, "bags/s", ratio))
        gap = max(
            abs(one[k] - two[k])
            for one, two in zip(*histories.values(), strict=True)
            for k in one
            if k.startswith("loss")
        )
        b.report(Row("processes", "largest difference of any loss", gap, gap, gap, ""))
