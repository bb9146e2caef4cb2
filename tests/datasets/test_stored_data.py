"""A data set in a store of shards trains, bit for bit, as its files do; what contradicts the store is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ucf_features import make as make_ucf_crime
from xd_features import make_features

from mmcl.cli.main import main
from mmcl.config import override
from mmcl.data.columns import having, labels_of
from mmcl.data.signal_ranges import signal_ranges
from mmcl.data.stored_index import StoreColumns
from mmcl.datasets import get_dataset, load_splits
from mmcl.datasets._check_splits import _check_labels
from mmcl.datasets._missing_streams import describe_missing_streams
from mmcl.readers.shards import ShardStore, ShardWriter, StoredModality

pytest.importorskip("pyarrow")

SMALL = ["--optim.epochs", "2", "--model.dim", "8", "--loader.batch-size", "4", "--trainer.tracker", "none"]


def write_manifest(folder: Path, rng: np.random.Generator, is_detection: bool) -> Path:
    """24 recordings of a sensor and of features, some of which lack one."""
    kind, rate_hz = ("features", 2) if is_detection else ("inertial", 16)  # whole actions are stretched to one length
    lines = [f"name,labels,group,split,events,wrist,wrist_hz,clip:{kind},clip_hz"]
    for i in range(24):
        has_event, n = i % 2 == 0, int(rng.integers(10, 20))
        split = ("train", "train", "validation", "test")[i // 2 % 4]
        wrist, clip = rng.standard_normal((n * 32, 6)), rng.standard_normal((n * rate_hz, 12)).astype(np.float32)
        if has_event:
            clip[4:8] += 2
        np.save(folder / f"{i}-wrist.npy", wrist.astype(np.float32))
        np.save(folder / f"{i}-clip.npy", clip)
        label = ("fall" if has_event else "") if is_detection else ("fall", "walk")[i % 2]
        events = "2-4 fall" if has_event and is_detection else ""
        clip_column = f"{i}-clip.npy,{rate_hz}" if i % 7 != 3 else ","
        lines.append(f"r{i},{label},g{i // 2 % 4},{split},{events},{i}-wrist.npy,32,{clip_column}")
    path = folder / "data.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("dataset", ["events", "recordings"])
def test_training_from_a_store_is_training_from_files(dataset, tmp_path, rng, capsys):
    manifest, store = write_manifest(tmp_path, rng, dataset == "events"), tmp_path / "store"
    assert main(["store", "convert", str(manifest), str(store), "--dataset", dataset]) == 0
    assert "24 recordings, compared" in capsys.readouterr().out
    for data, out in ((manifest, "a"), (store, "b")):
        assert main(["train", dataset, "--data", str(data), "--out", str(tmp_path / out), *SMALL]) == 0
    for name in ("history.json", "metrics.json"):
        a, b = (json.loads((tmp_path / out / name).read_text()) for out in "ab")
        if name == "metrics.json":
            a, b = ({k: v for k, v in x.items() if "seconds" not in k} for x in (a, b))
        assert a == b, name
    assert main(["evaluate", str(tmp_path / "b")]) == 0
    assert main(["report", str(tmp_path / "b")]) == 0
    assert main(["store", "info", str(store)]) == 0
    assert "train 12, validation 6, test 6" in capsys.readouterr().out


@pytest.mark.parametrize("dataset", ["events", "recordings"])
def test_what_is_asked_of_all_recordings_makes_none(dataset, tmp_path, rng, monkeypatch):
    """A store of a million is described by its columns, as its recordings one by one are."""
    manifest, store = write_manifest(tmp_path, rng, dataset == "events"), tmp_path / "store"
    assert main(["store", "convert", str(manifest), str(store), "--dataset", dataset]) == 0
    config = get_dataset(dataset).default_config(store)
    config = override(config, {"data.modalities": ("wrist", "clip")})
    stored = load_splits(get_dataset(dataset), store, config.data, config.labels, config.seed)
    in_memory = replace(stored, **{s: list(stored.of(s)) for s in ("train", "validation", "test")})
    expected = describe_missing_streams(in_memory)
    ranges = signal_ranges(in_memory.train, stored.inputs)
    monkeypatch.setattr(StoreColumns, "recording", None)
    assert expected[0][0].startswith("recordings without clip: ")
    assert describe_missing_streams(stored) == expected
    for split in ("train", "validation", "test"):
        for m in ("wrist", "clip", "nothing"):
            assert having(stored.of(split), m).tolist() == having(in_memory.of(split), m).tolist()
        n = len(stored.classes)
        np.testing.assert_array_equal(labels_of(stored.of(split), n), labels_of(in_memory.of(split), n))
        _check_labels(stored, split, store)
    monkeypatch.undo()
    assert signal_ranges(stored.train, stored.inputs) == ranges


def test_a_store_goes_back_into_files(tmp_path, rng):
    manifest, store, files = write_manifest(tmp_path, rng, True), tmp_path / "store", tmp_path / "files"
    assert main(["store", "convert", str(manifest), str(store)]) == 0
    assert main(["store", "convert", str(store), str(files)]) == 0
    dataset = get_dataset("events")
    options = dataset.default_config(manifest).data
    ours, theirs = (dataset.index(data, options) for data in (manifest, files / "manifest.csv"))
    assert ours.classes == theirs.classes
    for split in ("train", "validation", "test"):
        for a, b in zip(ours.load(split), theirs.load(split), strict=True):
            assert (a.name, a.group, a.intervals, dict(a.rate_hz)) == (b.name, b.group, b.intervals, dict(b.rate_hz))
            np.testing.assert_array_equal(a.label, b.label)
            for m in a.signal:
                np.testing.assert_array_equal(np.asarray(a.signal[m]), np.asarray(b.signal[m]))


def test_a_conversion_goes_on_and_notices_what_changed(tmp_path, rng, capsys):
    manifest, store = write_manifest(tmp_path, rng, True), tmp_path / "store"
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join(lines[:17]) + "\n")
    assert main(["store", "convert", str(manifest), str(store)]) == 0
    manifest.write_text("\n".join(lines) + "\n")
    assert main(["store", "convert", str(manifest), str(store)]) == 0
    assert len(ShardStore(store)) == 24
    np.save(tmp_path / "0-wrist.npy", np.ones((640, 6), np.float32))
    assert main(["store", "convert", str(manifest), str(store)]) == 1
    assert "holds r0 differently than its files do" in capsys.readouterr().err
    assert main(["store", "convert", str(manifest), str(tmp_path)]) == 1
    assert "holds other files" in capsys.readouterr().err


def a_store(folder: Path, rows, m: str = "wrist") -> Path:
    with ShardWriter(folder, {m: StoredModality("inertial", (6,))}) as writer:
        for i, (split, labels, group) in enumerate(rows):
            writer.add(f"r{i}", {m: np.ones((200, 6)) * i}, {m: 50.0}, split, labels, group)
    return folder


GOOD = [(s, labels, f"{s}{k}") for s in ("train", "test") for k, labels in enumerate([("fall",), ()])]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([*GOOD, ("train", ("fall",), "test0")], {}, "the group 'test0' is in two splits"),
        ([*GOOD, ("", (), "x")], {}, "r4 has no split, others have"),
        ([*GOOD, ("holdout", (), "x")], {}, "split 'holdout'"),
        (GOOD[:2], {}, "holds no recordings of the test split"),
        ([GOOD[0], *GOOD[2:]], {}, "its train split shows one class alone"),
        (GOOD, {"data.folds": 5}, "the store says the splits already"),
        ([*GOOD, ("train", ("Fall",), "y")], {}, "'Fall' and 'fall' differ in case alone"),
        (
            [(s, names or ("normal",), g) for s, names, g in GOOD] + [("train", ("normal", "fall"), "y")],
            {},
            "r4 is norm",
        ),
    ],
)
def test_stores_that_mean_nothing_are_refused(tmp_path, rows, options, message):
    dataset = get_dataset("events")
    config = override(dataset.default_config(), options)
    with pytest.raises(ValueError, match=message):
        dataset.index(a_store(tmp_path / "s", rows), config.data)


def test_a_normal_class_is_no_event_and_without_splits_folds_are_drawn(tmp_path):
    dataset = get_dataset("events")
    options = dataset.default_config().data
    named = [(s, names or ("normal",), g) for s, names, g in GOOD]
    index = dataset.index(a_store(tmp_path / "named", named), options)
    assert index.classes == ("fall",)
    assert [r.label.tolist() for r in index.load("train")] == [[1.0], [0.0]]
    rows = [("", ("fall",) if i % 2 else (), f"g{i // 2}") for i in range(20)]
    splits = load_splits(dataset, a_store(tmp_path / "unsplit", rows), options)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (12, 4, 4)


@pytest.mark.parametrize(
    ("split", "labels", "event", "message"),
    [
        ("train", (), (1.0, 2.0, "fall"), "r4 has events, and a label that says that there are none"),
        ("test", ("fall",), (1.0, 2.0, "fall"), "r2 has no events, which others of the test split have"),
        ("train", ("fall",), (1.0, 99.0, "fall"), "r4: an event from 1 to 99 s, but it lasts 4.0 s"),
    ],
)
def test_events_that_mean_nothing_are_refused(tmp_path, split, labels, event, message):
    """As those of a manifest are."""
    store = a_store(tmp_path / "s", GOOD)
    with ShardWriter(store, {"wrist": StoredModality("inertial", (6,))}) as writer:
        writer.add("r4", {"wrist": np.ones((200, 6))}, {"wrist": 50.0}, split, labels, "z", [event])
    dataset = get_dataset("events")
    with pytest.raises(ValueError, match=message):
        [r.name for r in load_splits(dataset, store, dataset.default_config().data).train]


def test_modalities_that_last_unequally_long_are_refused(tmp_path):
    specs = {m: StoredModality("inertial", (6,)) for m in ("wrist", "ankle")}
    with ShardWriter(tmp_path / "s", specs) as writer:
        for i, (split, labels, group) in enumerate(GOOD):
            signal = {"wrist": np.ones((200, 6)), "ankle": np.ones((200 if i else 400, 6))}
            writer.add(f"r{i}", signal, dict.fromkeys(signal, 50.0), split, labels, group)
    dataset = get_dataset("events")
    with pytest.raises(ValueError, match=r"recording r0: wrist 4.0 s at 50 Hz, ankle 8.0 s at 50 Hz do not match"):
        load_splits(dataset, tmp_path / "s", dataset.default_config().data).train[0]


@pytest.mark.parametrize("dataset", ["xd-violence", "ucf-crime"])
def test_a_published_data_set_in_a_store(dataset, tmp_path, capsys):
    """Training, labels, crops, held-out videos and metrics of frames are those of its folder."""
    folder, store = tmp_path / "folder", tmp_path / "store"
    if dataset == "xd-violence":
        make_features(folder, n_each=3, n_crops=5)
    else:
        make_ucf_crime(folder, "files")
    assert main(["store", "convert", str(folder), str(store), "--dataset", dataset]) == 0
    histories, metrics = [], []
    for data, out in ((folder, "a"), (store, "b")):
        words = ["train", dataset, "--data", str(data), "--out", str(tmp_path / out), *SMALL, "--optim.epochs", "1"]
        assert main([*words, "--data.validation-share", "0.3", "--seed", "1"]) == 0
        histories.append(json.loads((tmp_path / out / "history.json").read_text()))
        of_run = json.loads((tmp_path / out / "metrics.json").read_text())
        metrics.append({k: v for k, v in of_run.items() if "seconds" not in k})
    assert histories[0] == histories[1]
    assert metrics[0] == metrics[1]
    assert any("frame" in name for name in metrics[0])
    options = override(get_dataset(dataset).default_config(folder), {"data.labels": "classes", "data.crops": 1}).data
    ours, theirs = (get_dataset(dataset).index(data, options, 7) for data in (folder, store))
    assert ours.classes == theirs.classes
    for a, b in zip(ours.rows, theirs.rows, strict=True):
        assert (a.name, a.split, a.labels, a.group, a.events) == (b.name, b.split, b.labels, b.group, b.events)
    assert re.search(r"store: crops of each video: \d+ there, 1 used \(--data.crops 1\)", capsys.readouterr().out)
    words = ["train", dataset, "--data", str(store), "--out", str(tmp_path / "c"), "--data.frames-per-row", "64"]
    assert main(words) == 1
    fps = 24 if dataset == "xd-violence" else 30
    assert f"its visual has {fps / 16:.4g} rows a second, not {fps / 64:.4g}" in capsys.readouterr().err


def test_another_store_is_no_published_data_set(tmp_path, rng, capsys):
    manifest, store = write_manifest(tmp_path, rng, True), tmp_path / "store"
    assert main(["store", "convert", str(manifest), str(store)]) == 0
    capsys.readouterr()
    words = ["train", "xd-violence", "--data", str(store), "--out", str(tmp_path / "a"), "--data.frames-per-row", "12"]
    assert main(words) == 1
    assert "rows a second, not 2" in capsys.readouterr().err


def test_the_class_without_events_is_named(tmp_path, rng, capsys):
    lines = ["name,labels,group,split,wrist,wrist_hz"]
    for i in range(12):
        np.save(tmp_path / f"{i}.npy", rng.standard_normal((64, 3)))
        split = ("train", "validation", "test")[i // 2 % 3]
        lines.append(f"r{i},{('calm', 'wild')[i % 2]},g{i // 2 % 3},{split},{i}.npy,32")
    (tmp_path / "own.csv").write_text("\n".join(lines) + "\n")
    words = ["store", "convert", str(tmp_path / "own.csv"), str(tmp_path / "store")]
    assert main(words) == 1
    assert "name it by --data.normal CLASS" in capsys.readouterr().err
    assert main([*words, "--data.normal", "calm"]) == 0
    assert ShardStore(tmp_path / "store").column("labels").to_pylist().count("wild") == 6
    assert main([*words[:3], str(tmp_path / "other"), "--dataset", "recordings", "--data.normal", "calm"]) == 1
    assert "--data.normal: is no option of recordings" in capsys.readouterr().err
