"""XD-Violence's conventions against the data set's own lists, annotations, truth and real scores."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import SHARED
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from mmcl.cli.main import main
from mmcl.datasets.sources.xd_violence_files import (
    CLASSES,
    codes_of,
    event_frames,
    frame_truth,
    n_snippets,
    read_annotations,
    read_frame_counts,
    read_list,
    video_of,
)
from mmcl.errors import FileError, InputError
from mmcl.evaluation.frame_level import frame_metrics
from mmcl.evaluation.metrics import Ranking


@pytest.fixture(scope="module")
def xd():
    folder = SHARED / "xd_violence"
    if not folder.is_dir():
        pytest.skip("XD-Violence's lists are not here")
    return folder


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("Bad.Boys.1995__#01-11-55_01-12-40_label_G-B2-B6", ("G", "B2", "B6")),
        ("v=S-7rRLrxnVQ__#1_label_B4-0-0", ("B4",)),
        ("wangted.2008__#0-27-17_0-28-07_label_A", ()),
        ("two_label_A__in_label_B1", ("B1",)),
    ],
)
def test_codes(name, codes):
    assert codes_of(name) == codes
    for end in ("__0.npy", "__4", "__vggish.npy", ".mp4", ""):
        assert video_of("some/folder/" + name + end) == name


@pytest.mark.parametrize("name", ["clip", "clip_label_", "clip_label_B3", "clip_label_A-B1", "clip_label_0-0-0"])
def test_names_without_a_code_are_refused(name):
    with pytest.raises(InputError, match="expected a name that ends in _label_"):
        codes_of(name)


def test_event_frames_against_a_row_per_frame():
    rng = np.random.default_rng(0)
    for _ in range(50):
        n = int(rng.integers(1, 12))
        intervals = [tuple(sorted(rng.choice(250, 2, replace=False).tolist())) for _ in range(rng.integers(0, 4))]
        frames = np.zeros(300, bool)
        for start, end in intervals:
            frames[start:end] = True
        want = frames[: 16 * n].reshape(n, 16).sum(1)
        np.testing.assert_array_equal(event_frames(intervals, n), want)


def test_truth_equals_the_official_one(xd):
    """All 800 test videos, from annotations and frame counts."""
    names = read_list(xd / "visual_test.list")
    assert names == read_list(xd / "audio_test.list")
    lengths = {k: n_snippets(v) for k, v in read_frame_counts(xd / "test_frames.csv").items()}
    truth = frame_truth(names, lengths, read_annotations(xd / "annotations.txt"))
    official = np.load(xd / "ground_truth_per_video.npz")
    assert list(truth.names) == official["names"].tolist()
    np.testing.assert_array_equal(truth.positive, official["flat"].reshape(-1, 16).sum(1))
    assert (len(truth.positive), int(truth.positive.sum())) == (145_649, 537_805)


def test_train_list(xd):
    names = read_list(xd / "visual_train.list")
    violent = sum(bool(codes_of(n)) for n in names)
    assert (len(names), violent) == (3_954, 1_905)


def test_a_real_networks_metrics(xd, tmp_path, capsys):
    """HL-Net's real scores: the metrics that are known of them."""
    out = tmp_path / "metrics.json"
    scores = xd / "hlnet_offline_scores.npy"
    words = ["evaluate", "xd-violence", "--scores", str(scores), "--data", str(xd), "--out", str(out)]
    assert main([*words, "--bootstrap", "100"]) == 0
    assert "frame average precision " in capsys.readouterr().out
    metrics = json.loads(out.read_text())
    assert metrics["frame average precision"] == pytest.approx(0.78998, abs=5e-6)
    assert metrics["frame trapezoid PR-AUC"] == pytest.approx(0.78997, abs=5e-6)
    inside = {
        "riot": 0.97,
        "fighting": 0.85,
        "shooting": 0.77,
        "abuse": 0.67,
        "explosion": 0.61,
        "car accident": 0.42,
    }
    for name, value in inside.items():
        assert metrics[f"frame average precision inside {name} videos"] == pytest.approx(value, abs=0.005)
    assert metrics["video ROC-AUC of the highest score"] == pytest.approx(0.992, abs=5e-4)
    assert 0.012 < metrics["frame average precision, standard deviation over videos"] < 0.02


def test_counted_metrics_equal_scikit_learn_on_unrolled_frames():
    rng = np.random.default_rng(0)
    score = rng.integers(0, 20, 60) / 10  # many ties
    positive = rng.integers(0, 17, 60)
    truth = np.concatenate([np.repeat([1, 0], [p, 16 - p]) for p in positive])
    frames = np.repeat(score, 16)
    counts = Ranking(score, positive, 16 - positive, np.arange(60) // 10).counts(np.ones(6))
    precision, recall, _ = precision_recall_curve(truth, frames)
    assert counts.average_precision == pytest.approx(average_precision_score(truth, frames))
    assert counts.roc_auc == pytest.approx(roc_auc_score(truth, frames))
    assert counts.trapezoid_pr_auc == pytest.approx(-np.trapezoid(precision, recall))
    twice = Ranking(score, positive, 16 - positive, np.arange(60) // 10).counts(np.array([0, 2, 1, 0, 3, 0]))
    chosen = np.concatenate([np.arange(16 * 10 * v, 16 * 10 * (v + 1)) for v in (1, 1, 2, 4, 4, 4)])
    assert twice.average_precision == pytest.approx(average_precision_score(truth[chosen], frames[chosen]))


def test_order_of_videos_changes_nothing():
    names = ["a_label_B1-0-0", "b_label_A", "c_label_G-B1-0"]
    lengths = {"a_label_B1-0-0": 5, "b_label_A": 3, "c_label_G-B1-0": 4}
    events = {"a_label_B1-0-0": [(10, 40)], "c_label_G-B1-0": [(0, 20)]}
    score = {n: np.random.default_rng(i).random(lengths[n]) for i, n in enumerate(names)}
    one, two = (
        frame_metrics(np.concatenate([score[n] for n in order]), frame_truth(order, lengths, events), CLASSES, 0)
        for order in (names, names[::-1])
    )
    assert one == pytest.approx(two)


def test_bad_input_is_named(tmp_path, capsys):
    (tmp_path / "visual_test.list").write_text("x/a_label_B1-0-0__0.npy\nx/b_label_A__0.npy\n")
    (tmp_path / "annotations.txt").write_text("a_label_B1-0-0.mp4 3 20\n")
    (tmp_path / "test_frames.csv").write_text("name,frames\na_label_B1-0-0,33\nb_label_A,49\n")
    np.save(tmp_path / "s.npy", np.arange(5.0))
    words = ["evaluate", "xd-violence", "--data", str(tmp_path), "--bootstrap", "5", "--scores"]
    assert main([*words, str(tmp_path / "s.npy")]) == 0
    np.save(tmp_path / "frames.npy", np.repeat(np.arange(5.0), 16))
    assert main([*words, str(tmp_path / "frames.npy")]) == 0
    for content, message in (
        (np.arange(7.0), "expected 5 (one a snippet)"),
        (np.array([0, 1, np.nan, 3, 4]), "NaN or infinity at score 2"),
        (np.arange(80.0), "change within a snippet"),
        (np.array(["a"] * 5), "expected one number a snippet"),
    ):
        np.save(tmp_path / "bad.npy", content)
        assert main([*words, str(tmp_path / "bad.npy")]) == 1
        assert message in capsys.readouterr().err
    assert main([*words, str(tmp_path / "none.npy")]) == 1
    assert "no such file" in capsys.readouterr().err
    for line, message in (
        ("a_label_B1-0-0 3 20\nb_label_A 3 20", "normal, but has an"),
        ("b_label_A 3 20", "violent, but has no"),
        ("a_label_B1-0-0 20 3", "line 1: expected NAME"),
    ):
        (tmp_path / "annotations.txt").write_text(line + "\n")
        assert main([*words, str(tmp_path / "s.npy")]) == 1
        assert message in capsys.readouterr().err
    (tmp_path / "annotations.txt").write_text("a_label_B1-0-0 3 20\n")
    (tmp_path / "test_frames.csv").write_text("name,frames\na_label_B1-0-0,33\n")
    assert main([*words, str(tmp_path / "s.npy")]) == 1
    assert "b_label_A: its length is unknown" in capsys.readouterr().err
    (tmp_path / "visual_test.list").write_text("clip__0.npy\n")
    with pytest.raises(FileError, match="expected a name that ends in _label_"):
        read_list(tmp_path / "visual_test.list")
