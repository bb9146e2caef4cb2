"""Own videos: from a folder of class folders to a model and the scores of new videos; what is refused, in one line."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from clips import write_square
from forked import run as run_forked
from support import recipe

from mmcl.cli.main import main
from mmcl.config import override
from mmcl.data.media import hold_streams
from mmcl.datasets import get_dataset, load_splits
from mmcl.errors import FileError, InputError

SMALL = ["--features.visual", "motion", "--optim.epochs", "2", "--trainer.tracker", "none"]


def options_of(name: str, **changes):
    return override(get_dataset(name).default_config(), {f"data.{k}": v for k, v in changes.items()}).data


@pytest.fixture(scope="module")
def run(class_folders, tmp_path_factory) -> Path:
    """``mmcl train events`` on the folder as it is."""
    out = tmp_path_factory.mktemp("own") / "run"
    assert (
        main(["train", "events", "--data", str(class_folders), "--out", str(out), *SMALL, "--data.normal", "calm"]) == 0
    )
    return out


def test_two_commands_from_a_folder_to_scores_of_new_videos(run, tmp_path, capsys):
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["test bag ROC-AUC"] > 0.9
    assert metrics["test linear baseline bag ROC-AUC"] > 0.9
    new = tmp_path / "new"
    for place, is_wild, has_sound in (("day", True, True), ("night", True, False), ("night", False, False)):
        (new / place).mkdir(parents=True, exist_ok=True)
        write_square(new / place / f"clip{is_wild}{has_sound}.mp4", is_wild, 99, has_sound)
    assert main(["score", str(run), str(new), "--out", str(tmp_path / "scores")]) == 0
    assert "has no audio stream, scored by visual alone" in capsys.readouterr().out
    score = {}
    for path in (tmp_path / "scores").rglob("*.json"):
        content = json.loads(path.read_text())
        score[path.relative_to(tmp_path / "scores").with_suffix("").as_posix()] = content["recording"]["wild"]
    assert set(score) == {"day/clipTrueTrue", "night/clipTrueFalse", "night/clipFalseFalse"}
    assert min(score["day/clipTrueTrue"], score["night/clipTrueFalse"]) > score["night/clipFalseFalse"]
    assert (tmp_path / "scores" / "day" / "clipTrueTrue.html").exists()


def test_what_is_scored_is_what_was_trained_on(run, class_folders, tmp_path):
    """A manifest, a video and its extracted features get the scores that evaluation gave."""
    video = class_folders / "wild" / "camera-1" / "wild10.mp4"
    manifest = tmp_path / "new.csv"
    manifest.write_text(f"name,video\none,{video}\n")
    words = ["extract", str(video), "--out", str(tmp_path / "store"), "--visual", "motion"]
    assert main(words) == 0
    curves = []
    for source in (video, manifest, tmp_path / "store"):
        out = tmp_path / f"scores-{source.name}"
        assert main(["score", str(run), str(source), "--out", str(out)]) == 0
        (path,) = out.glob("*.json")
        curves.append([s["joint"][0] for s in json.loads(path.read_text())["snippets"]])
    np.testing.assert_allclose(curves[1], curves[0], atol=2e-6)
    np.testing.assert_allclose(curves[2], curves[0], atol=2e-6)


def test_nothing_is_extracted_twice_and_renamed_files_are_known(class_folders, tmp_path, capsys, run):
    moved = tmp_path / "moved"
    shutil.copytree(class_folders, moved)
    (moved / "wild" / "camera-0" / "wild00.mp4").rename(moved / "wild" / "camera-0" / "renamed.mp4")
    capsys.readouterr()
    words = ["train", "recordings", "--data", str(moved), "--out", str(tmp_path / "run"), *SMALL]
    assert main(words) == 0
    assert "extracting" not in capsys.readouterr().out


def test_a_run_that_is_killed_before_its_first_step_goes_on(class_folders, tmp_path, run):
    """The linear baseline is saved as epoch 0 before training begins."""
    out = tmp_path / "run"
    words = ["train", "events", "--data", str(class_folders), "--out", str(out), *SMALL, "--data.normal", "calm"]
    code = (
        "import os, sys; from mmcl.training.trainer import Trainer; from mmcl.cli.main import main\n"
        "keep = Trainer._keep_best\n"
        "def once(self, value):\n    keep(self, value)\n    os._exit(9)\n"
        "Trainer._keep_best = once\n"
        "main(sys.argv[1:])"
    )
    assert run_forked(words, code).returncode == 9
    assert (out / "best.safetensors").exists()
    assert not (out / "history.json").exists() or json.loads((out / "history.json").read_text()) == []
    assert main([*words, "--resume"]) == 0
    ours, expected = (json.loads((r / "metrics.json").read_text()) for r in (out, run))
    assert {k: v for k, v in ours.items() if "seconds" not in k} == {
        k: v for k, v in expected.items() if "seconds" not in k
    }


def test_folders_of_splits_and_groups(class_folders, tmp_path):
    by_camera = {"train": (1, 2, 3), "val": (4,), "test": (5,)}
    for split, cameras in by_camera.items():
        for name in ("calm", "wild"):
            for camera in cameras:
                place = tmp_path / split / name
                place.mkdir(parents=True, exist_ok=True)
                for path in (class_folders / name / f"camera-{camera}").glob("*.mp4"):
                    shutil.copy(path, place)
    index = get_dataset("recordings").index(tmp_path, options_of("recordings", group_by=r"(\d)\d$"))
    assert {row.split: row.group for row in index.rows if row.split != "train"} == {"validation": "4", "test": "5"}
    assert index.rows[0].name == "test/calm/calm50"
    with pytest.raises(InputError, match="is not found in"):
        get_dataset("recordings").index(tmp_path, options_of("recordings", group_by="nowhere"))
    shutil.copy(tmp_path / "train/calm/calm10.mp4", tmp_path / "test/calm/copy.mp4")
    with pytest.raises(
        FileError, match=r"the content of .*calm10.* is in the (train|test) and in the (train|test) split"
    ):
        get_dataset("recordings").index(tmp_path, options_of("recordings"))


def test_index_writes_a_manifest_to_edit(class_folders, tmp_path, capsys):
    folder = tmp_path / "videos"
    shutil.copytree(class_folders, folder)
    (folder / "wild" / "camera-0" / "broken.mp4").write_text("no video")
    shutil.copy(folder / "calm" / "camera-1" / "calm10.mp4", folder / "calm" / "camera-1" / "twin.mp4")
    out = tmp_path / "my.csv"
    assert main(["index", str(folder), "--out", str(out), "--folds", "3"]) == 0
    printed = capsys.readouterr().out
    assert "26 videos, 6 groups" in printed
    assert "without sound: calm 4, wild 4" in printed
    with out.open() as file:
        rows = list(csv.DictReader(file))
    problems = {row["name"]: row["problem"] for row in rows if row["problem"]}
    assert "not a readable video" in problems["wild/camera-0/broken"]
    assert "the same content as" in problems["calm/camera-1/twin"]
    groups = {}
    for row in rows:
        if row["split"]:
            groups.setdefault(row["group"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in groups.values())
    assert set().union(*groups.values()) == {"train", "validation", "test"}
    assert {row["streams"] for row in rows} == {"picture+sound", "picture", ""}
    assert 2 < float(rows[0]["seconds"]) < 2.2
    assert main(["index", str(folder), "--out", str(out)]) == 1
    assert "is there already" in capsys.readouterr().err
    kept = [row for row in rows if not row["problem"]]
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(kept)
    index = get_dataset("recordings").index(out, options_of("recordings"))
    assert len(index.rows) == 24
    assert index.rows[0].name.startswith("calm/camera-0/")


def manifest(folder: Path, rows: list[list[str]], header=("name", "labels", "split", "group", "video")) -> Path:
    path = folder / "m.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def test_bad_data_are_refused_in_one_line_before_anything_is_made(class_folders, tmp_path):
    def video(name, camera=1, number=0):
        return str(class_folders / name / f"camera-{camera}" / f"{name}{camera}{number}.mp4")

    good = [
        ["a", "calm", "train", "g1", video("calm")],
        ["b", "wild", "train", "g1", video("wild")],
        ["c", "calm", "test", "g2", video("calm", 2)],
        ["d", "wild", "test", "g2", video("wild", 2)],
    ]
    recordings = get_dataset("recordings")

    def load(rows):
        options = options_of("recordings")
        return load_splits(recordings, manifest(tmp_path, rows), options, splits=())

    assert load(good).train == []
    folder = tmp_path / "empty"
    folder.mkdir()
    cases = {
        "is in the train and in the test split": [*good[:3], ["d", "wild", "test", "g1", video("wild", 2)]],
        "are the same video": [*good, ["e", "wild", "test", "g2", video("wild", 2)]],
        "differ in case alone": [*good, ["e", "Calm", "train", "g1", video("calm", 1, 1)]],
        "its test split shows class 'calm' alone": [*good[:3], ["d", "calm", "test", "g2", video("calm", 2, 1)]],
        "1 media files of .* are unreadable": [*good[:3], ["d", "wild", "test", "g2", "nowhere.mp4"]],
        "names no file": [*good, ["e", "wild", "test", "g2", ""]],
    }
    for message, rows in cases.items():
        with pytest.raises(InputError, match=message) as error:
            load(rows)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="1 media files"):
        load([*good[:3], ["d", "wild", "test", "g2", str(folder)]])
    with pytest.raises(InputError, match=r"--data.modalities skeleton: no recording .* has it"):
        load_splits(recordings, manifest(tmp_path, good), options_of("recordings", modalities=("skeleton",)), splits=())
    one = tmp_path / "one"
    for name in ("calm", "wild"):
        shutil.copytree(class_folders / name, one / name)
    shutil.rmtree(one / "wild")
    (one / "wild" / "camera-9").mkdir(parents=True)
    shutil.copy(video("wild"), one / "wild" / "camera-9")
    with pytest.raises(FileError, match=r"class 'wild' has 1 recording; expected 3 or more"):
        recordings.index(one, options_of("recordings"))
    with pytest.raises(FileError, match="which holds recordings without events is not clear"):
        get_dataset("events").index(class_folders, options_of("events"))
    mixed = manifest(tmp_path, [*good[:3], ["d", "wild;calm", "test", "g2", video("wild", 2)]])
    with pytest.raises(InputError, match="line 5: labels are wild;calm; a recording holds events or is normal"):
        get_dataset("events").index(mixed, options_of("events", normal="calm"))


def test_recordings_may_lack_anything(class_folders, tmp_path, capsys):
    """Sensors beside videos, each of which some recordings lack; the lack of sound is counted and warned of."""
    rng = np.random.default_rng(0)
    rows = []
    for camera in range(6):
        for name in ("calm", "wild"):
            for number in range(2):
                path = class_folders / name / f"camera-{camera}" / f"{name}{camera}{number}.mp4"
                wrist = ""
                if number == 0:
                    x = rng.standard_normal((105, 3)) * (3 if name == "wild" else 0.3)
                    np.save(tmp_path / f"{path.stem}.npy", x)
                    wrist = f"{path.stem}.npy"
                video = "" if number == 0 and camera == 5 else str(path)
                rows.append([path.stem, name, f"c{camera}", video, wrist, 50 if wrist else ""])
    data = manifest(tmp_path, rows, ("name", "labels", "group", "video", "wrist", "wrist_hz"))
    out = tmp_path / "run"
    words = ["train", "recordings", "--data", str(data), "--out", str(out), "--features.visual", "motion"]
    words += ["--snippets.hop-s", "0.5", "--snippets.window-s", "1", "--snippets.stretch-s", "0"]
    assert main([*words, "--optim.epochs", "3", "--model.dim", "16", "--trainer.tracker", "none"]) == 0
    printed = capsys.readouterr().out
    assert "recordings without wrist:" in printed
    metrics = json.loads((out / "metrics.json").read_text())
    assert 0 < metrics["train share of recordings with audio"] < 1
    assert json.loads((out / "config.json").read_text())["lacking"]["wrist"] > 0
    assert all(np.isfinite(v) for v in metrics.values())
    assert main(["report", str(out), "--timelines", "0"]) == 0
    page = (out / "report.html").read_text()
    n_test = json.loads((out / "config.json").read_text())["recordings"]["test"]
    n_audio = round(metrics["test share of recordings with audio"] * n_test)
    assert 0 < n_audio < n_test
    assert f"{n_audio} of {n_test}" in page.partition("Each modality alone")[2].partition("</table>")[0]


def test_streams_are_those_that_files_hold(class_folders):
    index = hold_streams(get_dataset("recordings").index(class_folders, options_of("recordings")))
    silent = {row.group for row in index.rows if "audio" not in row.media}
    assert silent == {"camera-0", "camera-3"}


def test_recipes_depend_on_the_data(class_folders, sensors_manifest):
    videos = get_dataset("events").default_config(class_folders)
    assert videos.snippets.hop_s == pytest.approx(2 / 3)
    assert videos.model.linear_path
    assert get_dataset("recordings").default_config(sensors_manifest) == recipe("recordings")


@pytest.fixture
def sensors_manifest(tmp_path) -> Path:
    return manifest(tmp_path, [["a", "x", "w.npy", "50"]], ("name", "labels", "wrist", "wrist_hz"))


def test_the_sound_is_added_to_a_cache_of_pictures(class_folders, tmp_path, monkeypatch):
    """Silent files lack nothing but what they cannot have."""
    monkeypatch.setenv("MMCL_CACHE", str(tmp_path / "cache"))
    dataset, features = get_dataset("recordings"), recipe("recordings", {"features.visual": ("descriptors",)}).features
    for modalities in (("visual",), ("visual", "audio")):
        options = options_of("recordings", modalities=modalities)
        splits = load_splits(dataset, class_folders, options, features=features)
    everything = [r for s in ("train", "validation", "test") for r in splits.of(s)]
    assert sum("audio" not in r.signal for r in everything) == 8
    assert all("visual" in r.signal for r in everything)


def test_what_an_index_found_wrong_is_refused_by_line(class_folders, tmp_path, run, capsys):
    path = class_folders / "wild" / "camera-1" / "wild10.mp4"
    data = manifest(tmp_path, [["wild", str(path), "the same content as x"]], ("labels", "video", "problem"))
    with pytest.raises(FileError, match=r"line 2: has a problem: the same content as x; repair the file"):
        get_dataset("recordings").index(data, options_of("recordings"))
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    data = manifest(tmp_path, [["good", str(path)], ["bad", str(broken)]], ("name", "video"))
    assert main(["score", str(run), str(data), "--out", str(tmp_path / "scores")]) == 1
    assert "1 of 2 scored" in capsys.readouterr().out
    assert (tmp_path / "scores" / "good.json").exists()
