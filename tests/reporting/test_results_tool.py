"""Tables and figures of a folder of runs: means are those of numpy, every run is in the table."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

TOOL = Path(__file__).resolve().parents[2] / "tools" / "results.py"


def test_tables_are_those_of_the_metrics(trained, tmp_path):
    values = {}
    for seed, event_f1 in ((0, 0.5), (1, 0.7), (2, None)):
        run = tmp_path / "runs" / "streams" / f"seed-{seed}"
        shutil.copytree(trained, run)
        config = json.loads((run / "config.json").read_text())
        config["config"]["seed"] = seed
        (run / "config.json").write_text(json.dumps(config))
        metrics = json.loads((run / "metrics.json").read_text())
        metrics["test snippet average precision"] = values[seed] = 0.5 + 0.1 * seed
        metrics = {k: v for k, v in metrics.items() if "event F1" not in k}
        if event_f1 is not None:
            metrics["test event F1 at IoU 0.3"] = event_f1
        (run / "metrics.json").write_text(json.dumps(metrics))
    out = tmp_path / "results"
    command = [sys.executable, str(TOOL), str(tmp_path / "runs"), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = (out / "results.md").read_text()
    mean, spread = np.mean(list(values.values())), np.std(list(values.values()), ddof=1)
    assert f"| streams | 3 | {mean:.4f} ± {spread:.4f} |" in text
    assert "0.600 ± 0.141" in text  # of the two runs that have it
    table = pd.read_csv(out / "results.csv")
    assert sorted(table["run"]) == [f"streams/seed-{seed}" for seed in values]
    assert table.set_index("seed")["value"].to_dict() == values
    assert next(out.glob("*-runs.png")).read_bytes()[:4] == b"\x89PNG"


def test_a_folder_without_runs(tmp_path):
    done = subprocess.run([sys.executable, str(TOOL), str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path}: no finished run below it; give a folder that holds runs\n"
