"""From raw videos to scores, pages and overlays, with a really trained small model."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from clips import damage, growing, write_clip

from mmcl.cli.main import main
from mmcl.datasets.sources.synthetic_videos import make_clips
from mmcl.datasets.sources.xd_violence_features import find_features
from mmcl.features.extract import extract_file
from mmcl.features.extractor_set import create_extractors
from mmcl.inference import load_predictor
from mmcl.inference.videos import score_features
from mmcl.media.snippets import read_snippets
from mmcl.types import Recording

SHARED = Path(__file__).parents[3] / "shared" / "data"
OPTIONS = [
    *(
        "--model.architecture",
        "mmcl",
        "--model.dim",
        "16",
        "--model.n-layers",
        "0",
        "--model.attention-window",
        "2",
    ),
    *(
        "--optim.epochs",
        "2",
        "--loader.batch-size",
        "4",
        "--trainer.tracker",
        "none",
        "--teacher.unimodal",
        "",
    ),
    *("--data.validation-share", "0", "--snippets.max-snippets", "0", "--loss.mil.unimodal", "1"),
]


@pytest.fixture(scope="module")
def demo_dir(tmp_path_factory) -> Path:
    """Clips, their features and two small models: macil-sd's network and ours, trained with dropout of
    modalities."""
    folder = tmp_path_factory.mktemp("av")
    for number, part in enumerate(("train", "test")):
        make_clips(folder / "clips" / part, 4, 10.0, number, part)
    assert main(["extract", str(folder / "clips"), "--out", str(folder / "features")]) == 0
    for part in ("train", "test"):
        names = sorted(p.name for p in (folder / "features").rglob(f"{part}*__0.npy"))
        (folder / "features" / f"visual_{part}.list").write_text("\n".join(names))
    shutil.copy(folder / "clips/test/annotations.txt", folder / "features")
    words = ["train", "xd-violence", "--data", str(folder / "features"), *OPTIONS]
    assert main([*words, "--out", str(folder / "model"), "--augment.modality-dropout", "0.5"]) == 0
    words = words[: words.index("--model.architecture")]
    small = [
        "--model.dim",
        "16",
        "--optim.epochs",
        "1",
        "--loader.batch-size",
        "4",
        "--trainer.tracker",
        "none",
    ]
    assert main([*words, *small, "--data.validation-share", "0", "--out", str(folder / "macil")]) == 0
    return folder


@pytest.fixture
def mixed(tmp_path) -> Path:
    """A folder of good and bad videos."""
    folder = tmp_path / "in"
    folder.mkdir()
    write_clip(folder / "größe #1 b.mp4", 120)
    write_clip(folder / "silent.mkv", 72, audio=None)
    write_clip(folder / "blind.m4a", 72, video=None)
    write_clip(folder / "short.mp4", 12)
    (folder / "text.mp4").write_text("text")
    (folder / "empty.mp4").touch()
    source = write_clip(tmp_path / "whole.mp4", 240)
    damage(source, folder / "damaged.mp4", "video")
    damage(source, folder / "noise.mp4", "audio")
    (folder / "truncated.mp4").write_bytes(source.read_bytes()[:9000])
    return folder


def test_scores_are_those_of_the_features(demo_dir, tmp_path):
    clip = next((demo_dir / "clips/test").glob("*.mp4"))
    assert main(["score", str(demo_dir / "model"), str(clip), "--out", str(tmp_path)]) == 0
    content = json.loads((tmp_path / f"{clip.stem}.json").read_text())
    predictor = load_predictor(demo_dir / "model", "cpu")
    x = {
        "visual": np.load(demo_dir / f"features/test/{clip.stem}__0.npy"),
        "audio": np.load(demo_dir / f"features/test/{clip.stem}__log-mel.npy"),
    }
    (expected,) = predictor.predict([Recording("x", x, dict.fromkeys(x, 1.5))])
    scores = np.array([[s["joint"][0], s["visual"][0], s["audio"][0]] for s in content["snippets"]])
    np.testing.assert_allclose(scores[:, 0], expected.score[:, 0], atol=2e-6)
    np.testing.assert_allclose(scores[:, 2], expected.modality_score["audio"][:, 0], atol=2e-6)
    assert [s["start_s"] for s in content["snippets"][:3]] == [0.0, 0.667, 1.333]
    rows = (tmp_path / f"{clip.stem}.csv").read_text().splitlines()
    assert rows[0] == "start_s,end_s,joint,visual,audio"
    assert len(rows) == 1 + len(content["snippets"])


def test_one_bad_video_stops_nothing(demo_dir, mixed, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["score", str(demo_dir / "model"), str(mixed), "--out", str(out)]) == 1
    printed = capsys.readouterr()
    assert "3 of 9 scored" in printed.out
    for name in ("short", "text", "empty", "damaged", "noise", "truncated"):
        assert not list(out.glob(f"{name}*"))
        assert f"{mixed / name}.mp4: " in printed.err
        assert len([x for x in printed.out.splitlines() if x.startswith(f"failed: {mixed / name}.mp4")]) == 1
    assert "silent.mkv: has no audio stream, scored by visual alone" in printed.out
    assert "blind.m4a: has no visual stream, scored by audio alone" in printed.out
    silent = json.loads((out / "silent.json").read_text())
    assert set(silent["snippets"][0]) == {"start_s", "end_s", "joint", "visual"}
    assert silent["scored by"] == ["visual"]
    assert (out / "größe #1 b.html").exists()
    assert "<audio" in (out / "blind.html").read_text()


@pytest.mark.parametrize("model", ["model", "macil"])
def test_a_missing_modality_is_scored_by_the_other(demo_dir, model, tmp_path):
    clip = next((demo_dir / "clips/test").glob("*.mp4"))
    extracted = extract_file(clip, create_extractors())
    predictor = load_predictor(demo_dir / model, "cpu")
    for m in ("visual", "audio"):
        alone = score_features("x", {m: extracted.features[m]}, predictor)
        assert list(alone.modality_score) == [m]
        assert np.isfinite(alone.score).all()


def test_json_lines_alone_on_standard_output(demo_dir, mixed, tmp_path, capsys):
    assert main(["score", str(demo_dir / "model"), str(mixed), "--json", "-"]) == 1
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert {x["name"] for x in lines} == {"größe #1 b", "silent", "blind"}
    assert "failed:" in printed.err
    assert not (demo_dir / "model" / "scores").exists()


def test_overlay_and_embedding(demo_dir, tmp_path):
    clip = write_clip(tmp_path / "a.avi", 96, video="mpeg4", audio="mp2")
    words = ["score", str(demo_dir / "model"), str(clip), "--out", str(tmp_path / "out")]
    assert main([*words, "--overlay"]) == 0
    media, snippets = read_snippets(tmp_path / "out" / "a-scored.mp4", 64)
    assert media.video.codec == "h264"
    assert media.audio.codec == "aac"
    assert media.video.duration_s == pytest.approx(5 * 2 / 3, abs=0.05)  # (96 - 1) // 16 snippets
    assert len(list(snippets)) == 4
    html = (tmp_path / "out" / "a.html").read_text()
    assert "data:video/mp4;base64," in html
    assert "Browsers do not play .avi files" in html
    mp4 = write_clip(tmp_path / "b #1.mp4", 96)
    assert main(["score", str(demo_dir / "model"), str(mp4), "--out", str(tmp_path / "out"), "--embed-mb", "0"]) == 0
    html = (tmp_path / "out" / "b #1.html").read_text()
    assert 'src="../b%20%231.mp4"' in html
    assert main([*words[:2], str(mp4), "--out", str(tmp_path / "bare"), "--no-page"]) == 0
    assert not list((tmp_path / "bare").glob("*.html"))


def test_refusals(demo_dir, tmp_path, capsys):
    clip = str(next((demo_dir / "clips/test").glob("*.mp4")))
    model = str(demo_dir / "model")
    for words, message in (
        (["--visual", "i3d"], "was trained on visual features of descriptors"),
        (["--threshold", "0.2"], "low <= threshold"),
        (["--out", "/proc/none"], "cannot be written"),
        (["--device", "nowhere"], "not usable here"),
    ):
        assert main(["score", model, clip, "--out", str(tmp_path), *words]) == 1
        assert message in capsys.readouterr().err
    assert main(["score", model, str(tmp_path / "none.mp4")]) == 1
    assert "no such file" in capsys.readouterr().err
    unknown = tmp_path / "unknown"
    shutil.copytree(demo_dir / "model", unknown)
    config = json.loads((unknown / "config.json").read_text())
    config["extractors"] = {}
    (unknown / "config.json").write_text(json.dumps(config))
    assert main(["score", str(unknown), clip, "--out", str(tmp_path / "x")]) == 1
    assert "does not say what made its visual features; say so with --visual NAME" in capsys.readouterr().err
    extractor_options = ["--visual", "descriptors", "--audio", "log-mel"]
    assert main(["score", str(unknown), clip, "--out", str(tmp_path / "x"), *extractor_options]) == 0


def test_features_of_another_extractor_are_refused(demo_dir, tmp_path, capsys):
    other = tmp_path / "features"
    shutil.copytree(demo_dir / "features", other)
    card = json.loads((other / "store.json").read_text())
    card["extractors"]["visual"]["name"] = "i3d"
    (other / "store.json").write_text(json.dumps(card))
    assert main(["evaluate", str(demo_dir / "model"), "--data", str(other)]) == 1
    assert "was trained on visual features of another extractor (name descriptors, not i3d" in capsys.readouterr().err
    words = ["train", "xd-violence", "--data", str(other), "--out", str(tmp_path / "run"), *OPTIONS]
    assert main([*words, "--start-from", str(demo_dir / "model")]) == 1
    assert "another extractor" in capsys.readouterr().err


def test_evaluate_without_a_modality(demo_dir, capsys):
    assert main(["evaluate", str(demo_dir / "model"), "--without", "audio"]) == 0
    printed = capsys.readouterr().out
    assert "test, without audio" in printed
    assert "visual alone" in printed
    assert "audio alone" not in printed
    assert main(["evaluate", str(demo_dir / "model"), "--without", "smell"]) == 1
    before = json.loads((demo_dir / "model" / "metrics.json").read_text())
    assert not any("without" in name for name in before)


def test_one_name_a_video(demo_dir):
    assert [v.name for v in find_features(demo_dir / "features", 1)["test"]] == [
        p.stem for p in sorted((demo_dir / "clips/test").glob("*.mp4"))
    ]


@pytest.mark.skipif(not (SHARED / "video").exists(), reason="the real videos are not here")
def test_real_videos_end_to_end(demo_dir, tmp_path, capsys):
    """6-channel sound, extra data streams, sound shorter than the picture."""
    sources = [str(SHARED / "video"), str(SHARED / "xd_violence" / "clips" / "*.mp4")]
    assert main(["score", str(demo_dir / "macil"), *sources, "--out", str(tmp_path)]) == 0
    assert "10 of 10 scored" in capsys.readouterr().out
    for path in tmp_path.glob("*.json"):
        content = json.loads(path.read_text())
        assert content["scored by"] == ["visual", "audio"]


def test_sound_of_the_overlay_is_in_time(demo_dir, tmp_path):
    clip = write_clip(tmp_path / "a.mp4", 120, click_s=(1.0, 2.5))
    assert (
        main(["score", str(demo_dir / "model"), str(clip), "--out", str(tmp_path / "o"), "--overlay", "--no-page"]) == 0
    )
    with av.open(str(tmp_path / "o" / "a-scored.mp4")) as file:
        pieces = [(f.time, f.to_ndarray()[0]) for f in file.decode(audio=0)]
    sound = np.concatenate([x for _, x in pieces])
    loud = np.flatnonzero(np.abs(sound) > 0.2) / 16000 + pieces[0][0]
    assert loud[0] == pytest.approx(1.0, abs=0.03)
    assert loud[loud > 2][0] == pytest.approx(2.5, abs=0.03)


def test_names_of_all_kinds(demo_dir, tmp_path, capfd):
    folder = tmp_path / "in"
    folder.mkdir()
    source = write_clip(tmp_path / "source.mp4", 24)
    names = [
        "b $x_$ y.mp4",
        "<script>alert(1)<b>.mp4",
        "視頻.mp4",
        os.fsdecode(b"raw\xff.mp4"),
        "part: one.mp4",
    ]
    for name in names:
        shutil.copy(source, folder / name)
    assert main(["score", str(demo_dir / "model"), str(folder), "--out", str(tmp_path / "out")]) == 0
    assert f"{len(names)} of {len(names)} scored" in capfd.readouterr().out
    assert len(list((tmp_path / "out").glob("*.html"))) == len(names) + 1  # and index.html
    assert "<script>alert" not in (tmp_path / "out" / "<script>alert(1)<b>.html").read_text()
    assert main(["score", str(demo_dir / "model"), str(folder), "--json", "-"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert {json.loads(line)["name"] for line in lines} == {Path(name).stem for name in names}


def test_sources_are_never_overwritten(demo_dir, tmp_path, capsys):
    clip = write_clip(tmp_path / "a.mp4", 24)
    assert main(["score", str(demo_dir / "model"), str(clip), "--out", str(tmp_path)]) == 1
    assert "holds a.mp4, one of the videos" in capsys.readouterr().err


def test_overlay_of_a_silent_video(demo_dir, tmp_path):
    clip = write_clip(tmp_path / "a.mp4", 72, audio=None)
    assert main(["score", str(demo_dir / "model"), str(clip), "--out", str(tmp_path / "o"), "--overlay"]) == 0
    media, snippets = read_snippets(tmp_path / "o" / "a-scored.mp4", 64)
    assert media.audio is None
    assert len(list(snippets)) == 3


def test_a_video_that_changes_while_it_is_scored(demo_dir, tmp_path, monkeypatch, capsys):
    import mmcl.inference.videos as module

    (tmp_path / "in").mkdir()
    path = write_clip(tmp_path / "in" / "a.ts", 96)
    monkeypatch.setattr(module, "extract_file", growing(module.extract_file))
    words = ["score", str(demo_dir / "model"), str(path), "--out", str(tmp_path / "out")]
    assert main(words) == 1
    assert "changed while it was read; wait until it is written, or give --growing" in capsys.readouterr().err
    assert main([*words, "--growing"]) == 0
    assert json.loads((tmp_path / "out" / "a.json").read_text())["growing"] is True
