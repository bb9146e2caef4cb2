"""A store of shards: what is read is what was written, wherever it lies; torn, missing and doubled parts are named."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mmcl.errors import FileError, InputError
from mmcl.readers.shards import ShardStore, ShardWriter, StoredModality, is_store
from mmcl.readers.shards import files as files_module

pytest.importorskip("pyarrow")
fsspec = pytest.importorskip("fsspec")

SPECS = {"clip": StoredModality("features", (40,), "float16"), "wrist": StoredModality("inertial", (2, 3))}


def recordings(rng: np.random.Generator, n: int) -> dict[str, dict[str, np.ndarray]]:
    by_name = {}
    for i in range(n):
        by_name[f"r{i}"] = {
            "clip": rng.standard_normal((int(rng.integers(1, 700)), 40)).astype(np.float16),
            "wrist": rng.standard_normal((int(rng.integers(1, 300)), 2, 3)).astype(np.float32),
        }
        if i % 5 == 1:
            del by_name[f"r{i}"][("clip", "wrist")[i % 2]]
    return by_name


def write(folder: Path, by_name, **options) -> None:
    with ShardWriter(folder, SPECS, **options) as writer:
        for name, x in by_name.items():
            writer.add(name, x, dict.fromkeys(x, 1.5), "train", ("a",), "g", [(0.5, 1.25, "a")], {"bytes": 3})


@pytest.fixture
def by_name(rng):
    return recordings(rng, 60)


@pytest.fixture
def folder(by_name, tmp_path):
    write(tmp_path / "store", by_name, part_mb=0.2)
    assert len(list((tmp_path / "store").glob("*.index.arrow"))) > 3
    return tmp_path / "store"


def assert_holds(store: ShardStore, by_name, rng) -> None:
    assert len(store) == len(by_name)
    for i in range(len(store)):
        name = store.text("name", i)
        for m in SPECS:
            x, expected = store.array(i, m), by_name[name].get(m)
            if expected is None:
                assert x is None
                continue
            np.testing.assert_array_equal(np.asarray(x), expected)
            assert (x.shape, x.dtype) == (expected.shape, expected.dtype)
            rising = np.sort(rng.integers(0, len(expected), 9))
            for idx in (rising, rising[::-1].copy(), slice(3, 290), slice(None, None, 7), slice(None, None, -1), -1, 0):
                np.testing.assert_array_equal(x[idx], expected[idx])
            np.testing.assert_array_equal(np.asarray(x.first(1)), expected[:1])


def test_rows_are_those_that_were_written(folder, by_name, rng):
    assert is_store(folder)
    store = ShardStore(folder)
    assert_holds(store, by_name, rng)
    assert_holds(pickle.loads(pickle.dumps(store)), by_name, rng)
    assert (store.text("labels", 0), store.text("group", 0), store.text("split", 0)) == ("a", "g", "train")
    x = store.array(0, "clip")[:]
    x[:] = 0  # a copy, nothing is changed on the disk
    assert np.asarray(store.array(0, "clip")).any()


def test_an_object_store(folder, by_name, rng, monkeypatch):
    monkeypatch.setattr(files_module, "PAUSE_S", 0.01)
    system = fsspec.filesystem("memory")
    for path in folder.iterdir():
        system.pipe_file(f"/bucket/store/{path.name}", path.read_bytes())
    store = ShardStore(Path("memory://bucket/store"))
    assert_holds(store, by_name, rng)
    failures = iter([TimeoutError("slow")] * 2)
    cat = type(system).cat_file

    def flaky(self, *args, **kwargs):
        for error in failures:
            raise error
        return cat(self, *args, **kwargs)

    monkeypatch.setattr(type(system), "cat_file", flaky)
    assert len(ShardStore("memory://bucket/store")) == len(by_name)  # asked again
    torn = next(f for f in folder.iterdir() if f.name.endswith(".clip.arrow"))
    system.pipe_file(f"/bucket/store/{torn.name}", bytes(torn.stat().st_size))
    broken = ShardStore("memory://bucket/store")
    with pytest.raises(FileError, match=f"{torn.name}: is torn"):
        [np.asarray(broken.array(i, "clip")) for i in range(len(broken))]
    failures = iter([TimeoutError("slow")] * 99)
    with pytest.raises(FileError, match=r"memory://bucket/store/store.json: the object store does not answer"):
        ShardStore("memory://bucket/store")


def test_many_writers_add_to_one_store(by_name, tmp_path, rng):
    for k in range(3):
        write(tmp_path / "store", dict(list(by_name.items())[k::3]))
    assert_holds(ShardStore(tmp_path / "store"), by_name, rng)


def test_the_same_recording_of_two_writers(folder, by_name):
    write(folder, {"r7": by_name["r7"]})
    assert len(ShardStore(folder)) == len(by_name)
    write(folder, {"r7": {m: x + 1 for m, x in by_name["r7"].items()}})
    with pytest.raises(FileError, match="hold different recordings named r7"):
        ShardStore(folder)


def test_torn_and_missing_parts_are_named(folder):
    file = sorted(folder.glob("*.clip.arrow"))[1]
    content = file.read_bytes()
    file.write_bytes(content[:-100])
    with pytest.raises(FileError, match=rf"{file.name}: has {len(content) - 100} bytes, expected {len(content)}"):
        ShardStore(folder)
    file.unlink()
    with pytest.raises(FileError, match=f"{file.name}: is missing"):
        ShardStore(folder)
    file.write_bytes(bytes(len(content)))
    store = ShardStore(folder)
    with pytest.raises(FileError, match=f"{file.name}: is torn"):
        [np.asarray(store.array(i, "clip")) for i in range(len(store))]
    file.write_bytes(content)
    index = sorted(folder.glob("*.index.arrow"))[0]
    index.write_bytes(index.read_bytes()[:200])
    with pytest.raises(FileError, match="is torn or no Arrow file"):
        ShardStore(folder)


@pytest.mark.parametrize("text", ["", "[]", '{"shards": {"version": 1, "modalities": {"../x": {}}}}', '{"shards": 1}'])
def test_broken_cards(folder, text):
    (folder / "store.json").write_text(text)
    with pytest.raises(FileError, match="describes no store of shards"):
        ShardStore(folder)


def test_what_does_not_fit_is_refused(folder, by_name):
    with ShardWriter(folder, SPECS) as writer:
        with pytest.raises(InputError, match=r"x: wrist \(5, 3\); the store holds"):
            writer.add("x", {"wrist": np.zeros((5, 3))}, {"wrist": 1.0})
        with pytest.raises(InputError, match="x: expected signals"):
            writer.add("x", {}, {})
    with pytest.raises(FileError, match="is a store of"):
        ShardWriter(folder, {"other": StoredModality("features", (3,))})
    with pytest.raises(FileError, match="other extractors"):
        ShardWriter(folder, SPECS, {"clip": {"name": "x"}})
    assert len(ShardStore(folder)) == len(by_name)


def test_a_killed_writer_loses_what_it_did_not_commit_and_nothing_else(folder, by_name):
    code = (
        "import sys, time, numpy as np; from pathlib import Path; from mmcl.readers.shards import *\n"
        f"w = ShardWriter(Path({str(folder)!r}), {SPECS!r})\n"
        "w.add('first', {'wrist': np.ones((400, 2, 3))}, {'wrist': 1.0}); w.commit()\n"
        "w.add('second', {'wrist': np.ones((400, 2, 3))}, {'wrist': 1.0}); print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    names = ShardStore(folder).column("name").to_pylist()
    assert sorted(names) == sorted([*by_name, "first"])


def test_old_parts_are_committed(tmp_path, by_name):
    with ShardWriter(tmp_path, SPECS, commit_s=0.05) as writer:
        writer.add("a", by_name["r0"], dict.fromkeys(by_name["r0"], 1.0))
        time.sleep(0.06)
        writer.add("b", by_name["r2"], dict.fromkeys(by_name["r2"], 1.0))
        assert len(ShardStore(tmp_path)) == 2
