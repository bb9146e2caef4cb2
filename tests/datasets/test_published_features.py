"""Features of XD-Violence and UCF-Crime as other projects publish them: their folders, names and lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from xd_features import CODES, SMALL

from mmcl.cli.main import main
from mmcl.config import override
from mmcl.data.recording_index import RecordingIndex
from mmcl.datasets import get_dataset
from mmcl.errors import FileError

ROWS = 30


def name_of(split: str, i: int) -> str:
    return f"{split.title()}.20{i:02d}__#00-0{i}-00_00-0{i}-50_label_{CODES[i % len(CODES)]}"


def save(path: Path, *shape: int) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    x = np.random.default_rng(abs(hash(path.name)) % 2**32).standard_normal(shape).astype(np.float32)
    np.save(path, x)
    return x


def annotate(path: Path, names: list[str]) -> None:
    path.write_text("\n".join(f"{n}.mp4 160 240" for n in names if not n.endswith("_A")))


def mirror(folder: Path) -> None:
    """All crops in one array, rows of 64 frames, no sound; lists of videos, each with a number behind."""
    for split, place in (("train", "1-1004"), ("test", "test_videos")):
        names = [name_of(split, i) for i in range(8)]
        for name in names:
            save(folder / "data" / "i3d_rgb" / place / f"{name}.npy", ROWS, 5, 12)
        (folder / "data" / f"{split}_list.txt").write_text("".join(f"{place}/{n}.mp4 0\n" for n in names))
    annotate(folder / "data" / "test_annotations.txt", names)


def by_csv(folder: Path, crops: dict[str, tuple[int, ...]], with_audio: bool) -> None:
    """A CSV a split, paths of another machine; sound by its own column, under the video's name alone."""
    for split, file in (("train", "xd_CLIP_rgb.csv"), ("test", "xd_CLIP_rgbtest.csv")):
        names = [name_of(split, i) for i in range(8)]
        lines = ["path,audio_path,label" if with_audio else "path,label"]
        for i, name in enumerate(names):
            if with_audio:
                save(folder / f"XD{split.title()}ClapFeatures" / f"{name}.npy", ROWS, 6)
            for c in crops[split]:
                save(folder / f"XD{split.title()}ClipFeatures" / f"{name}__{c}.npy", ROWS, 12)
                sound = f"/home/wp/Desktop/XD{split.title()}ClapFeatures/{name}.npy," if with_audio else ""
                lines.append(f"/home/wp/XD{split.title()}ClipFeatures/{name}__{c}.npy,{sound}{CODES[i]}")
        (folder / "list").mkdir(exist_ok=True)
        (folder / "list" / file).write_text("\n".join(lines) + "\n")
    annotate(folder / "annotations.txt", names)


def index_of(folder: Path, **options) -> RecordingIndex:
    dataset = get_dataset("xd-violence")
    changes = {f"data.{k}": v for k, v in {"validation_share": 0.0, **options}.items()}
    return dataset.index(folder, override(dataset.default_config(folder), changes).data)


def test_the_mirror_with_all_crops_in_one_array(tmp_path, capsys):
    mirror(tmp_path / "m")
    index = index_of(tmp_path / "m", modalities=("visual",), frames_per_row=64)
    assert [len(index.of(s)) for s in ("train", "test")] == [40, 40]
    row = index.of("test")[3]
    assert row.name.endswith("__3")
    stored = np.load(tmp_path / "m" / "data" / "i3d_rgb" / "test_videos" / f"{row.group}.npy")
    x, rate = row.sources["visual"].read()
    np.testing.assert_array_equal(np.asarray(x), stored[:, 3])
    assert rate == 24 / 64
    few = index_of(tmp_path / "m", modalities=("visual",), frames_per_row=64, crops=2)
    assert len(few.of("test")) == 16
    assert "crops of each test video: 5 there, 2 used (--data.crops 2)" in capsys.readouterr().out
    words = ["--data", str(tmp_path / "m"), "--data.modalities", "visual", "--data.frames-per-row", "64", *SMALL]
    assert main(["train", "xd-violence", *words, "--out", str(tmp_path / "run"), "--optim.epochs", "1"]) == 0
    assert "frame average precision" in capsys.readouterr().out
    with pytest.raises(FileError, match=r"holds no features of the sound; --data\.modalities visual leaves it out"):
        index_of(tmp_path / "m", frames_per_row=64)


def test_lists_name_the_sound_and_any_crop(tmp_path):
    by_csv(tmp_path, {"train": (5,), "test": (5,)}, with_audio=True)
    index = index_of(tmp_path)
    assert [len(index.of(s)) for s in ("train", "test")] == [8, 8]
    row = index.of("train")[0]
    visual, audio = (np.asarray(row.sources[m].read()[0]) for m in ("visual", "audio"))
    np.testing.assert_array_equal(visual, np.load(tmp_path / "XDTrainClipFeatures" / f"{row.group}__5.npy"))
    np.testing.assert_array_equal(audio, np.load(tmp_path / "XDTrainClapFeatures" / f"{row.group}.npy"))
    words = ["train", "xd-violence", "--data", str(tmp_path), "--out", str(tmp_path / "run"), *SMALL]
    assert main([*words, "--optim.epochs", "1"]) == 0


def test_splits_have_crops_of_their_own(tmp_path, capsys):
    by_csv(tmp_path / "v", {"train": (0, 1, 2, 3, 4), "test": (0,)}, with_audio=False)
    index = index_of(tmp_path / "v", modalities=("visual",))
    assert [len(index.of(s)) for s in ("train", "test")] == [40, 8]
    assert "crops of each test video: 1 there, 1 used" in capsys.readouterr().out
    store = ["store", "convert", str(tmp_path / "v"), str(tmp_path / "s"), "--dataset", "xd-violence"]
    assert main([*store, "--data.modalities", "visual"]) == 0
    assert [len(index_of(tmp_path / "s", modalities=("visual",)).of(s)) for s in ("train", "test")] == [40, 8]


def test_a_list_that_contradicts_names_or_is_not_alone(tmp_path):
    by_csv(tmp_path, {"train": (0,), "test": (0,)}, with_audio=False)
    usual = tmp_path / "list" / "xd_CLIP_rgb.csv"
    text = usual.read_text()
    (tmp_path / "list" / "more.csv").write_text(text.replace(",B1-0-0", ",A"))
    with pytest.raises(FileError, match=r"train lists: list/more\.csv, list/xd_CLIP_rgb\.csv; name one by --data\.tr"):
        index_of(tmp_path, modalities=("visual",))
    with pytest.raises(FileError, match=r"Train\.2000.* is labelled A; its name says otherwise"):
        index_of(tmp_path, modalities=("visual",), train_list="list/more.csv")
    assert len(index_of(tmp_path, modalities=("visual",), train_list="list/xd_CLIP_rgb.csv").of("train")) == 8


@pytest.mark.parametrize("suffix", ["wav2clip", "clap"])
def test_any_name_of_the_sound_and_any_number_of_crops(suffix, tmp_path, capsys):
    for split, place in (("train", "RGB"), ("test", "RGBTest")):
        for i in range(8):
            for c in range(10):
                save(tmp_path / place / f"{name_of(split, i)}__{c}.npy", ROWS, 12)
            save(tmp_path / place / f"{name_of(split, i)}__{suffix}.npy", ROWS, 6)
    index = index_of(tmp_path, crops=10)
    assert len(index.of("train")) == 80
    assert set(index.rows[0].sources) == {"visual", "audio"}
    assert len(index_of(tmp_path).of("train")) == 40
    assert "crops of each train video: 10 there, 5 used" in capsys.readouterr().out
    next((tmp_path / "RGB").glob("*__3.npy")).unlink()
    with pytest.raises(FileError, match=r"__3\.npy: is missing"):
        index_of(tmp_path)


def test_ucf_crime_by_lists_without_the_word_train(tmp_path):
    """RTFM's and VadCLIP's names of lists; one of videos beside them is none of features."""
    for split, file in (("Train", "ucf-i3d.list"), ("Test", "ucf-i3d-test.list")):
        names = [f"{kind}{i}{len(split)}_x264" for i in range(3) for kind in ("Abuse", "Normal_Videos_", "Fighting")]
        for name in names:
            save(tmp_path / f"UCF_{split}_ten_crop_i3d" / f"{name}_i3d.npy", ROWS, 10, 8)
        (tmp_path / file).write_text("".join(f"G:\\UCF_{split}_ten_crop_i3d\\{n}_i3d.npy\n" for n in names))
    (tmp_path / "Anomaly_Test.txt").write_text("".join(f"{n}.mp4\n" for n in names))
    dataset = get_dataset("ucf-crime")
    index = dataset.index(tmp_path, dataset.default_config(tmp_path).data)
    assert len(index.of("test")) == 90
    assert len(index.of("train")) + len(index.of("validation")) == 90
    lines = "".join(
        f"{n}_i3d.npy,{'Normal' if n.startswith('Abuse') else n.split('_')[0].strip('0123456789')}\n" for n in names
    )
    (tmp_path / "ucf-i3d-test.list").write_text("path,label\n" + lines)
    with pytest.raises(FileError, match="its list says Normal, its name Abuse"):
        dataset.index(tmp_path, dataset.default_config(tmp_path).data)
