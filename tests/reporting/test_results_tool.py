"""Tables and figures of a folder of runs: means are those of numpy, every run is in the table."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from forked import run_script

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
    done = run_script(TOOL, tmp_path / "runs", "--out", out)
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
    done = run_script(TOOL, tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path}: no finished run below it; give a folder that holds runs\n"


def test_labels_against_the_metric():
    """Seeds are gathered wherever they stand in the path, and all labels are the right end."""
    spec = importlib.util.spec_from_file_location("results_tool", TOOL)
    tool = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = tool
    spec.loader.exec_module(tool)
    rows = [
        {"group": f"{kind}/both/{folder}", "labels": labels, "value": value + 0.1 * seed}
        for kind, value in (("fine-tuned", 0.8), ("from scratch", 0.7))
        for labels, folder in ((1.0, "1-a-class"), (4.0, "4-a-class"), (0.0, "all-labels"))
        for seed in (0, 1)
    ]
    rows.append({"group": "other", "labels": 0.0, "value": 0.5})
    place, curves = tool.label_curves(pd.DataFrame(rows))
    assert place == {1.0: 1.0, 4.0: 4.0, 0.0: 8.0}
    assert list(curves) == ["fine-tuned/both", "from scratch/both"]
    np.testing.assert_allclose(curves["from scratch/both"]["mean"], [0.75] * 3)
    assert curves["fine-tuned/both"]["std"].iloc[0] == pytest.approx(np.std([0.8, 0.9], ddof=1))
    assert tool.draw_labels(pd.DataFrame(rows), "accuracy")[:4] == b"\x89PNG"
    assert tool.draw_labels(pd.DataFrame(rows[-1:]), "accuracy") is None
