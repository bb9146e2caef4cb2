"""A run that is resumed on data that have changed."""

from __future__ import annotations

import json
import shutil

import pandas
import pytest

from mmcl.cli.main import main

OTHER = "made on other recordings, splits, labels or groups (train "


def lacks(n: int):
    return lambda table: table.drop(index=n)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.replace({"label": {"calm": "zzz"}}), "made on the classes calm, wild, not wild, zzz"),
        (lacks(1), OTHER),
        (lambda table: table.assign(group=table.group.replace("g0", "g9")), OTHER),
        (lambda table: table.iloc[::-1], OTHER),
        (lambda table: table, None),
    ],
)
def test_resumed_on_other_data(wrist_run, tmp_path, capsys, change, message):
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(wrist_run, data, ignore=shutil.ignore_patterns("run"))
    words = ["train", "recordings", "--data", str(data / "own.csv"), "--out", str(run), "--trainer.tracker", "none"]
    words += ["--model.dim", "16", "--optim.epochs", "1"]
    assert main(words) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").unlink()  # as if it had been stopped before its end
    settings = (run / "config.json").read_bytes()
    change(pandas.read_csv(data / "own.csv")).to_csv(data / "own.csv", index=False)
    capsys.readouterr()
    rc = main([*words, "--resume"])
    if message is None:
        assert rc == 0
        assert json.loads((run / "metrics.json").read_text())["test accuracy"] == metrics["test accuracy"]
        return
    error = capsys.readouterr().err
    assert rc == 1
    assert message in error
    assert "own.csv has changed; undo the change, or train into another --out" in error
    assert not (run / "metrics.json").exists()
    assert (run / "config.json").read_bytes() == settings
