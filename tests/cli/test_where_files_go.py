"""Files are written only where they may be, other users' runs say nothing of what is read, and no name steers a
terminal."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

from mmcl.cli.main import main
from mmcl.errors import FileError, InputError
from mmcl.inference.score_each import ScoredRecording
from mmcl.io import atomic_write, check_file_name, check_writable, escape_controls, place_below
from mmcl.reporting.score_files import ScoreFiles
from mmcl.types import SnippetScores

NAMES = ["../config", "/abs/x", "a/../../b", "a//b", "", ".", "a\x00b", "a\x1b[2J", "a\nb", "a\\b", "CON", "x/nul.txt"]


def scored(name: str) -> ScoredRecording:
    start, score = np.arange(3.0), np.full((3, 1), 0.5)
    return ScoredRecording(SnippetScores(name, start, start + 1, score, {}, score.max(0), {}, ("event",)))


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_elsewhere(name):
    with pytest.raises(InputError, match="name"):
        check_file_name(name)


def test_good_names():
    for name in ("day/clip 1", "視頻", "a: b", "конец.2", "console"):
        check_file_name(name)


def test_results_stay_below_their_folder(tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    out.mkdir()
    (out / "link").symlink_to(elsewhere)
    writer = ScoreFiles(out)
    for name in ("../up", "link/x", "a/../../up"):
        with pytest.raises(FileError, match="would lie outside of"):
            writer.write(scored(name))
    assert not list(elsewhere.iterdir())
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == []
    writer.write(scored("day/x"))
    assert (out / "day" / "x.json").exists()
    assert place_below(out, "..x").name == "..x"


def test_results_replace_earlier_results_alone(tmp_path):
    writer = ScoreFiles(tmp_path)
    (tmp_path / "mine.csv").write_text("time_s,x\n")
    (tmp_path / "notes.json").write_text('{"a": 1}')
    for name in ("mine", "notes"):
        with pytest.raises(FileError, match="is there, and holds no earlier scores"):
            writer.write(scored(name))
    assert (tmp_path / "mine.csv").read_text() == "time_s,x\n"
    writer.write(scored("other"))
    writer.write(scored("other"))


def test_no_results_into_the_folder_of_a_run(trained, dataset_dir, tmp_path, capsys):
    before = {p.name: p.read_bytes() for p in trained.iterdir() if p.is_file()}
    video = tmp_path / "config.mp4"
    video.write_bytes(b"no video")
    for words in (
        ["score", str(trained), str(dataset_dir), "--out", str(trained)],
        ["extract", str(video), "--out", str(trained)],
    ):
        assert main(words) == 1
        assert f"{trained}: holds a run; choose another --out" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in trained.iterdir() if p.is_file()} == before


def test_the_paths_of_another_users_run_are_not_read(trained, tmp_path, capsys, monkeypatch):
    """A crafted run names a file of this machine as its data."""
    secret = tmp_path / "secret.csv"
    secret.write_text("name,label,wrist\nroot:x:0:0\n")
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    content = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**content, "data": str(secret)}))
    for words in (["evaluate", str(run)], ["diagnose", str(run)]):
        assert main(words) == 1
        assert "was not trained by you; give --data" in capsys.readouterr().err
    assert main(["report", str(run)]) == 0
    assert "timeline of" not in (run / "report.html").read_text()
    assert main(["evaluate", str(trained)]) == 0  # this user's
    monkeypatch.setenv("MMCL_CACHE", str(tmp_path / "other-user"))
    assert main(["evaluate", str(trained)]) == 1


def test_lists_of_a_data_set_lie_in_it(tmp_path):
    from mmcl.datasets.sources.feature_lists import find_list

    for named in ("/etc/passwd", "../other.list"):
        with pytest.raises(FileError, match="is not below the data set's folder"):
            find_list(tmp_path, "train", named)


def test_names_do_not_steer_the_terminal(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    name = "a\x1b[2J\x1b]0;owned\x07\nmmcl: all is well\u202e.mp4"
    (folder / name).write_bytes(b"no video")
    (folder / "store").mkdir()
    assert main(["extract", str(folder), "--out", str(tmp_path / "store")]) == 1
    assert main(["extract", str(folder / name), str(folder / "nowhere\x1b[2J"), "--out", str(tmp_path / "store")]) == 1
    shown = capsys.readouterr()
    for text in (shown.out, shown.err):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert not any(line.startswith("mmcl: all is well") for line in text.splitlines())
    assert "a\\x1b[2J" in shown.out
    assert escape_controls("é 視 \t") == "é 視 \\t"


def test_the_umask_decides_who_reads_weights(trained, tmp_path):
    before = os.umask(0o027)
    try:
        assert main(["share", str(trained), "--out", str(tmp_path / "model")]) == 0
        atomic_write(tmp_path / "key", Path.touch, private=True)
    finally:
        os.umask(before)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "model").iterdir()}
    assert set(modes.values()) == {0o640}
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_names_as_long_as_a_file_system_allows(tmp_path):
    path = tmp_path / ("é" * 120 + ".json")
    atomic_write(path, lambda file: file.write_text("{}"))
    assert path.read_text() == "{}"


def test_an_output_that_is_another_file(trained, tmp_path, capsys):
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    with pytest.raises(FileError, match="is a file; expected a folder"):
        check_writable(other)
    assert main(["export", str(trained), "--out", str(other)]) == 1
    assert "let --out end in .onnx" in capsys.readouterr().err
    assert other.read_text() == "mine"
