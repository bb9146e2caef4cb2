"""Results that would mean nothing are told before the work; odd runs and names end no report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support import recipe, splits_of
from xd_features import SMALL, make_features

from mmcl.cli.main import main
from mmcl.datasets.sources.xd_violence_features import find_features
from mmcl.errors import FileError
from mmcl.evaluation.events import EventRule
from mmcl.reporting.plots import draw_scores, png
from mmcl.reporting.score_files import ScoreFiles
from mmcl.types import SnippetScores


@pytest.fixture
def features(tmp_path) -> Path:
    make_features(tmp_path / "data")
    return tmp_path / "data"


def train(data: Path, out: Path) -> int:
    return main(["train", "xd-violence", "--data", str(data), "--out", str(out), *SMALL])


@pytest.mark.parametrize(("kept", "lacking"), [("_label_A", "with"), ("_label_[BG]", "without")])
def test_a_split_of_one_kind_of_bags(features, tmp_path, kept, lacking, capsys):
    for path in (features / "RGB").glob("*.npy"):
        if not path.match(f"*{kept}*"):
            path.unlink()
    for path in (features / "vggish" / "train").glob("*.npy"):
        if not path.match(f"*{kept}*"):
            path.unlink()
    assert train(features, tmp_path / "run") == 1
    assert f"the train split holds no recording {lacking} events; it needs both kinds" in capsys.readouterr().err
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_video_in_two_lists(features):
    names = {split: [v.name for v in find_features(features, 2)[split]] for split in ("train", "test")}
    for split, of_split in names.items():
        lines = [f"x/{n}__0.npy" for n in [*of_split, names["train"][0]]]
        (features / f"visual_{split}.list").write_text("\n".join(lines))
    with pytest.raises(FileError, match="is in the train and in the test split; remove it from one"):
        find_features(features, 2)


def test_nan_in_a_test_feature_is_found_before_training(features, tmp_path, capsys):
    path = sorted((features / "RGBTest").glob("*__1.npy"))[3]
    x = np.load(path)
    x[2, 5] = np.nan
    np.save(path, x)
    assert train(features, tmp_path / "run") == 1
    assert f"{path.stem}: NaN or infinity in its visual signal" in capsys.readouterr().err
    assert not (tmp_path / "run" / "config.json").exists()
    splits_of(recipe("xd-violence", {"data.crops": 2}), features, ("train",))  # it is not read for training


def test_reports_of_undefined_figures_and_broken_neighbours(trained, tmp_path, capsys):
    runs = tmp_path / "runs"
    for name in ("a", "b", "c"):
        shutil.copytree(trained, runs / name)
    metrics = json.loads((runs / "a" / "metrics.json").read_text())
    for key in ("test snippet average precision", "training seconds"):
        del metrics[key]
    (runs / "a" / "metrics.json").write_text(json.dumps(metrics))
    (runs / "b" / "metrics.json").write_text("{broken")
    assert main(["report", str(runs / "a")]) == 0
    assert "undefined" in (runs / "a" / "report.html").read_text()
    assert main(["report", str(runs / "c")]) == 0
    assert main(["report", str(runs)]) == 0
    assert "b" in capsys.readouterr().out


def test_a_dollar_in_a_name_is_no_formula(tmp_path):
    start, score = np.arange(4.0), np.linspace(0, 1, 8).reshape(4, 2)
    classes = ("cost $x", r"$\frac{1}{$")
    scores = SnippetScores("a $ b ^ _$", start, start + 1, score, {"visual": score}, score.max(0), {}, classes)
    assert png(draw_scores(scores))[:4] == b"\x89PNG"
    from mmcl.inference.score_each import ScoredRecording

    ScoreFiles(tmp_path, EventRule()).write(ScoredRecording(scores))
    assert (tmp_path / "a $ b ^ _$.png").stat().st_size > 1000


@pytest.mark.parametrize("content", ['{"a": 1e400}', '{"a": NaN}', '{"a": 1' + "0" * 400 + "}", "[1]", "null"])
def test_odd_metrics_are_named(trained, tmp_path, content, capsys):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / "metrics.json").write_text(content)
    assert main(["report", str(run)]) == 1
    assert "metrics.json: holds no metrics by name" in capsys.readouterr().err
    (run / "metrics.json").write_text((trained / "metrics.json").read_text())
    (run / "history.json").write_text('[{"epoch": "a"}]')
    assert main(["report", str(run)]) == 1
    assert "history.json: holds no losses by epoch" in capsys.readouterr().err


def test_weights_that_are_no_file(trained, tmp_path, capsys):
    import os

    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / "best.safetensors").unlink()
    os.mkfifo(run / "best.safetensors")
    assert main(["export", str(run), "--out", str(tmp_path / "a.onnx")]) == 1
    assert "best.safetensors: is no regular file" in capsys.readouterr().err
