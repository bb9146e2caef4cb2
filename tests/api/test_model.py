"""mmcl.load(...).score(...): the scores of the command, from whatever the recording comes."""

from __future__ import annotations

import json

import av
import numpy as np
import pandas
import pytest
from clips import write_clip

import mmcl
from mmcl.cli.main import main
from mmcl.errors import FileError, InputError
from mmcl.readers.utd_mhad_mat import read_mat
from mmcl.types import Recording


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """3 s at 25 frames a second, lossless in both streams."""
    path = tmp_path_factory.mktemp("clip") / "clip.mkv"
    return write_clip(path, 75, fps=25, video="ffv1", audio="pcm_s16le")


def decode(path):
    with av.open(str(path)) as container:
        frames = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    with av.open(str(path)) as container:
        sound = np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], 1)[0]
    return frames, sound


def test_a_file_is_scored_as_by_the_command(video_model, clip, tmp_path):
    assert main(["score", str(video_model.folder), str(clip), "--out", str(tmp_path / "a")]) == 0
    written = json.loads((tmp_path / "a/clip.json").read_text())
    scores = video_model.score(clip)
    assert scores.to_dict()["snippets"] == written["snippets"]
    assert scores.to_dict()["recording"] == written["recording"]
    saved = scores.save(tmp_path / "b")
    assert json.loads(saved.read_text()) == written
    assert {p.name for p in (tmp_path / "b").iterdir()} == {p.name for p in (tmp_path / "a").iterdir()}


def test_arrays_are_scored_as_their_file(video_model, clip):
    frames, sound = decode(clip)
    assert sound.dtype == np.int16
    of_file = video_model.score(str(clip))
    rates = {"visual": np.float32(25), "audio": np.int64(44_100)}
    for samples in (sound, sound / 32768, np.stack([sound, sound], 1), sound.astype(np.int32) << 16):
        of_arrays = video_model.score({"visual": frames, "audio": samples}, rate_hz=rates)
        assert len(of_arrays) == len(of_file) == 4
        np.testing.assert_allclose(of_arrays.snippets.score, of_file.snippets.score, atol=2e-3)
    silent = video_model.score({"visual": frames}, rate_hz=25.0, name="silent")
    assert "has no audio stream" in silent.notes[0]
    assert silent.name == "silent"


def test_features_are_scored_as_their_file(video_model, clip):
    extracted = video_model.video_scorer.extractors
    from mmcl.features.extract import extract_file

    features = extract_file(clip, extracted).features
    scores = video_model.score({"visual": features["visual"][:, 0], "audio": features["audio"]})
    np.testing.assert_allclose(scores.snippets.score, video_model.score(clip).snippets.score, atol=1e-6)
    with pytest.raises(InputError, match="visual is no array of features, but others are"):
        video_model.score({"visual": decode(clip)[0], "audio": features["audio"]}, rate_hz=25.0)


def test_folders_of_features_that_do_not_fit(video_model, tmp_path):
    spec = {m: s.shape[0] for m, s in video_model.info.inputs.items()}
    rng = np.random.default_rng(0)
    good = {"a__0": rng.random((4, spec["visual"])), "a__1": rng.random((4, spec["visual"]))}
    good |= {"a__logmel": rng.random((4, spec["audio"]))}

    def score(**changed):
        for path in tmp_path.glob("*.npy"):
            path.unlink()
        for name, x in (good | changed).items():
            np.save(tmp_path / f"{name}.npy", x)
        return video_model.score(tmp_path)

    crops = [video_model.score({"visual": good[f"a__{i}"], "audio": good["a__logmel"]}) for i in (0, 1)]
    np.testing.assert_allclose(score().snippets.score, np.mean([c.snippets.score for c in crops], axis=0), atol=1e-6)
    for changed, message in (
        ({"a__pann": good["a__logmel"]}, "a__logmel.npy and a__pann.npy are both sound of a"),
        ({"a__1": good["a__1"][:3]}, "a__1.npy: holds 3 rows, a__0.npy 4"),
        ({"a__0": good["a__0"].astype(complex)}, "a__0.npy: holds shape .* of complex128"),
        ({"a__0": good["a__0"] > 0.5}, "of bool"),
        ({"a__0": good["a__0"].astype(str)}, "of <U"),
    ):
        with pytest.raises(FileError, match=message):
            score(**changed)


def test_lists_and_folders_are_lazy_and_outlive_a_bad_file(video_model, clip, tmp_path, capsys):
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    started = []

    def sources():
        for path in (clip, bad, clip):
            started.append(path)
            yield path

    scores = video_model.score(sources())
    assert started == []
    assert len(next(scores)) == 4
    assert len(started) == 1
    with pytest.raises(FileError, match=r"bad\.mp4"):
        next(scores)
    assert next(scores).name == "clip"
    with pytest.raises(StopIteration):
        next(scores)
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / "in" / f"{name}.mkv").write_bytes(clip.read_bytes())
    assert [s.name for s in video_model.score_each(tmp_path / "in")] == ["a", "b"]
    for i in range(12):
        (tmp_path / "in" / f"Z{i:02}.mp4").write_text("no video")
    failed: dict[str, str] = {}
    assert [s.name for s in video_model.score_each(tmp_path / "in", failed=failed)] == ["a", "b"]
    assert list(failed) == [str(tmp_path / "in" / f"Z{i:02}.mp4") for i in range(12)]
    assert all(": not a readable video" in reason for reason in failed.values())
    assert main(["score", str(video_model.folder), str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert printed.out.count("failed: ") + printed.err.count("failed: ") == 13  # one a file, and the last line
    assert "12 of 14 videos failed: " in printed.err
    assert " | and 2 more, each named above" in printed.err
    for i in range(12):
        (tmp_path / "in" / f"Z{i:02}.mp4").unlink()
    with pytest.raises(InputError, match="names 2 recordings; use score_each"):
        video_model.score(tmp_path / "in")


def test_what_is_done_with_scores(video_model, clip, tmp_path):
    scores = video_model.score(clip)
    frame = scores.to_pandas()
    assert list(frame.columns) == ["start_s", "end_s", "joint", "visual", "audio"]
    np.testing.assert_array_equal(frame["joint"], scores.snippets.score[:, 0])
    low = float(frame["joint"].min()) / 2
    (event,) = scores.events(threshold=low)
    assert (event.start_s, event.end_s) == (0.0, pytest.approx(frame["end_s"].iloc[-1]))
    assert scores.events(threshold=1.0) == []
    with pytest.raises(InputError, match="expected 0 <= low <= threshold"):
        scores.events(threshold=0.2, low=0.4)
    figure = scores.plot(tmp_path / "curves.svg")
    assert len(figure.axes) == 3
    assert "<svg" in (tmp_path / "curves.svg").read_text()
    with pytest.raises(FileError, match=r"expected a \.png"):
        scores.plot(tmp_path / "curves.what")
    html = scores._repr_html_()
    assert html.startswith("<div><b>clip: ")
    assert "data:image/png;base64," in html


@pytest.mark.parametrize(
    ("source", "rate", "message"),
    [
        ({"visual": np.zeros((9, 8, 8), np.uint8)}, 25.0, "frames: expected"),
        ({"visual": np.zeros((9, 8, 8, 3), np.float32)}, 25.0, "frames: expected .* of uint8"),
        ({"visual": np.zeros((99, 32, 32, 3), np.uint8)}, None, "rate_hz of the frames"),
        ({"visual": np.zeros((9, 32, 32, 3), np.uint8)}, 25.0, "expected more than one snippet"),
        ({"audio": np.zeros((2, 48_000), np.float32)}, 16_000.0, "transpose them"),
        ({"audio": np.full(48_000, np.nan)}, 16_000.0, "1 is full scale"),
        ({"audio": np.full(48_000, 5000.0)}, 16_000.0, "1 is full scale"),
        ({"audio": np.arange(48_000) % 99}, 16_000.0, "int64 up to 98 does not tell its full scale; give int16"),
        ({"audio": np.full(48_000, 30_000, np.int32)}, 16_000.0, "int32 up to 30000 does not tell its full scale"),
        ({"visual": np.zeros((99, 0, 32, 3), np.uint8)}, 25.0, "frames: expected"),
        ({"visual": np.zeros((99, 32, 32, 3), np.uint8)}, [25], r"rate_hz: expected samples a second.*got \[25\]"),
        (
            Recording("r", {"ir": np.zeros((9, 1))}, {"ir": 1.0}),
            None,
            "takes visual, audio; .* holds ir",
        ),
        (Recording("r", {"audio": np.zeros((9, 3))}, {"audio": 1.5}), None, r"holds shape \(9, 3\); the model takes"),
        ({"thermal": np.zeros(9)}, 1.0, "takes visual, audio, got thermal"),
        ({}, None, "expected arrays of visual, audio, got none"),
        (np.zeros((9, 8, 8, 3), np.uint8), 25.0, "give arrays by modality"),
        ("nowhere.mp4", None, "no such file"),
        (7, None, "expected a path, arrays or a table, got int"),
    ],
)
def test_bad_sources(video_model, source, rate, message):
    with pytest.raises(Exception, match=message) as caught:
        video_model.score(source, rate_hz=rate)
    assert isinstance(caught.value, InputError)


def test_sensor_arrays_and_tables(trained, dataset_dir, tmp_path):
    model = mmcl.load(trained, "cpu")
    files = {m: next(iter(sorted((dataset_dir / m.capitalize()).glob("*.mat")))) for m in ("inertial", "skeleton")}
    x = {m: read_mat(path, m) for m, path in files.items()}
    seconds = len(x["inertial"]) / 50
    rates = {m: len(v) / seconds for m, v in x.items()}
    pair = tmp_path / "pair"
    pair.mkdir()
    for m, path in files.items():
        (pair / f"r_{m}.mat").write_bytes(path.read_bytes())
    of_file = model.score(pair)
    of_arrays = model.score(x, rate_hz=rates)
    np.testing.assert_allclose(of_arrays.snippets.score, of_file.snippets.score, atol=1e-6)
    flat = model.score({**x, "skeleton": x["skeleton"].reshape(-1, 60)}, rate_hz=rates)
    np.testing.assert_allclose(flat.snippets.score, of_file.snippets.score, atol=1e-6)
    table = pandas.DataFrame(x["inertial"], columns=list("abcdef"))
    table.index = pandas.Timestamp("2026-01-01") + pandas.to_timedelta(np.arange(len(table)) / rates["inertial"], "s")
    of_table = model.score({"inertial": table, "skeleton": x["skeleton"]}, rate_hz={"skeleton": rates["skeleton"]})
    np.testing.assert_allclose(of_table.snippets.score, of_file.snippets.score, atol=1e-3)
    with pytest.raises(InputError, match="expected rate_hz, its samples a second, got none"):
        model.score(x)
    with pytest.raises(InputError, match="do not match to 1 s or a tenth; check the rates"):
        model.score(x, rate_hz={"inertial": 50.0, "skeleton": 3.0})
    with pytest.raises(FileError, match="NaN or infinity at frame 3"):
        model.score(
            {**x, "inertial": np.where(np.arange(len(x["inertial"]))[:, None] == 3, np.nan, x["inertial"])},
            rate_hz=rates,
        )
    with pytest.raises(FileError, match="the model was trained on"):
        model.score({**x, "inertial": x["inertial"][:, :5]}, rate_hz=rates)
    for wrong in (-50.0, 0.0, np.nan, 1e9):
        with pytest.raises(FileError, match=r"rate .* Hz; expected 0.1 to 100000 Hz"):
            model.score(x, rate_hz={**rates, "inertial": wrong})
    with pytest.raises(FileError, match="holds masked values"):
        model.score({**x, "inertial": np.ma.masked_greater(x["inertial"], 1.0)}, rate_hz=rates)
    with pytest.raises(FileError, match="names a column twice"):
        model.score({**x, "inertial": table.set_axis(list("abcdea"), axis=1)}, rate_hz=rates)
    lacks_rate = Recording("r", {"inertial": x["inertial"]}, {})
    with pytest.raises(FileError, match="has no rate"):
        model.score(lacks_rate)


def test_recognition_has_no_events(wrist_run, tmp_path):
    """A recording shows one class: in Python, as JSON, and as annotations."""
    model = mmcl.load(wrist_run / "run", "cpu")
    scores = model.score(np.random.default_rng(0).standard_normal((200, 3)), rate_hz=50, name="r")
    assert scores.snippets.score.max() > 0.01
    assert scores.events(threshold=0.01) == scores.to_dict(threshold=0.01)["events"] == []
    scores.save(tmp_path / "scores")
    out = tmp_path / "events.csv"
    words = ["annotations", "export", str(tmp_path / "scores"), "--to", "csv", "--out", str(out)]
    assert main([*words, "--threshold", "0.01"]) == 0
    assert out.read_text().splitlines()[1:] == ["r,,,,"]


def test_no_such_model(tmp_path):
    with pytest.raises(FileError, match="no such folder; give a run's folder, or hub:OWNER/NAME"):
        mmcl.load(tmp_path / "nothing")
    with pytest.raises(InputError, match="expected torch or onnx"):
        mmcl.load(tmp_path, runtime="tensorrt")
