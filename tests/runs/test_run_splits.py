"""A run is trained and evaluated on recordings that are alike in all splits, and on what it was trained on."""

from __future__ import annotations

import re
from pathlib import Path

import pandas
import pytest
import torch
from safetensors.torch import load_file

from mmcl.cli.main import main


def changed_copy(folder, to, change, numbers=range(24)) -> Path:
    """A copy of the tables, some of them changed; a third of the groups is tested, the manifest says which."""
    to.mkdir()
    for i in range(24):
        frame = pandas.read_csv(folder / f"{i}.csv")
        (change(frame) if i in numbers else frame).to_csv(to / f"{i}.csv", index=False)
    rows = pandas.read_csv(folder / "own.csv")
    rows["split"] = ["train" if i < 12 else "validation" if i < 16 else "test" for i in range(24)]
    rows.to_csv(to / "own.csv", index=False)
    return to / "own.csv"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f[["time_s", "y", "x", "z"]], r"16\.csv: has the channels y, x, z, others x, y, z"),
        (lambda f: f.assign(gx=0.0), r"16\.csv: holds \(4,\) a frame, others \(3,\)"),
    ],
)
def test_channels_are_alike_in_all_splits(wrist_run, tmp_path, capsys, change, message):
    data = changed_copy(wrist_run, tmp_path / "other", change, range(16, 24))
    words = ["train", "recordings", "--data", str(data), "--out", str(tmp_path / "run"), "--optim.epochs", "1"]
    for more in ([], ["--dry-run"]):
        assert main([*words, *more]) == 1
        assert re.search(message, capsys.readouterr().err)
    assert main(["store", "convert", str(data), str(tmp_path / "store"), "--dataset", "recordings"]) == 1
    assert re.search(r"16\.csv: has the channels .*, others x, y, z", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: f[["time_s", "y", "x", "z"]],
            "was trained on the wrist channels x, y, z, in this order; {data} has y, x, z",
        ),
        (lambda f: f.assign(gx=0.0), "was trained on (3,) of wrist a frame; {data} holds (4,)"),
    ],
)
def test_a_run_is_evaluated_on_what_it_takes(wrist_run, tmp_path, capsys, change, message):
    run, data = str(wrist_run / "run"), changed_copy(wrist_run, tmp_path / "other", change)
    assert main(["evaluate", run, "--data", str(data)]) == 1
    assert message.format(data=data) in capsys.readouterr().err
    words = ["train", "recordings", "--data", str(data), "--out", str(tmp_path / "run"), "--optim.epochs", "1"]
    assert main([*words, "--start-from", run, "--model.dim", "16"]) == 1
    assert message.format(data=data) in capsys.readouterr().err


def test_a_run_is_evaluated_on_its_classes_and_told_of_other_names_and_units(wrist_run, tmp_path, capsys):
    run = str(wrist_run / "run")
    data = changed_copy(wrist_run, tmp_path / "other", lambda f: f.rename(columns={"x": "ax"}))
    assert main(["evaluate", run, "--data", str(data)]) == 0
    assert f"{data}: its wrist channels ax, y, z are taken for x, y, z" in capsys.readouterr().out
    data.write_text(data.read_text().replace("calm", "zeal"))
    assert main(["evaluate", run, "--data", str(data)]) == 1
    assert f"was trained on the classes calm, wild; {data} has wild, zeal" in capsys.readouterr().err

    def in_other_units(frame):
        frame[["x", "y", "z"]] *= 9.80665
        return frame

    data = changed_copy(wrist_run, tmp_path / "units", in_other_units, range(16, 24))
    assert main(["evaluate", run, "--data", str(data)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("are the units, channels and their order the same?") == 3
    assert "and 5 more such warnings" in shown
    words = ["train", "recordings", "--data", str(data), "--out", str(tmp_path / "run"), "--optim.epochs", "1"]
    assert main([*words, "--model.dim", "16", "--trainer.tracker", "none"]) == 0
    assert "and 5 more such warnings" in capsys.readouterr().out


def test_heads_of_other_classes_are_not_taken(wrist_run, tmp_path, capsys):
    """Of the run's weights the encoders are taken; the head of one class does not begin as another's."""
    data = changed_copy(wrist_run, tmp_path / "other", lambda f: f)
    rows = pandas.read_csv(data)
    rows.replace({"label": {"calm": "zzz"}}).to_csv(data, index=False)
    words = ["train", "recordings", "--data", str(data), "--start-from", str(wrist_run / "run"), "--model.dim", "16"]
    words += ["--optim.epochs", "1", "--optim.learning-rate", "1e-9", "--trainer.tracker", "none"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert f"{wrist_run / 'run'}: knows the classes calm, wild, not wild, zzz" in out
    assert "encoders and projections; the rest starts anew" in out
    before, after = (load_file(run / "best.safetensors") for run in (wrist_run / "run", tmp_path / "run"))
    encoder = [k for k, x in before.items() if k.startswith("encoder.") and x.is_floating_point() and x.ndim > 1]
    assert encoder
    for k in encoder:
        torch.testing.assert_close(before[k], after[k], atol=1e-5, rtol=1e-4)
    heads = [k for k, x in before.items() if not k.startswith(("encoder.", "project.")) and x.ndim > 1]
    assert any(not torch.allclose(before[k], after[k], atol=1e-3) for k in heads)
    rows.to_csv(data, index=False)
    assert main([*words, "--out", str(tmp_path / "same")]) == 0
    same = load_file(tmp_path / "same" / "best.safetensors")
    for k in heads:
        torch.testing.assert_close(before[k], same[k], atol=1e-5, rtol=1e-4)
