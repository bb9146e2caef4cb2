"""The inference tool and the report, on real files and a really trained small network."""

from __future__ import annotations

import csv
import json
import re
import shutil

import numpy as np
import pytest
import torch
from test_data import write_csv
from test_training import SMALL

from mmcl.cli import main
from mmcl.data.utd_mhad import read_utd_mhad
from mmcl.metrics import accuracy, average_precision, macro_f1, roc_auc, trapezoid_pr_auc
from mmcl.presets import changed, utd_mhad_streams
from mmcl.scoring import CHUNK
from mmcl.tasks import scorer
from mmcl.training.folder import load_network
from mmcl.types import Recording


@pytest.fixture(scope="module")
def trained(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for seed in ("0", "1"):
        options = [*SMALL, "--optim.epochs", "1", "--optim.tracker", "none", "--optim.seed", seed]
        assert (
            main(
                [
                    "train",
                    "utd-mhad-streams",
                    "--data",
                    str(made),
                    "--out",
                    str(folder / f"seed-{seed}"),
                    *options,
                ]
            )
            == 0
        )
    return folder / "seed-0"


def test_chunks_give_the_scores_of_the_whole(trained, rng):
    network, config, classes = load_network(trained)
    n_s = CHUNK  # at 2 snippets a second: twice the chunk
    signal = {
        "inertial": rng.standard_normal((50 * n_s, 6)).astype(np.float32),
        "skeleton": rng.standard_normal((25 * n_s, 20, 3)).astype(np.float32),
    }
    recording = Recording("long", signal, {"inertial": 50.0, "skeleton": 25.0})
    judge = scorer(network, config, classes)
    (chunked,) = judge.score([recording])
    network.context = None  # whole at once
    (whole,) = judge.score([recording])
    assert len(whole.score) == 2 * n_s - 1
    np.testing.assert_allclose(chunked.score, whole.score, atol=1e-5)
    for m in whole.modality_score:
        np.testing.assert_allclose(chunked.modality_score[m], whole.modality_score[m], atol=1e-5)


def test_scores_do_not_depend_on_what_is_scored_beside(trained, made):
    network, config, classes = load_network(trained)
    judge = scorer(network, config, classes)
    recordings = read_utd_mhad(made)[:5]
    together = list(judge.score(recordings))
    for one, r in zip(together, recordings, strict=True):
        (alone,) = judge.score([r])
        np.testing.assert_allclose(alone.score, one.score, atol=1e-6)


def test_mat_pair_and_csv_pair_to_json_csv_png(trained, made, tmp_path, rng, capsys):
    write_csv(
        tmp_path / "walk ü_inertial.csv", rng.standard_normal((500, 6)), list("abcdef"), np.arange(500) / 50
    )
    write_csv(tmp_path / "walk ü_skeleton.csv", rng.standard_normal((300, 60)), [f"j{i}" for i in range(60)])
    pair = [
        str(made / "Inertial" / "a13_s2_t1_inertial.mat"),
        str(made / "Skeleton" / "a13_s2_t1_skeleton.mat"),
    ]
    csvs = [str(tmp_path / f"walk ü_{m}.csv") for m in ("inertial", "skeleton")]
    out = tmp_path / "out"
    assert main(["score", str(trained), *pair, *csvs, "--skeleton-hz", "30", "--out", str(out)]) == 0
    assert "2 of 2 scored" in capsys.readouterr().out
    content = json.loads((out / "walk ü.json").read_text())
    rows = list(csv.DictReader((out / "walk ü.csv").read_text().splitlines()))
    assert len(rows) == len(content["snippets"]) == 19  # 10 s, a window of 1 s every 0.5 s
    assert list(rows[0]) == ["start_s", "end_s", "joint", "skeleton", "inertial"]
    assert rows[3]["start_s"] == "1.500"
    assert float(rows[3]["joint"]) == pytest.approx(content["snippets"][3]["joint"][0], abs=1e-6)
    assert all(0 <= float(r["joint"]) <= 1 for r in rows)
    assert (out / "a13_s2_t1.png").read_bytes()[:4] == b"\x89PNG"


def test_a_bad_recording_is_told_and_the_others_are_scored(trained, made, tmp_path, capsys):
    folder = tmp_path / "data"
    for name in ("a1_s2_t1", "a3_s2_t1"):
        for kind in ("inertial", "skeleton"):
            folder.mkdir(exist_ok=True)
            shutil.copy(made / kind.capitalize() / f"{name}_{kind}.mat", folder)
    (folder / "a1_s2_t1_skeleton.mat").write_bytes(b"\0" * 99)
    assert main(["score", str(trained), str(folder), "--out", str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    assert "a1_s2_t1_skeleton.mat: not a readable .mat" in captured.err
    assert "Traceback" not in captured.err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "a3_s2_t1.csv",
        "a3_s2_t1.json",
        "a3_s2_t1.png",
    ]


def test_report_is_one_self_contained_page(trained, capsys):
    assert main(["report", str(trained), "--timelines", "2"]) == 0
    html = (trained / "report.html").read_text()
    metrics = json.loads((trained / "metrics.json").read_text())
    assert f"{metrics['test snippet average precision']:.4f}" in html
    assert "Comparison" in html  # its sibling of another seed
    assert html.count("data:image/png;base64,") == 3
    assert not re.findall(r'(?:src|href)="(?!data:)', html)
    assert main(["report", str(trained.parent)]) == 0
    assert "±" in (trained.parent / "report.html").read_text()
    assert main(["report", str(trained / "tensorboard")]) == 1
    assert "holds neither a run nor runs" in capsys.readouterr().err


def test_evaluate_and_its_errors(trained, tmp_path, capsys):
    assert main(["evaluate", str(trained), "--weights", "last", "--part", "validation"]) == 0
    assert "validation, last epoch, snippet average precision" in (trained / "metrics.json").read_text()
    assert main(["evaluate", str(tmp_path)]) == 1
    assert "config.json: no such file" in capsys.readouterr().err


def test_commands_help_and_suggest(capsys):
    assert main([]) == 0
    assert "mmcl train utd-mhad-streams" in capsys.readouterr().out
    assert main(["scor", "x"]) == 1
    assert "did you mean 'mmcl score'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["train", "utd-mhad", "--data", "x", "--out", "y", "--optim.epoch", "3"])
    assert "--optim.epochs" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["train", "utd-mhad", "--help"])
    text = capsys.readouterr().out
    assert "Temperature" in text
    assert "(default: 0.2)" in text


def test_metrics_equal_plain_definitions(rng):
    truth, score = rng.random(200) < 0.2, rng.random(200)
    order = np.argsort(-score)
    hits = truth[order]
    precision = np.cumsum(hits) / np.arange(1, 201)
    assert average_precision(truth, score) == pytest.approx((precision * hits).sum() / hits.sum())
    pairs = (score[truth][:, None] > score[~truth][None, :]).mean()
    assert roc_auc(truth, score) == pytest.approx(pairs)
    assert abs(trapezoid_pr_auc(truth, score) - average_precision(truth, score)) < 0.05
    assert np.isnan(average_precision(np.zeros(3, bool), np.ones(3)))
    assert accuracy(np.array([0, 1, 1]), np.array([0, 1, 0])) == pytest.approx(2 / 3)
    assert macro_f1(np.array([0, 1, 1]), np.array([0, 1, 0])) == pytest.approx((2 / 3 + 2 / 3) / 2)


def test_context_is_told_by_the_network():
    from mmcl.models.build import clock_of, network

    for reach in (0, 3):
        config = changed(utd_mhad_streams(), model={"reach": reach, "dim": 8})
        assert network(config, clock_of(config), 1).context >= 2 * reach + config.model.smooth // 2
    assert torch.is_grad_enabled()
