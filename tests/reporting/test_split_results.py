"""Each class, the worst errors and calibration, against counts by hand."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from mmcl.cli.main import main
from mmcl.evaluation.detection import detection_metrics
from mmcl.evaluation.recognition import recognition_metrics
from mmcl.reporting.split_results import class_table, recording_scores, result_sections, worst_errors
from mmcl.types import Recording, SnippetGrid, SnippetScores


def made_up(values, labels, classes=("fight",)):
    recordings, scores = [], []
    for i, (value, label) in enumerate(zip(values, labels, strict=True)):
        bag, x = np.atleast_1d(np.asarray(value, float)), np.arange(2.0)
        of_snippets = np.tile(bag, (2, 1))
        scores.append(SnippetScores(f"r{i}", x, x + 1, of_snippets, {}, bag, {}, classes))
        signal = {"a": np.zeros((2, 1), np.float32)}
        recordings.append(Recording(f"r{i}", signal, {"a": 1.0}, np.atleast_1d(np.asarray(label, np.float32))))
    return recordings, scores


def test_errors_come_surest_first():
    split = made_up([0.9, 0.2, 0.6, 0.1, 0.45], [0, 1, 0, 0, 1])
    errors = worst_errors(*split, False)
    assert [(e.kind, e.recording.name, e.shows) for e in errors] == [
        ("false alarm (fight)", "r0", "no event"),
        ("miss (fight)", "r1", "fight"),
        ("false alarm (fight)", "r2", "no event"),
        ("miss (fight)", "r4", "fight"),
    ]


def test_each_class():
    split = made_up([0.9, 0.8, 0.6, 0.1, 0.45], [0, 1, 0, 0, 1])
    ((name, n, recall, precision, ap, auc),) = class_table(*split, False).rows
    assert (name, n, recall, precision) == ("fight", "2", "0.50", "0.33")
    assert float(ap) == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert float(auc) == pytest.approx(3 / 6, abs=0.001)
    classes = ("a", "b", "c")
    split = made_up([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]], [[1, 0, 0], [0, 1, 0], [0, 0, 1]], classes)
    rows = class_table(*split, True).rows
    assert [row[2] for row in rows] == ["1.00", "0.00", "1.00"]
    (error,) = worst_errors(*split, True)
    assert (error.kind, error.recording.name, error.shows) == ("taken for a", "r1", "b")
    assert error.score == pytest.approx(recording_scores(split[1], True)[1, 0])


@pytest.mark.parametrize("multiclass", [True, False])
def test_the_calibration_error_of_the_page_is_that_of_the_metrics(multiclass, rng, tmp_path):
    classes = ("a", "b", "c", "d")
    score = rng.dirichlet(np.ones(4), 60)
    label = np.eye(4)[rng.integers(0, 4, 60)] * (1 if multiclass else rng.integers(0, 2, (60, 1)))
    recordings, scores = made_up(score, label, classes)
    if multiclass:
        expected = recognition_metrics(recordings, scores)["calibration error"]
    else:
        expected = detection_metrics(recordings, scores, SnippetGrid(1.0, 1.0, {}))["bag calibration error"]
    _, sections = result_sections(recordings, scores, multiclass, tmp_path)
    assert f"expected calibration error {expected:.3f}," in sections[-1].note


def test_a_run_page_has_them(trained, tmp_path, page):
    out = tmp_path / "report.html"
    assert main(["report", str(trained), "--out", str(out), "--timelines", "2"]) == 0
    page.goto(out.as_uri())
    titles = page.locator("h2").all_inner_texts()
    assert {"Each class", "Calibration of recordings", "Timelines of test recordings"} <= set(titles)
    wide = page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 100)")
    assert wide


def test_errors_of_videos_lead_to_pages_that_play_them(video_model, class_folders, tmp_path, page):
    """All clips of a class moved into the other one's folder are errors, to a model that learned the right ones."""
    swapped = tmp_path / "swapped"
    for name, other in (("calm", "wild"), ("wild", "calm")):
        for camera in range(6):
            split = swapped / ("train" if camera < 2 else "test") / other
            shutil.copytree(class_folders / name / f"camera-{camera}", split / f"camera-{camera}")
    out = tmp_path / "page" / "report.html"
    assert main(["report", str(video_model.folder), "--data", str(swapped), "--out", str(out)]) == 0
    page.goto(out.as_uri())
    links = page.locator(".error a")
    assert links.count() >= 1
    assert page.evaluate("[...document.querySelectorAll('.error a img')].every(i => i.naturalWidth > 50)")
    title = links.first.inner_text()
    assert title.startswith(("false alarm (wild)", "miss (wild)"))
    links.first.click()
    page.wait_for_selector("#chart")
    page.wait_for_function("() => document.querySelector('video').readyState >= 1")
    assert page.locator("text=all recordings").count() == 0
