"""MMAct in its published layout: read, refused, trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support import recipe, splits_of

from mmcl.cli.main import main
from mmcl.datasets.mmact import CLASSES, MmactConfig, find_recordings, split_of
from mmcl.errors import InputError

SMALL = ["--model.dim", "16", "--trainer.tracker", "none"]


def make_mmact(folder: Path, subjects=(1, 13, 17), actions=("carrying", "fall", "Walking"), sessions=2) -> Path:
    rng = np.random.default_rng(0)
    for s in subjects:
        for action in actions:
            for session in range(1, sessions + 1):
                place = f"subject{s}/scene1/session{session}"
                for source, hz in (
                    ("acc_phone_clip", 100),
                    ("acc_watch_clip", 100),
                    ("gyro_clip", 50),
                    ("orientation_clip", 50),
                ):
                    path = folder / source / place / f"{action}.csv"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    x = rng.standard_normal((3 * hz, 3)) + actions.index(action)
                    path.write_text(
                        "".join(f"2018-10-01 10:00:{i / hz:.3f},{a},{b},{c}\n" for i, (a, b, c) in enumerate(x))
                    )
                for camera in (1, 2):
                    place = f"subject{s}/cam{camera}/scene1/session{session}"
                    path = folder / "pose" / "cross_view" / "trainval" / place / f"{action}.json"
                    path.parent.mkdir(parents=True, exist_ok=True)

                    def frame(i, camera=camera):
                        joints = (rng.standard_normal(51) + 10 * camera + i / 50).tolist()
                        return {"person1": joints, "person2": []}

                    path.write_text(json.dumps({str(i): frame(i) if i != 3 else {"person1": []} for i in range(90)}))
    return folder


def test_mmact_is_read_as_published(tmp_path):
    folder = make_mmact(tmp_path)
    (folder / "gyro_clip/subject1/scene1/session1/fall.csv").unlink()
    recordings, lacking = find_recordings(folder)
    assert len(recordings) == 17
    assert lacking == ["subject1/scene1/session1/fall: no gyro_clip"]
    splits = splits_of(recipe("mmact"), folder, ("train",))
    recording = splits.train[0]
    assert recording.signal["inertial"].shape == (150, 12)
    assert recording.signal["skeleton"].shape == (90, 17, 2)
    assert recording.duration_s == pytest.approx(3.0)
    assert CLASSES[int(recording.label.argmax())] == "carrying"
    pose = json.loads(next(iter(recordings.values()))["pose"].read_text())
    want = np.reshape(pose["0"]["person1"], (17, 3))[:, :2]
    np.testing.assert_allclose(recording.signal["skeleton"][0], want, rtol=1e-5)
    between = (recording.signal["skeleton"][2] + recording.signal["skeleton"][4]) / 2
    np.testing.assert_allclose(recording.signal["skeleton"][3], between, rtol=1e-4)  # nobody was found there
    raw = (folder / "acc_phone_clip" / "subject1/scene1/session1/carrying.csv").read_text().splitlines()
    rows = np.array([[float(v) for v in line.split(",")[1:]] for line in raw])
    np.testing.assert_allclose(recording.signal["inertial"][:, :3], (rows[::2] + rows[1::2]) / 2, atol=1e-4)


def test_mmact_protocols():
    assert len(CLASSES) == len(set(CLASSES)) == 36
    splits = {s: split_of(s, 1, "cross-subject") for s in range(1, 21)}
    assert [s for s, p in splits.items() if p == "train"] == list(range(1, 13))
    assert [s for s, p in splits.items() if p == "validation"] == [13, 14, 15]
    assert [s for s, p in splits.items() if p == "test"] == [17, 18, 19, 20]
    assert split_of(1, 2, "cross-scene") == split_of(20, 2, "cross-scene") == "test"
    assert (split_of(1, 3, "cross-scene"), split_of(14, 4, "cross-scene")) == ("train", "validation")
    assert split_of(17, 3, "cross-scene") == ""
    assert MmactConfig().protocol == "cross-subject"


POSE = "pose/cross_view/trainval/subject1/cam1/scene1/session1"
WATCH, GYRO = (f"{sensor}/subject1/scene1/session1" for sensor in ("acc_watch_clip", "gyro_clip"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "gyro_clip").rename(f / "gyro"), "gyro_clip: no such folder"),
        (lambda f: (f / POSE / "fall.json").write_text("{"), "not a readable pose file"),
        (lambda f: (f / WATCH / "fall.csv").write_text("t,1,2\n"), "line 1: less than four columns"),
        (lambda f: (f / WATCH / "fall.csv").write_text(""), "holds 0 samples"),
        (lambda f: (f / GYRO / "fall.csv").rename(f / GYRO / "flying.csv"), "unknown action 'flying'"),
        (lambda f: (f / "gyro_clip/subject1").rename(f / "gyro_clip/subject21"), "unknown subject 21"),
    ],
)
def test_bad_mmact(tmp_path, spoil, message):
    folder = make_mmact(tmp_path, subjects=(1, 13, 17), sessions=1)
    spoil(folder)
    with pytest.raises(InputError, match=message):
        splits_of(recipe("mmact"), folder)


def test_mmact_is_trained_on(tmp_path):
    folder = make_mmact(tmp_path / "data")
    run = tmp_path / "run"
    assert main(["train", "mmact", "--data", str(folder), "--out", str(run), *SMALL, "--optim.epochs", "4"]) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert "test macro F1" in metrics
    assert "validation macro F1" in metrics
    pre = [
        *SMALL,
        "--optim.epochs",
        "1",
        "--loader.batch-size",
        "4",
        "--loss.recording.negatives",
        "concentration",
    ]
    assert main(["pretrain", "mmact", "--data", str(folder), "--out", str(tmp_path / "pre"), *pre]) == 0
