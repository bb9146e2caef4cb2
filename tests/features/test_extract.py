"""Store and extraction on real files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import growing, write_clip
from forked import run_pair

from mmcl.cli.main import main
from mmcl.datasets.sources.xd_violence_features import find_features
from mmcl.errors import FileError
from mmcl.features.cards import ExtractorCard
from mmcl.features.extract import extract_file
from mmcl.features.extractor_set import create_extractors
from mmcl.features.extractors.descriptors import Descriptors
from mmcl.features.extractors.log_mel import LogMel
from mmcl.features.store import open_store
from mmcl.media.find import find_media
from mmcl.media.snippets import read_snippets


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    write_clip(folder / "a b#1_label_A.mp4", 120)
    write_clip(folder / "größe_label_G-0-0.mkv", 72)
    return folder


def test_extract_resumes_and_names_what_failed(videos, tmp_path, capsys):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "text.mp4").write_text("no video")
    (bad / "empty.webm").touch()
    write_clip(bad / "short.mp4", 10)
    write_clip(bad / "silent_label_A.mp4", 48, audio=None)
    store = tmp_path / "store"
    words = ["extract", str(videos), str(bad), "--out", str(store)]
    assert main(words) == 1
    printed = capsys.readouterr()
    for name, why in (
        ("text.mp4", "not a readable"),
        ("empty.webm", "is empty"),
        ("short.mp4", "shorter than"),
    ):
        (line,) = [x for x in printed.out.splitlines() if name in x]
        assert why in line
    assert "3 of 6 files failed" in printed.err
    assert "silent_label_A.mp4: has no audio stream" in printed.out + printed.err
    x = np.load(store / "a b#1_label_A__0.npy")
    assert x.shape == ((120 - 1) // 16, 1024)
    assert np.load(store / "a b#1_label_A__log-mel.npy").shape == (7, 128)
    assert not (store / "silent_label_A__log-mel.npy").exists()
    assert not list(store.glob(".*part"))
    before = (store / "a b#1_label_A__0.npy").stat().st_mtime_ns
    assert main(["extract", str(videos), "--out", str(store)]) == 0
    assert "2 were there already" in capsys.readouterr().out
    assert (store / "a b#1_label_A__0.npy").stat().st_mtime_ns == before
    assert main(["extract", str(videos), "--out", str(store), "--audio", "none"]) == 1
    assert "other streams" in capsys.readouterr().err


def test_features_are_those_of_the_snippets(videos, tmp_path):
    path = videos / "a b#1_label_A.mp4"
    done = extract_file(path, create_extractors())
    snippets = list(read_snippets(path, Descriptors.short_side)[1])
    visual = torch.cat([Descriptors()(torch.from_numpy(s.frames.copy())[None]) for s in snippets])
    audio = torch.cat([LogMel()(torch.from_numpy(s.audio.copy())[None]) for s in snippets])
    np.testing.assert_allclose(done.features["visual"], visual.numpy(), atol=1e-6)
    np.testing.assert_allclose(done.features["audio"], audio.numpy(), atol=1e-6)
    assert main(["extract", str(path), "--out", str(tmp_path), "--half"]) == 0
    half = np.load(tmp_path / f"{path.stem}__0.npy")
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, visual[:, 0].numpy(), atol=2e-3)


def test_extract_shares_files_among_processes(videos, tmp_path):
    for rank in range(2):
        env = {**os.environ, "RANK": str(rank), "WORLD_SIZE": "2"}
        words = [sys.executable, "-m", "mmcl", "extract", str(videos), "--out", str(tmp_path)]
        done = subprocess.run(words, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert f"1 extracted, 0 were there already, 0 failed (share {rank + 1} of 2)" in done.stdout
    assert len(list(tmp_path.glob("*__info.json"))) == 2
    features = find_features(tmp_path, 1)
    assert [v.name for v in features["train"]] == ["größe_label_G-0-0", "a b#1_label_A"]
    info = json.loads((tmp_path / "größe_label_G-0-0__info.json").read_text())
    assert info["streams"] == ["visual", "audio"]


def test_sources(videos, tmp_path):
    assert len(find_media([videos])) == 2
    assert [f.path for f in find_media([f"{videos}/*.mkv"])] == [videos / "größe_label_G-0-0.mkv"]
    with pytest.raises(FileError, match="no such file"):
        find_media([tmp_path / "*.mp4"])
    (tmp_path / "a b#1_label_A.avi").touch()
    assert {f.name for f in find_media([videos, tmp_path])} == {
        "a b#1_label_A.mp4", "a b#1_label_A.avi", "größe_label_G-0-0"
    }  # fmt: skip


def test_a_store_has_one_maker(tmp_path):
    cards = {"visual": ExtractorCard("i3d", 1024, "aa"), "audio": ExtractorCard("vggish", 128, "bb")}
    open_store(tmp_path, cards)
    open_store(tmp_path, cards)
    with pytest.raises(FileError, match="weights aa, not cc"):
        open_store(tmp_path, {**cards, "visual": ExtractorCard("i3d", 1024, "cc")})
    with pytest.raises(FileError, match="name i3d, not s3d"):
        open_store(tmp_path, {**cards, "visual": ExtractorCard("s3d", 1024, "aa")})


def test_extract_under_torchrun_loses_nothing_to_a_bad_file(tmp_path):
    """torchrun ends all processes when one fails: none may leave before all are done."""
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("a", "c"):
        (videos / f"{name}_label_A.mp4").write_text("no video")
    for name in ("b", "d"):
        write_clip(videos / f"{name}_label_A.mp4", 240)
    done = run_pair(["extract", str(videos), "--out", str(tmp_path / "store"), "--jobs", "1"])
    assert done.returncode != 0
    assert "2 of 4 files failed" in done.stderr
    for name in ("a", "c"):
        assert f"{name}_label_A.mp4  not a readable" in done.stdout
    assert len(list((tmp_path / "store").glob("*__info.json"))) == 2


def test_extract_goes_on_whatever_a_file_does(tmp_path, capsys):
    """In the store's own folder, with a name too long for its results, with another file of its name."""
    write_clip(tmp_path / "b_label_A.mp4", 24)
    shutil.copy(tmp_path / "b_label_A.mp4", tmp_path / f"{'x' * 246}.mp4")
    (tmp_path / "a.mp4").write_text("no video")
    (tmp_path / "._b.mp4").write_text("a resource fork")
    assert main(["extract", str(tmp_path), "--out", str(tmp_path), "--jobs", "1"]) == 1
    assert "1 extracted, 0 were there already, 2 failed" in capsys.readouterr().out
    other = tmp_path / "other"
    other.mkdir()
    write_clip(other / "b_label_A.mp4", 72)
    assert main(["extract", str(other), "--out", str(tmp_path)]) == 1
    assert "the store holds features of another file of this name" in capsys.readouterr().out


def test_options_without_effect_are_refused(capsys, tmp_path, videos):
    for words in (
        ["--pca", "x.npz"],
        ["--visual-weights", "x.pt"],
        ["--audio-weights", "x.pt"],
        ["--jobs", "0"],
    ):
        assert main(["extract", str(videos), "--out", str(tmp_path), *words]) == 1
        assert words[0] in capsys.readouterr().err


def test_racing_writers_do_not_meet(tmp_path):
    cards = {"visual": ExtractorCard("i3d", 1024, "aa")}
    code = "import sys; from pathlib import Path; from mmcl.features.store import open_store\n"
    code += "from mmcl.features.cards import ExtractorCard\n"
    code += "for i in range(60): open_store(Path(sys.argv[1]) / str(i), {'visual': ExtractorCard('i3d', 1024, 'aa')})"
    both = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.PIPE) for _ in "ab"]
    assert [p.communicate()[1][-300:] for p in both] == [b"", b""]
    open_store(tmp_path / "0", cards)
    assert not list(tmp_path.rglob("*.part"))


def test_a_file_that_grows_while_it_is_read_is_not_kept(tmp_path, monkeypatch):
    import mmcl.features.extract_files as module

    path = write_clip(tmp_path / "a.ts", 96)
    monkeypatch.setattr(module, "extract_file", growing(module.extract_file))
    words = ["extract", str(path), "--out", str(tmp_path / "store"), "--visual", "motion"]
    assert main(words) == 1
    assert not list((tmp_path / "store").glob("*.npy"))
    monkeypatch.undo()
    assert main(words) == 0
    other = write_clip(tmp_path / "b.ts", 96, click_s=(1.0,))
    data = other.read_bytes()[: path.stat().st_size].ljust(path.stat().st_size, b"\0")
    path.write_bytes(data)  # another recording of the same name and size
    assert main(words) == 1
    (tmp_path / "store" / "a__info.json").unlink()
    (tmp_path / "store" / "a__log-mel.npy").unlink()
    assert main(words) == 0
    assert (tmp_path / "store" / "a__log-mel.npy").exists()
