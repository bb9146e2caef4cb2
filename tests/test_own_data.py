"""A user's own sensors by a manifest, and MMAct in its published layout: read, refused, trained on, scored."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import scipy.io

from mmcl.cli import main
from mmcl.config import BagsConfig
from mmcl.data.clock import body_frame
from mmcl.data.manifest import read_manifest, read_rows
from mmcl.data.mmact import CLASSES, find_clips, part_of, read_clip
from mmcl.data.signals import read_any_signal
from mmcl.errors import FileError, InputError
from mmcl.presets import changed, mmact
from mmcl.tasks import TASKS


def write_manifest(path: Path, header: list[str], rows: list[list]) -> Path:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def test_every_kind_of_file_gives_the_same_signal(tmp_path, rng):
    x = rng.standard_normal((50, 3)).astype(np.float32)
    time = np.arange(50) / 20
    np.save(tmp_path / "a.npy", x)
    scipy.io.savemat(tmp_path / "a.mat", {"signal": x})
    table = {"time_s": time} | {f"c{i}": x[:, i] for i in range(3)}
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "a.parquet")
    with open(tmp_path / "a.csv", "w", newline="") as file:
        csv.writer(file).writerows([["time_s", "x", "y", "z"], *np.column_stack([time, x]).tolist()])
    for name, rate in (("a.npy", 20.0), ("a.mat", 20.0), ("a.parquet", None), ("a.csv", None)):
        got, hz = read_any_signal(tmp_path / name, rate, "--hz")
        np.testing.assert_allclose(got, x, atol=1e-5)
        assert hz == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("name", "content", "rate", "message"),
    [
        ("a.txt", "1 2", 20.0, "of no kind that is read here"),
        ("a.npy", "nonsense", 20.0, "not a readable .npy file"),
        ("a.mat", "nonsense", 20.0, "not a readable .mat file"),
        ("a.parquet", "nonsense", 20.0, "not a readable table of numbers"),
        ("a.npy", np.zeros((5, 2)), None, "does not tell its rate"),
        ("a.npy", np.full((5, 2), np.nan), 20.0, "NaN or infinity at frame 0"),
        ("a.npy", np.zeros(5), 20.0, r"holds shape \(5,\)"),
        ("missing.npy", None, 20.0, "no such file"),
    ],
)
def test_bad_signals(tmp_path, name, content, rate, message):
    path = tmp_path / name
    if isinstance(content, str):
        path.write_text(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(FileError, match=message):
        read_any_signal(path, rate, "--hz")


def test_a_mat_file_with_two_arrays_is_refused(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"x": np.zeros((5, 2)), "y": np.zeros((5, 2))})
    with pytest.raises(FileError, match="holds the arrays x, y"):
        read_any_signal(tmp_path / "a.mat", 20.0, "--hz")


@pytest.fixture(scope="module")
def sensors(tmp_path_factory) -> Path:
    """Two made-up sensors: a wrist of 3 channels and a pose of 5 joints in the picture; what is done decides both."""
    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    rows = []
    for person in range(4):
        for action, hz in (("wave", 3.0), ("shake", 7.0), ("rest", 0.5)):
            for trial in range(3):
                name = f"{action}-{person}-{trial}"
                t = np.arange(100) / 40
                wrist = np.stack([np.sin(2 * np.pi * hz * t + k) for k in range(3)], 1)
                np.save(folder / f"{name}.npy", wrist + 0.1 * rng.standard_normal(wrist.shape))
                t = np.arange(60) / 24
                pose = np.zeros((60, 5, 2)) + np.arange(5)[:, None]
                pose[:, 2, 1] += np.sin(2 * np.pi * hz * t)
                np.save(folder / f"{name}-pose.npy", pose + 0.02 * rng.standard_normal(pose.shape))
                part = ["train", "train", "validation", "test"][person]
                rows.append([name, action, f"p{person}", part, f"{name}.npy", 40, f"{name}-pose.npy", 24])
    header = ["name", "label", "group", "part", "wrist", "wrist_hz", "pose:skeleton2d", "pose_hz"]
    return write_manifest(folder / "own.csv", header, rows)


def test_a_manifest_is_read(sensors):
    manifest = read_manifest(sensors)
    assert manifest.kinds == {"wrist": "inertial", "pose": "skeleton"}
    assert manifest.classes == ("rest", "shake", "wave")
    (recording,) = read_rows(manifest, manifest.rows[:1], manifest.classes)
    assert recording.signal["wrist"].shape == (100, 3)
    assert recording.signal["pose"].shape == (60, 5, 2)
    assert recording.label.tolist() == [0, 0, 1]
    assert (recording.group, recording.rate_hz["pose"]) == ("p0", 24.0)


def test_any_skeleton_is_centred_and_scaled(rng):
    for n_joints, n_coordinates in ((5, 2), (17, 2), (20, 3), (9, 3)):
        x = rng.standard_normal((30, n_joints, n_coordinates))
        moved = body_frame(3.0 * x + 7.0)
        np.testing.assert_allclose(moved, body_frame(x), atol=1e-9)
    with pytest.raises(InputError, match="all joints coincide"):
        body_frame(np.zeros((30, 5, 2)))


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        (["name", "group"], ["a", "b"], "has the columns name, group"),
        (["label", "wrist", "wrist"], ["a", "x.npy", "x.npy"], "names column 'wrist' twice"),
        (["label", "wrist:gyro"], ["a", "x.npy"], "unknown kind"),
        (["label", "wrist", "chest_hz"], ["a", "x.npy", "2"], "'chest_hz' belongs to no sensor"),
        (["label", "wrist", "wrist_hz"], ["a", "x.npy", "fast"], "line 2: wrist_hz is 'fast'"),
        (["label", "wrist", "part"], ["a", "x.npy", "dev"], "line 2: part is 'dev'"),
        (["label", "wrist"], ["a", ""], "line 2: no file of wrist"),
        (["label", "joint"], ["a", "x.npy"], "column 'joint': not a name for a sensor"),
        (["label", "imu.wrist"], ["a", "x.npy"], "column 'imu.wrist': not a name"),
        (["label", "wrist", "events"], ["a", "x.npy", "3-1"], "line 2: events holds '3-1'"),
        (["label", "wrist"], ["a"], "line 2: has 1 columns"),
    ],
)
def test_bad_manifests(tmp_path, header, row, message):
    with pytest.raises(FileError, match=message):
        read_manifest(write_manifest(tmp_path / "m.csv", header, [row]))


def test_parts_by_groups_and_their_mistakes(sensors, tmp_path):
    rows = list(csv.reader(sensors.read_text().splitlines()))
    keep = [i for i, name in enumerate(rows[0]) if name != "part"]
    cut = [[row[i] for i in keep] for row in rows]
    plain = write_manifest(sensors.parent / "plain.csv", cut[0], cut[1:])
    config = changed(
        mmact(), bags={"modalities": ("wrist",), "test_groups": ("p3",), "validation_groups": ("p2",)}
    )
    task = TASKS["recordings"](plain, config)
    assert (len(task.train), len(task.validation), len(task.test)) == (18, 9, 9)
    assert task.n_channels == {"wrist": 3}
    for bags, message in (
        ({"test_groups": ()}, "does not say what to test on"),
        ({"test_groups": ("p9",)}, "no recording of .* is of this group"),
    ):
        with pytest.raises(InputError, match=message):
            TASKS["recordings"](plain, changed(config, bags=bags))
    with pytest.raises(InputError, match="has a column part"):
        TASKS["recordings"](sensors, config)


SMALL = ["--model.dim", "16", "--optim.tracker", "none"]


def test_own_recordings_from_manifest_to_scores(sensors, tmp_path, capsys):
    data = ["--data", str(sensors)]
    run = tmp_path / "run"
    assert main(["train", "recordings", *data, "--out", str(run), *SMALL, "--optim.epochs", "8"]) == 0
    assert json.loads((run / "metrics.json").read_text())["test accuracy"] > 0.8
    bags = json.loads((run / "config.json").read_text())["config"]["bags"]
    assert (bags["modalities"], bags["kinds"]) == (["wrist", "pose"], ["inertial", "skeleton"])
    unlabelled = write_manifest(
        sensors.parent / "new.csv",
        ["name", "pose:skeleton2d", "pose_hz", "wrist", "wrist_hz"],
        [["mine", "wave-3-0-pose.npy", 24, "wave-3-0.npy", 40]],
    )
    assert main(["score", str(run), str(unlabelled), "--out", str(tmp_path / "scores")]) == 0
    said = json.loads((tmp_path / "scores" / "mine.json").read_text())
    assert max(said["recording"], key=said["recording"].get) == "wave"
    assert main(["score", str(run), str(tmp_path)]) == 1
    assert "give one, a CSV file that names the recordings" in capsys.readouterr().err
    assert main(["report", str(run)]) == 0


def test_pretraining_and_distilling_own_recordings(sensors, tmp_path):
    data = ["--data", str(sensors)]
    pre, few, one = tmp_path / "pre", tmp_path / "few", tmp_path / "one"
    options = [*SMALL, "--optim.epochs", "4", "--optim.batch-size", "9"]
    assert main(["pretrain", "recordings", *data, "--out", str(pre), *options]) == 0
    tune = ["--labels", "1", "--draws", "1", "--epochs", "4"]
    assert main(["finetune", str(pre), "--out", str(few), *tune, "--unlabelled", "probe"]) == 0
    teacher = few / "1-a-class" / "draw-0"
    assert main(["distill", str(teacher), "--out", str(one), "--modalities", "wrist", "--epochs", "4"]) == 0
    student = json.loads((one / "draw-0" / "config.json").read_text())
    assert student["config"]["bags"]["modalities"] == ["wrist"]
    assert student["start from"] == str(pre)
    table = json.loads((one / "table.json").read_text())
    assert table.keys() == {"1 a class, wrist, distilled"}


def test_events_in_long_recordings(tmp_path, rng):
    """A burst somewhere, or none; the truth of the test part is known and judged by."""
    rows = []
    for i in range(24):
        x = 0.3 * rng.standard_normal((600, 3))
        start = int(rng.integers(100, 400))
        if i % 2:
            x[start : start + 100] += 3 * np.sin(np.arange(100) / 2)[:, None]
        np.save(tmp_path / f"{i}.npy", x)
        part = "train" if i < 16 else "test"
        events = f"{start / 30}-{(start + 100) / 30}" if i % 2 else ""
        rows.append([f"r{i}", "burst" if i % 2 else "", part, f"{i}.npy", 30, events])
    manifest = write_manifest(
        tmp_path / "m.csv", ["name", "label", "part", "wrist", "wrist_hz", "events"], rows
    )
    out = tmp_path / "run"
    options = [*SMALL, "--optim.epochs", "10", "--bags.augment", "0", "--bags.insertion", "0"]
    assert main(["train", "events", "--data", str(manifest), "--out", str(out), *options]) == 0
    figures = json.loads((out / "metrics.json").read_text())
    assert figures["test snippet average precision"] > 2 * figures["test share of event snippets"]
    assert figures["test bag ROC-AUC"] > 0.9


@pytest.mark.parametrize("task", ["recordings", "events"])
def test_features_beside_a_sensor(tmp_path, rng, task):
    """Rows of features a hop, windows of several hops; class numbers as labels, 0 among them."""
    rows = []
    for i in range(16):
        np.save(tmp_path / f"{i}.npy", rng.standard_normal((120, 3)))
        np.save(tmp_path / f"{i}-clip.npy", rng.standard_normal((8, 5)))
        rows.append([i % 2, "train" if i < 10 else "test", f"{i}.npy", 30, f"{i}-clip.npy", 2])
    header = ["label", "part", "wrist", "wrist_hz", "clip:features", "clip_hz"]
    manifest = write_manifest(tmp_path / "m.csv", header, rows)
    out = tmp_path / "run"
    options = [
        "--data",
        str(manifest),
        "--out",
        str(out),
        *SMALL,
        "--optim.epochs",
        "1",
        "--optim.batch-size",
        "4",
    ]
    assert main(["train", task, *options]) == 0
    assert main(["score", str(out), str(manifest), "--out", str(tmp_path / "scores")]) == 0
    said = json.loads((tmp_path / "scores" / "recording-1.json").read_text())
    assert said["classes"] == (["0", "1"] if task == "recordings" else ["1"])


def test_events_that_nobody_noted_are_not_judged():
    from mmcl.tasks.task import judge_streams
    from mmcl.types import Clock, Interval, Recording, Timeline

    clock = Clock(0.5, 0.5, {"a": 1})
    made = lambda label, *intervals: Recording("r", {}, {}, np.array([label]), "", tuple(intervals))
    line = lambda *score: Timeline(
        "r",
        np.arange(4) / 2,
        np.arange(1, 5) / 2,
        np.array(score)[:, None],
        {},
        np.array([max(score)]),
        {},
        ("x",),
    )
    known = [made(1.0, Interval(0, 0.5, "x")), made(0.0)]
    scores = [line(0.9, 0.1, 0.1, 0.1), line(0.2, 0.1, 0.1, 0.1)]
    assert judge_streams(known, scores, clock)["snippet average precision"] == 1.0
    more = judge_streams([*known, made(1.0)], [*scores, line(0.99, 0.99, 0.9, 0.9)], clock)
    assert more["snippet average precision"] == 1.0
    assert more["bag average precision"] == 1.0


# MMAct


def make_mmact(
    folder: Path, subjects=(1, 13, 17), actions=("carrying", "fall", "Walking"), sessions=2
) -> Path:
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
                        "".join(
                            f"2018-10-01 10:00:{i / hz:.3f},{a},{b},{c}\n" for i, (a, b, c) in enumerate(x)
                        )
                    )
                for camera in (1, 2):
                    place = f"subject{s}/cam{camera}/scene1/session{session}"
                    path = folder / "pose" / "cross_view" / "trainval" / place / f"{action}.json"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    frame = lambda i, camera=camera: {
                        "person1": (rng.standard_normal(51) + 10 * camera + i / 50).tolist(),
                        "person2": [],
                    }
                    path.write_text(
                        json.dumps({str(i): frame(i) if i != 3 else {"person1": []} for i in range(90)})
                    )
    return folder


def test_mmact_is_read_as_published(tmp_path):
    folder = make_mmact(tmp_path)
    (folder / "gyro_clip/subject1/scene1/session1/fall.csv").unlink()
    clips, lacking = find_clips(folder)
    assert len(clips) == 17
    assert lacking == ["subject1/scene1/session1/fall: no gyro_clip"]
    recording = read_clip(clips[0])
    assert recording.signal["inertial"].shape == (150, 12)
    assert recording.signal["skeleton"].shape == (90, 17, 2)
    assert recording.duration_s == pytest.approx(3.0)
    assert CLASSES[int(recording.label.argmax())] == "carrying"
    pose = json.loads(clips[0].pose.read_text())
    want = np.reshape(pose["0"]["person1"], (17, 3))[:, :2]
    np.testing.assert_allclose(recording.signal["skeleton"][0], want, rtol=1e-5)
    between = (recording.signal["skeleton"][2] + recording.signal["skeleton"][4]) / 2
    np.testing.assert_allclose(recording.signal["skeleton"][3], between, rtol=1e-4)  # nobody was found there
    raw = (folder / "acc_phone_clip" / "subject1/scene1/session1/carrying.csv").read_text().splitlines()
    rows = np.array([[float(v) for v in line.split(",")[1:]] for line in raw])
    np.testing.assert_allclose(recording.signal["inertial"][:, :3], (rows[::2] + rows[1::2]) / 2, atol=1e-4)


def test_mmact_protocols():
    assert len(CLASSES) == len(set(CLASSES)) == 36
    parts = {s: part_of(s, 1, "cross-subject") for s in range(1, 21)}
    assert [s for s, p in parts.items() if p == "train"] == list(range(1, 13))
    assert [s for s, p in parts.items() if p == "validation"] == [13, 14, 15]
    assert [s for s, p in parts.items() if p == "test"] == [17, 18, 19, 20]
    assert part_of(1, 2, "cross-scene") == part_of(20, 2, "cross-scene") == "test"
    assert (part_of(1, 3, "cross-scene"), part_of(14, 4, "cross-scene")) == ("train", "validation")
    assert part_of(17, 3, "cross-scene") == ""
    assert BagsConfig().protocol == "cross-subject"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "gyro_clip").rename(f / "gyro"), "gyro_clip: no such folder"),
        (lambda f: (f / "pose/cross_view/trainval/subject1/cam1/scene1/session1/fall.json").write_text("{"), "not a readable pose file"),
        (lambda f: (f / "acc_watch_clip/subject1/scene1/session1/fall.csv").write_text("t,1,2\n"), "line 1: less than four columns"),
        (lambda f: (f / "acc_watch_clip/subject1/scene1/session1/fall.csv").write_text(""), "holds 0 samples"),
        (lambda f: (f / "gyro_clip/subject1/scene1/session1/fall.csv").rename(f / "gyro_clip/subject1/scene1/session1/flying.csv"), "unknown action 'flying'"),
        (lambda f: (f / "gyro_clip/subject1").rename(f / "gyro_clip/subject21"), "unknown subject 21"),
    ],
)  # fmt: skip
def test_bad_mmact(tmp_path, spoil, message):
    folder = make_mmact(tmp_path, subjects=(1, 13, 17), sessions=1)
    spoil(folder)
    with pytest.raises(InputError, match=message):
        TASKS["mmact"](folder, mmact())


def test_mmact_is_trained_on(tmp_path):
    folder = make_mmact(tmp_path / "data")
    run = tmp_path / "run"
    assert (
        main(["train", "mmact", "--data", str(folder), "--out", str(run), *SMALL, "--optim.epochs", "4"]) == 0
    )
    figures = json.loads((run / "metrics.json").read_text())
    assert "test macro F1" in figures
    assert "validation macro F1" in figures
    pre = [*SMALL, "--optim.epochs", "1", "--optim.batch-size", "4", "--objective.negatives", "concentration"]
    assert main(["pretrain", "mmact", "--data", str(folder), "--out", str(tmp_path / "pre"), *pre]) == 0
