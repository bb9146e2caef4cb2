"""A recording shows one class: no page, picture, copy or live message of it speaks of events."""

from __future__ import annotations

import json

import numpy as np
import pytest
from clips import write_square

import mmcl
from mmcl.cli.main import main
from mmcl.evaluation.events import EventRule
from mmcl.live.reader import StreamReader
from mmcl.live.scores import sides_of
from mmcl.live.watch import Watcher
from mmcl.media.snippets import read_snippets
from mmcl.media.stream import LiveSource


@pytest.fixture(scope="module")
def model(class_folders, tmp_path_factory):
    run = tmp_path_factory.mktemp("recognition") / "run"
    words = ["train", "recordings", "--data", str(class_folders), "--out", str(run), "--trainer.tracker", "none"]
    words += ["--features.visual", "descriptors", "--optim.epochs", "1", "--model.dim", "8"]
    assert main([*words, "--data.modalities", "visual"]) == 0
    return mmcl.load(run, "cpu")


def test_no_events(model, tmp_path, page):
    clip = write_square(tmp_path / "clip.mp4", True, 99, seconds=4.0)
    words = ["score", str(model.folder), str(clip), "--out", str(tmp_path / "out"), "--overlay"]
    assert main([*words, "--threshold", "0.01", "--low", "0.01"]) == 0
    content = json.loads((tmp_path / "out/clip.json").read_text())
    assert (content["multiclass"], content["events"]) == (True, [])
    assert np.max([s["joint"] for s in content["snippets"]]) > 0.01
    _, snippets = read_snippets(tmp_path / "out/clip-scored.mp4", 64)
    edges = np.concatenate([s.frames[:, 1:40, 0].astype(int) for s in snippets])
    assert not ((edges[..., 0] > 180) & (edges[..., 1] < 110) & (edges[..., 2] < 110)).any()  # no red
    page.goto((tmp_path / "out/clip.html").as_uri())
    page.wait_for_selector("#count:not(:empty)")
    assert page.locator("#count").inner_text() == "0 events"
    rows = (tmp_path / "out/index.html").read_text()
    assert '"n_events": 0' in rows


def test_no_live_events(model, tmp_path):
    clip = write_square(tmp_path / "clip.mp4", True, 99, seconds=4.0)
    messages = []

    class Kept:
        def send(self, message):
            messages.append(message)

    extractors = model.video_scorer.extractors
    reader = StreamReader(LiveSource(str(clip), 1.0), sides_of(extractors), tuple(extractors.parts), drops=False)
    rule = EventRule(0.01, 0.01)
    Watcher(model.predictor, extractors, reader, rule, [Kept()], log=lambda text: None).run()
    kinds = [m["type"] for m in messages]
    assert kinds.count("snippet") >= 4
    assert "event" not in kinds
