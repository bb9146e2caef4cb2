"""XD-Violence's features: read, checked, named when bad."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import recipe, splits_of
from xd_features import SMALL, make_features

from mmcl.cli.main import main
from mmcl.data.bags import BagDataset
from mmcl.datasets.sources.xd_violence_features import find_features
from mmcl.errors import FileError
from mmcl.readers.lazy_array import LazyArray
from mmcl.types import SnippetGrid


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("features of ünïcode")
    make_features(folder)
    return folder


def train_recordings(folder):
    """Features of the training videos, two crops each."""
    config = recipe("xd-violence", {"data.crops": 2, "data.validation_share": 0.0})
    return splits_of(config, folder, ("train",)).train


def test_long_bags_are_sampled_evenly_and_read_from_the_disk(data, capsys):
    recordings = train_recordings(data)
    assert "2 recordings have files that differ by one row" in capsys.readouterr().out  # one video, both crops
    assert all(isinstance(r.signal["visual"], LazyArray) for r in recordings)
    grid = SnippetGrid(2 / 3, 2 / 3, {"visual": 1, "audio": 1})
    bags = BagDataset(recordings, grid, strength=0.0, max_snippets=7)
    x = recordings[0].signal["visual"]
    want = x[[int(i * (len(x) - 1) / 6) for i in range(7)]]
    np.testing.assert_array_equal(bags[0, 0].x["visual"], want)
    assert bags[-1, 0].n_snippets == len(x)


def test_lists_say_what_is_trained_on(data, tmp_path):
    make_features(tmp_path)
    names = [v.name for v in find_features(tmp_path, 2)["train"]]
    (tmp_path / "visual_train.list").write_text("\n".join(f"any/where/{n}__0.npy" for n in names[::-2]))
    assert [v.name for v in find_features(tmp_path, 2)["train"]] == names[::-2]
    assert all("_label_A" in n for n in names[8:])  # sorted, the violent first


def test_crops_of_unequal_length_are_named_before_anything_is_trained(tmp_path):
    make_features(tmp_path)
    second = next((tmp_path / "RGBTest").glob("*_label_A__1.npy"))
    np.save(second, np.load(second)[:-3])
    config = recipe("xd-violence", {"data.crops": 2, "data.modalities": ("visual",)})
    with pytest.raises(FileError, match=r"__1\.npy: has \d+ rows, .*__0\.npy \d+; crops of one video must be"):
        splits_of(config, tmp_path)


def test_bad_features_are_named(tmp_path, capsys):
    make_features(tmp_path)
    words = ["train", "xd-violence", "--data", str(tmp_path), "--out", str(tmp_path / "run"), *SMALL]
    first = next((tmp_path / "RGB").glob("*__0.npy"))
    audio = tmp_path / "vggish/train" / first.name.replace("__0", "__vggish")
    good, good_audio = np.load(first), np.load(audio)

    def expect(path: Path, content, message: str) -> None:
        before = path.read_bytes()
        path.unlink()
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            np.save(path, content)
        assert main(words) == 1
        error = capsys.readouterr().err
        assert message in error
        assert path.name.removesuffix("__0.npy").removesuffix("__vggish.npy") in error
        path.write_bytes(before)

    expect(first, None, "is missing")
    expect(first, b"nonsense", "not a readable .npy file")
    expect(first, np.array([[None]]), "holds no plain array")
    expect(first, good[:0], "holds no rows")
    expect(first, good[:, :5], "holds float32 of shape")
    expect(audio, good_audio[:-3], "they may differ by one")
    broken = good.copy()
    broken[-1, 0] = np.nan
    expect(first, broken, "NaN or infinity in its visual signal")
    stray = tmp_path / "RGB" / "copy"
    stray.mkdir()
    (stray / first.name).write_bytes(first.read_bytes())
    with pytest.raises(FileError, match="also lies in"):
        find_features(tmp_path, 2)
    assert main(["train", "xd-violence", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "r")]) == 1
    assert "no such folder" in capsys.readouterr().err


def test_more_files_than_a_process_may_open(tmp_path):
    """Features wait in their files, none of them open."""
    resource = pytest.importorskip("resource")
    make_features(tmp_path, n_each=3)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 40
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, hard))
    try:
        recordings = train_recordings(tmp_path)
        assert len(recordings) == 48
        x = recordings[0].signal["visual"]
        np.testing.assert_array_equal(x[[3, 1]], np.asarray(x)[[3, 1]])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_file_that_changes_while_in_use(tmp_path):
    make_features(tmp_path, n_each=1)
    recordings = train_recordings(tmp_path)
    x = recordings[0].signal["visual"]
    np.save(x.path, np.zeros((1, 12), np.float32))
    with pytest.raises(FileError, match="it changed while in use"):
        x[:]


def test_a_name_without_label_code(tmp_path):
    np.save(tmp_path / "holiday__0.npy", np.zeros((3, 12), np.float32))
    with pytest.raises(FileError, match=r"holiday__0\.npy: its name has no label code"):
        find_features(tmp_path)


def test_check_finds_each_fault_and_no_other(tmp_path, capsys):
    make_features(tmp_path, n_each=1)
    words = ["check", "xd-violence", "--data", str(tmp_path), "--crops", "2"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "16 videos (8 violent, 8 normal), 48 files" in out
    assert "2 videos differ by one row" in out
    assert "truth of 8 test videos" in out
    rgb = sorted((tmp_path / "RGB").glob("*__0.npy"))

    def audio(p):
        return tmp_path / "vggish/train" / p.name.replace("__0", "__vggish")

    rgb[0].unlink()
    rgb[1].write_bytes(b"nonsense")
    x = np.load(rgb[2])
    x[3, 1] = np.inf
    np.save(rgb[2], x)
    np.save(rgb[3], np.load(rgb[3])[:, :5])
    np.save(audio(rgb[4]), np.load(audio(rgb[4]))[:-4])
    np.save(rgb[5].with_name("clip__0.npy"), x)
    np.save(rgb[5].with_name("other.npy"), x)
    frames = {p.name.removesuffix("__0.npy"): 16 * 200 if i == 6 else 0 for i, p in enumerate(rgb)}
    (tmp_path / "train_frames.csv").write_text("name,frames\n" + "\n".join(f"{k},{v}" for k, v in frames.items() if v))
    assert main(words) == 1
    printed = capsys.readouterr().out
    for message in (
        f"{rgb[0].name} is missing",
        f"{rgb[1]}: not a readable .npy file",
        f"{rgb[2]}: NaN or infinity in row 3",
        f"{rgb[3]}: has 5 channels, the other visual features 12",
        f"{rgb[4].name.removesuffix('__0.npy')}: ",
        "clip: expected a name that ends in _label_",
        "other.npy: belongs to nothing",
        f"{rgb[6].name.removesuffix('__0.npy')}: has",
    ):
        assert message in printed, message
    n_wrong = sum(": " in line and "videos (" not in line and "truth of" not in line for line in printed.splitlines())
    assert n_wrong == 11  # clip also lacks a crop and its audio, and holds the infinity of what it copies


def test_truth_of_other_features(tmp_path, capsys):
    make_features(tmp_path, n_each=1)
    words = ["check", "xd-violence", "--data", str(tmp_path), "--crops", "2"]
    np.save(tmp_path / "gt.npy", np.zeros(160))
    assert main(words) == 1
    assert "do not use it with them" in capsys.readouterr().out
    names = [v.name for v in find_features(tmp_path, 2)["test"]]
    (tmp_path / "visual_test.list").write_text("\n".join(f"{n}__0.npy" for n in [*names[::-1], "gone_label_A"]))
    assert main(words) == 1
    out = capsys.readouterr().out
    assert "gone_label_A has no features" in out
    assert "not in the usual order" in out
