"""A user's own sensors by a manifest: read, refused, trained on, scored."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from support import recipe, splits_of

from mmcl.cli.main import main
from mmcl.config import override
from mmcl.datasets import get_dataset
from mmcl.datasets.sources.manifest import read_manifest
from mmcl.errors import FileError, InputError


def write_manifest(path: Path, header: list[str], rows: list[list]) -> Path:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


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
                split = ["train", "train", "validation", "test"][person]
                rows.append([name, action, f"p{person}", split, f"{name}.npy", 40, f"{name}-pose.npy", 24])
    header = ["name", "label", "group", "split", "wrist", "wrist_hz", "pose:skeleton2d", "pose_hz"]
    return write_manifest(folder / "own.csv", header, rows)


def test_a_manifest_is_read(sensors):
    manifest = read_manifest(sensors)
    assert manifest.kinds == {"wrist": "inertial", "pose": "skeleton2d"}
    assert manifest.classes == ("rest", "shake", "wave")
    recording = manifest.rows[0].load(tuple(manifest.kinds), manifest.classes)
    assert recording.signal["wrist"].shape == (100, 3)
    assert recording.signal["pose"].shape == (60, 5, 2)
    assert recording.label.tolist() == [0, 0, 1]
    assert (recording.group, recording.rate_hz["pose"]) == ("p0", 24.0)


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        (["name", "group"], ["a", "b"], "has the columns name, group"),
        (["label", "wrist", "wrist"], ["a", "x.npy", "x.npy"], "names column 'wrist' twice"),
        (["label", "wrist:gyro"], ["a", "x.npy"], "unknown kind"),
        (["label", "wrist", "chest_hz"], ["a", "x.npy", "2"], "'chest_hz' belongs to no sensor"),
        (["label", "wrist", "wrist_hz"], ["a", "x.npy", "fast"], "line 2: wrist_hz is 'fast'"),
        (["label", "wrist", "split"], ["a", "x.npy", "dev"], "line 2: split is 'dev'"),
        (["label", "wrist", "part"], ["a", "x.npy", "test"], "has a column part; it is called split now"),
        (["label", "wrist"], ["a", ""], "line 2: names no file"),
        (["label", "joint"], ["a", "x.npy"], "column 'joint': not a name for a sensor"),
        (["label", "imu.wrist"], ["a", "x.npy"], "column 'imu.wrist': not a name"),
        (["label", "wrist", "events"], ["a", "x.npy", "3-1"], "line 2: events holds '3-1'"),
        (["label", "wrist"], ["a"], "line 2: has 1 columns"),
        (["label", "wrist"], ["nan", "x.npy"], "line 2: the label 'nan' is how a missing value is written"),
        (["label", "wrist"], ["a;<NA>", "x.npy"], "line 2: the label '<NA>' is how"),
        (["name", "label", "wrist"], ["../up", "a", "x.npy"], r"line 2: name '../up': results are named after it"),
        (["name", "label", "wrist"], ["/abs", "a", "x.npy"], "line 2: name '/abs'"),
        (["name", "label", "wrist"], ["a\x1b[31m", "a", "x.npy"], "line 2: name"),
        (["name", "label", "wrist"], ["x" * 300, "a", "x.npy"], "is longer than 200 bytes"),
    ],
)
def test_bad_manifests(tmp_path, header, row, message):
    with pytest.raises(FileError, match=message):
        read_manifest(write_manifest(tmp_path / "m.csv", header, [row]))


def test_classes_of_numbers_beside_missing_values(sensors, tmp_path):
    """pandas writes whole numbers with a point where others are missing; 0.0 is no class of its own then."""
    rows = list(csv.reader(sensors.read_text().splitlines()))
    at = rows[0].index("label") if "label" in rows[0] else rows[0].index("labels")
    for n, row in enumerate(rows[1:]):
        row[at] = ("0.0", "1.0")[n % 2]
    index = read_manifest(write_manifest(sensors.parent / "numbers.csv", rows[0], rows[1:]))
    assert index.classes == ("0", "1")
    timed = write_manifest(sensors.parent / "timed.csv", ["label", "wrist", "events"], [["1.0", rows[1][4], "1-2 1.0"]])
    assert read_manifest(timed).rows[0].events[0].name == "1"
    rows[2][at] = ""
    path = write_manifest(sensors.parent / "numbers-and-blank.csv", rows[0], rows[1:])
    with pytest.raises(FileError, match=r"has no label, and others are labelled 0"):
        splits_of(override(recipe("events"), {"data.modalities": ("wrist",)}), path)


def test_splits_by_groups_and_their_mistakes(sensors, tmp_path):
    rows = list(csv.reader(sensors.read_text().splitlines()))
    keep = [i for i, name in enumerate(rows[0]) if name != "split"]
    cut = [[row[i] for i in keep] for row in rows]
    plain = write_manifest(sensors.parent / "plain.csv", cut[0], cut[1:])
    config = override(
        recipe("recordings"),
        {"data.modalities": ("wrist",), "data.test_groups": ("p3",), "data.validation_groups": ("p2",)},
    )
    splits = splits_of(config, plain)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (18, 9, 9)
    assert splits.inputs["wrist"].shape == (3,)
    for groups, message in ((("p9",), "no recording of .* is of this group"),):
        with pytest.raises(InputError, match=message):
            splits_of(override(config, {"data.test_groups": groups}), plain)
    with pytest.raises(InputError, match="has a column split"):
        splits_of(config, sensors)


SMALL = ["--model.dim", "16", "--trainer.tracker", "none"]


def test_own_recordings_from_manifest_to_scores(sensors, tmp_path, capsys):
    data = ["--data", str(sensors)]
    run = tmp_path / "run"
    assert main(["train", "recordings", *data, "--out", str(run), *SMALL, "--optim.epochs", "8"]) == 0
    assert json.loads((run / "metrics.json").read_text())["test accuracy"] > 0.8
    inputs = json.loads((run / "config.json").read_text())["inputs"]
    assert {m: spec["kind"] for m, spec in inputs.items()} == {"wrist": "inertial", "pose": "skeleton2d"}
    unlabelled = write_manifest(
        sensors.parent / "new.csv",
        ["name", "pose:skeleton2d", "pose_hz", "wrist", "wrist_hz"],
        [["mine", "wave-3-0-pose.npy", 24, "wave-3-0.npy", 40]],
    )
    assert main(["score", str(run), str(unlabelled), "--out", str(tmp_path / "scores")]) == 0
    content = json.loads((tmp_path / "scores" / "mine.json").read_text())
    assert max(content["recording"], key=content["recording"].get) == "wave"
    assert main(["score", str(run), str(tmp_path)]) == 1
    assert "give one, a CSV file that names the recordings" in capsys.readouterr().err
    assert main(["report", str(run)]) == 0


def test_pretraining_and_distilling_own_recordings(sensors, tmp_path):
    data = ["--data", str(sensors)]
    pre, few, one = tmp_path / "pre", tmp_path / "few", tmp_path / "one"
    options = [*SMALL, "--optim.epochs", "4", "--loader.batch-size", "9"]
    assert main(["pretrain", "recordings", *data, "--out", str(pre), *options]) == 0
    tune = ["--labels", "1", "--label-seeds", "1", "--epochs", "4"]
    assert main(["finetune", str(pre), "--out", str(few), *tune, "--unlabelled", "probe"]) == 0
    teacher = few / "1-a-class" / "seed-0"
    assert main(["distill", str(teacher), "--out", str(one), "--modalities", "wrist", "--epochs", "4"]) == 0
    student = json.loads((one / "seed-0" / "config.json").read_text())
    assert student["config"]["data"]["modalities"] == ["wrist"]
    assert student["start_from"] == str(pre)
    table = json.loads((one / "table.json").read_text())
    assert table.keys() == {"1 a class, wrist, distilled"}


def test_events_in_long_recordings(tmp_path, rng):
    """A burst somewhere, or none; the truth of the test split is known and evaluated on."""
    rows = []
    for i in range(24):
        x = 0.3 * rng.standard_normal((600, 3))
        start = int(rng.integers(100, 400))
        if i % 2:
            x[start : start + 100] += 3 * np.sin(np.arange(100) / 2)[:, None]
        np.save(tmp_path / f"{i}.npy", x)
        split = "train" if i < 16 else "test"
        events = f"{start / 30}-{(start + 100) / 30}" if i % 2 else ""
        rows.append([f"r{i}", "burst" if i % 2 else "", split, f"{i}.npy", 30, events])
    manifest = write_manifest(tmp_path / "m.csv", ["name", "label", "split", "wrist", "wrist_hz", "events"], rows)
    out = tmp_path / "run"
    options = [*SMALL, "--optim.epochs", "10", "--augment.strength", "0", "--augment.insertion", "0"]
    assert main(["train", "events", "--data", str(manifest), "--out", str(out), *options]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["test snippet average precision"] > 2 * metrics["test share of event snippets"]
    assert metrics["test bag ROC-AUC"] > 0.9


@pytest.mark.parametrize("name", ["recordings", "events"])
def test_features_beside_a_sensor(tmp_path, rng, name):
    """Rows of features a hop, windows of several hops; class numbers as labels, 0 among them."""
    rows = []
    for i in range(16):
        np.save(tmp_path / f"{i}.npy", rng.standard_normal((120, 3)))
        np.save(tmp_path / f"{i}-clip.npy", rng.standard_normal((8, 5)))
        rows.append([i % 2, "train" if i < 10 else "test", f"{i}.npy", 30, f"{i}-clip.npy", 2])
    header = ["label", "split", "wrist", "wrist_hz", "clip:features", "clip_hz"]
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
        "--loader.batch-size",
        "4",
    ]
    assert main(["train", name, *options]) == 0
    assert main(["score", str(out), str(manifest), "--out", str(tmp_path / "scores")]) == 0
    content = json.loads((tmp_path / "scores" / "recording-1.json").read_text())
    assert content["classes"] == (["0", "1"] if name == "recordings" else ["1"])


def test_a_sensor_file_in_two_splits_and_events_that_contradict(tmp_path, rng):
    for i in range(8):
        np.save(tmp_path / f"{i}.npy", rng.standard_normal((400, 3)))
    header = ["name", "labels", "split", "wrist", "wrist_hz", "events"]
    rows = [[f"r{i}", "fall" if i % 2 else "", "train" if i < 4 else "test", f"{i}.npy", 40, ""] for i in range(8)]

    def load(changes, name="events"):
        changed = [list(row) for row in rows]
        for i, column, value in changes:
            changed[i][header.index(column)] = value
        path = write_manifest(tmp_path / "own.csv", header, changed)
        index = get_dataset(name).index(path, get_dataset(name).default_config(path).data)
        for split in ("train", "test"):
            index.load(split, ("wrist",))

    load([])
    load([(5, "events", "1-2"), (7, "events", "1-2")])
    with pytest.raises(FileError, match=r"0\.npy, of r0 and r6, is in the train and in the test split"):
        load([(6, "wrist", "./0.npy")])
    (tmp_path / "copy.npy").write_bytes((tmp_path / "1.npy").read_bytes())
    with pytest.raises(FileError, match="the content of r1 and r7, which are equal, is in the train"):
        load([(7, "wrist", "copy.npy")])
    for changes, message in (
        ([(5, "events", "1-2")], "line 9: has no events, which others of the test split have"),
        ([(4, "events", "1-2")], "line 6: has events, and a label that says that there are none"),
        ([(5, "events", "900-1000"), (7, "events", "1-2")], "an event from 900 to 1000 s, but it lasts 10.0 s"),
        ([(5, "events", "1-inf"), (7, "events", "1-2")], "events holds '1-inf'"),
    ):
        with pytest.raises(InputError, match=message):
            load(changes)


def test_line_breaks_in_cells_make_no_second_line(tmp_path):
    (tmp_path / "m.csv").write_text('labels,wrist,events\nfight,a.npy,"1-2;x\ny"\n')
    with pytest.raises(FileError, match=r"events holds 'x\\ny'") as caught:
        read_manifest(tmp_path / "m.csv")
    assert "\n" not in str(caught.value)


def test_names_longer_than_a_file_system_has(tmp_path, capsys):
    (tmp_path / "m.csv").write_text(f"labels,wrist\nfight,{'x' * 4000}.npy\n,b.npy\n")
    assert main(["train", "events", "--data", str(tmp_path / "m.csv"), "--out", str(tmp_path / "run")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "unexpected" not in error
