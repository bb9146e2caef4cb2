"""Folders and tables as people have them: what is read rightly, and what is refused before anything is computed."""

from __future__ import annotations

import csv
import functools
import json
import shutil
import threading
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from clips import write_clip, write_square

from mmcl.cli.main import main
from mmcl.config import override
from mmcl.datasets import get_dataset
from mmcl.datasets.sources.folder import read_folder
from mmcl.datasets.sources.splits import assign_folds
from mmcl.errors import FileError, InputError
from mmcl.media.find import find_media

SMALL = ["--features.visual", "motion", "--optim.epochs", "1", "--trainer.tracker", "none"]


@pytest.fixture
def clip(tmp_path_factory) -> Callable[[Path, str], Path]:
    """Copies a clip of its own to a place; contents differ, as equal ones are refused."""
    folder = tmp_path_factory.mktemp("clips")
    clips: list[Path] = []

    def at(place: Path, kind: str = "calm", has_sound: bool = True) -> Path:
        clips.append(write_square(folder / f"{len(clips)}.mp4", kind == "wild", len(clips), has_sound))
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clips[-1], place)
        return place

    return at


def write_table(path: Path, rows: list[dict[str, str]]) -> Path:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def index_of(name: str, data: Path, **options):
    dataset = get_dataset(name)
    changes = {f"data.{k}": v for k, v in options.items()}
    return dataset.index(data, override(dataset.default_config(), changes).data)


def rows_of(labels: list[str], **more: list[str]) -> list[dict[str, str]]:
    names = [f"v{i}" for i in range(len(labels))]
    columns = {"name": names, "video": [f"{n}.mp4" for n in names], "labels": labels, **more}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def test_a_blank_label_beside_a_normal_class_is_refused(tmp_path):
    data = write_table(tmp_path / "m.csv", rows_of(["fight"] * 4 + ["normal"] * 4 + [""] * 4))
    with pytest.raises(FileError, match=r"line 10: has no label, and others are labelled normal"):
        index_of("events", data)
    only_blank = write_table(tmp_path / "n.csv", rows_of(["fight"] * 6 + [""] * 6))
    assert index_of("events", only_blank).classes == ("fight",)


@pytest.mark.parametrize("labels", [["Normal", "normal", "fight"], ["Fight", "fight", "normal"]])
def test_names_that_differ_in_case_are_told_first(labels, tmp_path):
    data = write_table(tmp_path / "m.csv", rows_of([labels[i % 3] for i in range(12)]))
    for name in ("events", "recordings"):
        with pytest.raises(FileError, match="differ in case alone"):
            index_of(name, data)
    groups = [("Cam", "cam", "b", "c")[i % 4] for i in range(12)]
    data = write_table(tmp_path / "g.csv", rows_of(["fight", "normal"] * 6, group=groups))
    with pytest.raises(FileError, match="groups 'Cam' and 'cam' differ in case alone"):
        index_of("events", data)


def test_groups_of_some_recordings_alone_are_told(tmp_path, capsys):
    groups = [f"g{i}" if i % 2 else "" for i in range(12)]
    data = write_table(tmp_path / "m.csv", rows_of(["fight", "fight", "normal"] * 4, group=groups))
    index_of("events", data)
    assert "6 of 12 recordings have no group; each counts as one of its own" in capsys.readouterr().out


def test_a_folder_beside_those_of_splits_is_no_class(tmp_path):
    for place in ("train/fight/a", "train/normal/b", "test/fight/c", "test/normal/d", "todo/fight/e"):
        path = tmp_path / f"{place}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with pytest.raises(FileError, match=r"todo/fight/e\.mp4: lies beside folders of splits"):
        read_folder(tmp_path)


def test_equal_contents_are_refused_in_one_split_too(tmp_path, clip):
    for i in range(6):
        for kind in ("calm", "wild"):
            clip(tmp_path / kind / f"cam{i}" / f"{kind}{i}.mp4", kind)
    shutil.copy(tmp_path / "wild" / "cam0" / "wild0.mp4", tmp_path / "calm" / "cam0" / "again.mp4")
    for seed in range(3):
        with pytest.raises(FileError, match=r"equal and labelled calm and wild|which are equal, is in the"):
            index_of("recordings", tmp_path, fold_seed=seed)
    (tmp_path / "calm" / "cam0" / "again.mp4").rename(tmp_path / "wild" / "cam0" / "again.mp4")
    with pytest.raises(FileError, match="cam0/again and wild/cam0/wild0 are equal; remove one"):
        index_of("recordings", tmp_path)


def test_links_are_followed_and_what_is_no_media_is_named(tmp_path, clip, capsys):
    clip(tmp_path / "store" / "cam" / "a.mp4")
    clip(tmp_path / "data" / "calm" / "b.mp4")
    (tmp_path / "data" / "wild").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "loop").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "calm" / "c.vob").touch()
    (tmp_path / "data" / "calm" / "notes.txt").touch()
    assert [f.name for f in find_media([tmp_path / "data"])] == ["calm/b", "wild/cam/a"]
    assert "not taken as video or audio by their endings: calm/c.vob\n" in capsys.readouterr().err


def test_equal_names_get_folders_and_endings(tmp_path, clip):
    for place in ("cams/1/a.mp4", "cams/2/a.mp4", "cams/2/a.mkv"):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert [f.name for f in find_media([f"{tmp_path}/cams/*/*.mp4"])] == ["1/a", "2/a"]
    both = {f.name for f in find_media([tmp_path / "cams" / "1", tmp_path / "cams" / "2"])}
    assert both in ({"1/a", "2/a", "a.mkv"}, {"a.mp4", "2/a.mp4", "a.mkv"}, {"1/a", "2/a", "2/a.mkv"})
    assert {f.name for f in find_media([tmp_path / "cams"])} == {"1/a", "2/a.mp4", "2/a.mkv"}
    rows = [{"video": str(tmp_path / "cams" / str(i) / "a.mp4"), "labels": "x"} for i in (1, 2)]
    from mmcl.datasets.sources.manifest import read_manifest

    assert [r.name for r in read_manifest(write_table(tmp_path / "m.csv", rows)).rows] == ["1/a", "2/a"]
    with pytest.raises(FileError, match="lines 2 and 3: both are named '1/a'"):
        read_manifest(write_table(tmp_path / "n.csv", [rows[0], rows[0]]))


def test_tables_of_other_programs(tmp_path, clip):
    from mmcl.datasets.sources.manifest import read_manifest

    path = tmp_path / "m.csv"
    path.write_text(f"Name;Label;Video\na;x;{(tmp_path / 'a b.mp4').as_uri()}\n")
    (row,) = read_manifest(path).rows
    assert (row.name, row.labels, row.media_files) == ("a", ("x",), [tmp_path / "a b.mp4"])
    path.write_text("name,labels,video,notes\na,x,a.mp4,some note\n")
    with pytest.raises(FileError, match="column 'notes': 'some note' is no file"):
        read_manifest(path)


def test_folds_are_drawn_again_until_each_shows_both(tmp_path):
    """Five groups of normals and many of fights: the first draw of some seeds leaves a fold without normals."""
    labels = ["fight"] * 13 + ["normal"] * 5
    data = write_table(tmp_path / "m.csv", rows_of(labels, group=[f"g{i}" for i in range(18)]))
    from mmcl.datasets.sources.manifest import read_manifest

    index = read_manifest(data)
    for seed in range(10):
        partition = {}
        for fold in range(5):
            of_test = assign_folds(index, 5, fold, seed).of("test")
            assert {row.labels for row in of_test} == {("fight",), ("normal",)}
            partition |= {row.name: fold for row in of_test}
        assert len(partition) == 18  # each is tested on once


def test_short_and_truncated_files_are_refused_before_others_are_extracted(tmp_path, clip, capsys, monkeypatch):
    monkeypatch.setenv("MMCL_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "data"
    for i in range(4):
        for kind in ("calm", "wild"):
            clip(data / kind / f"cam{i}" / f"{kind}{i}.mp4", kind)
    write_clip(data / "calm" / "cam0" / "still.mp4", 1, audio=None)
    words = ["train", "events", "--data", str(data), "--out", str(tmp_path / "run"), *SMALL, "--data.normal", "calm"]
    assert main(words) == 1
    output = capsys.readouterr()
    assert "still.mp4" in output.out + output.err
    assert "shorter than one snippet" in output.out + output.err
    assert not list((tmp_path / "cache").rglob("*.npy"))
    table = tmp_path / "i.csv"
    assert main(["index", str(data), "--out", str(table)]) == 0
    problems = {row["name"]: row["problem"] for row in csv.DictReader(table.read_text().splitlines())}
    assert "shorter than one snippet" in problems["calm/cam0/still"]


def test_a_modality_that_training_lacks_is_left_out_or_refused_before_extraction(tmp_path, clip, capsys, monkeypatch):
    monkeypatch.setenv("MMCL_CACHE", str(tmp_path / "cache"))
    for split, has_sound in (("train", False), ("test", True)):
        for i in range(3):
            for kind in ("calm", "wild"):
                clip(tmp_path / "data" / split / kind / f"{split}-{i}" / f"{kind}.mp4", kind, has_sound)
    words = ["train", "events", "--data", str(tmp_path / "data"), "--data.normal", "calm", *SMALL]
    assert main([*words, "--out", str(tmp_path / "x"), "--data.modalities", "visual", "audio"]) == 1
    assert "--data.modalities audio: no training recording of" in capsys.readouterr().err
    assert not list((tmp_path / "cache").rglob("*.npy"))
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    assert "no training recording has audio, so that it is left out" in capsys.readouterr().out


def test_sound_of_one_class_alone_is_warned_of_everywhere_and_is_no_score(tmp_path, clip, capsys, monkeypatch):
    data = tmp_path / "data"
    for i in range(9):
        clip(data / "calm" / f"cam{i}" / "calm.mp4", "calm", False)
        clip(data / "wild" / f"cam{i}" / "wild.mp4", "wild", True)
    words = ["events", "--data", str(data), "--data.normal", "calm", *SMALL, "--data.folds", "3"]
    run = tmp_path / "run"
    assert main(["train", *words, "--out", str(run)]) == 0
    assert "recordings without audio: 3 of 6 in train" in capsys.readouterr().out
    metrics = json.loads((run / "metrics.json").read_text())
    assert 0 < metrics["test share of recordings with audio"] < 1
    assert not any("audio alone" in name for name in metrics)  # a ranking of one class
    assert metrics["test pooled linear baseline bag ROC-AUC"] > 0.9
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert "warning: having audio alone tells a class with ROC-AUC 1.00" in page
    assert "in validation" in page
    scores = {json.loads(p.read_text())["recording"]["wild"] for p in _scores(run, data / "calm", tmp_path / "s")}
    assert len(scores) > 1  # no constant
    capsys.readouterr()
    assert main(["train", *words, "--out", str(tmp_path / "plan"), "--dry-run"]) == 0
    assert "recordings without audio: 3 of 6 in train" in capsys.readouterr().out
    assert main(["index", str(data), "--out", str(tmp_path / "i.csv")]) == 0
    assert "warning: having audio alone tells" in capsys.readouterr().out
    warning = "warning: having audio alone tells wild with ROC-AUC 1.00"

    def copy_runs(runs, data, out, *more):  # instead of training three
        for name in runs:
            shutil.copytree(run, out / name)

    monkeypatch.setattr("mmcl.experiments.folds.train_missing", copy_runs)
    assert main(["crossval", *words, "--out", str(tmp_path / "cv"), "--jobs", "1"]) == 0
    assert warning in capsys.readouterr().out
    assert warning in (tmp_path / "cv" / "crossval.md").read_text()
    result = json.loads((tmp_path / "cv" / "crossval.json").read_text())
    assert result["lacking"]["all ROC-AUC of having audio"] == 1.0


def _scores(run: Path, videos: Path, out: Path) -> list[Path]:
    assert main(["score", str(run), str(videos), "--out", str(out)]) == 0
    return sorted(out.rglob("*.json"))


def test_what_an_address_answered_is_not_kept_if_it_is_no_video(tmp_path, clip, monkeypatch):
    monkeypatch.setenv("MMCL_CACHE", str(tmp_path / "cache"))
    site = tmp_path / "site"
    site.mkdir()
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        rows = rows_of(["fight", "normal"] * 4)
        for row in rows:
            clip(site / row["video"], "wild" if row["labels"] == "fight" else "calm")
            row["video"] = f"http://127.0.0.1:{server.server_port}/{row['video']}"
        (site / "v3.mp4").rename(site / "good.mp4")
        (site / "v3.mp4").write_text("<html>moved</html>")
        data = write_table(tmp_path / "m.csv", rows)
        words = ["train", "events", "--data", str(data), *SMALL, "--out", str(tmp_path / "run")]
        assert main(words) == 1
        shutil.copy(site / "good.mp4", site / "v3.mp4")
        assert main(words) == 0
    finally:
        server.shutdown()
        server.server_close()


def test_a_manifest_is_scored_but_for_what_cannot_be_read(video_model, tmp_path, clip, capsys):
    good = clip(tmp_path / "good.mp4")
    still = write_clip(tmp_path / "still.mp4", 1, audio=None)
    data = write_table(tmp_path / "m.csv", [{"name": p.stem, "video": p.name} for p in (good, still)])
    assert main(["score", str(video_model.folder), str(data), "--out", str(tmp_path / "s")]) == 1
    assert [p.stem for p in (tmp_path / "s").glob("*.csv")] == ["good"]
    assert "still.mp4" in capsys.readouterr().err


def test_a_file_of_another_width_is_the_one_that_is_named(tmp_path):
    for i in range(5):
        np.save(tmp_path / f"w{i}.npy", np.full((200, 6 if i == 0 else 5), i, np.float32))
    splits = ["train", "train", "train", "train", "test"]
    rows = [
        {"name": f"r{i}", "labels": "ab"[i % 2], "wrist": f"w{i}.npy", "wrist_hz": "50", "split": s}
        for i, s in enumerate(splits)
    ]
    rows.append({"name": "r9", "labels": "b", "wrist": "x.npy", "wrist_hz": "50", "split": "test"})
    np.save(tmp_path / "x.npy", np.full((200, 5), 9, np.float32))
    data = write_table(tmp_path / "m.csv", rows)
    index = index_of("recordings", data)
    read = [index.load(split) for split in ("train", "test")]
    with pytest.raises(InputError, match=r"w0\.npy: holds \(6,\) a frame, others \(5,\)"):
        index.inputs(*read)
