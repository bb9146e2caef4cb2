"""Events out to annotation programs and back: identical events; what is no annotation is refused by line."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from clips import write_clip

from mmcl.api.scores import Scores
from mmcl.cli.main import main
from mmcl.datasets.sources.manifest import read_manifest
from mmcl.errors import FileError, InputError
from mmcl.inference.score_each import ScoredRecording
from mmcl.interop.annotation_files import export_annotations, read_annotations, recordings_of_scores
from mmcl.interop.annotations import REGISTRY, AnnotatedRecording, Annotation, get_format
from mmcl.types import SnippetScores

HOP_S = 2 / 3
READ = [name for name in REGISTRY.names() if get_format(name).reads]


def scores_in(folder, n_recordings=12, classes=("fight", "fall & <run>")):
    """Random scores of recordings below a folder, as the command writes them."""
    rng = np.random.default_rng(0)
    for i in range(n_recordings):
        n = int(rng.integers(20, 400))
        start = np.arange(n) * HOP_S
        score = np.stack([np.convolve(rng.random(n), np.ones(4) / 4, "same") for _ in classes], 1)
        score *= i != 3  # one has no events
        scores = SnippetScores(f"day {i % 2}/clip-{i}", start, start + HOP_S, score, {}, score.max(0), {}, classes)
        Scores(ScoredRecording(scores, {"file": f"clip-{i}.mp4"})).save(folder, threshold=0.6, low=0.5)
    return recordings_of_scores(folder)


def times(recordings):
    return {r.name: sorted((a.start_s, a.end_s, a.label) for a in r.annotations) for r in recordings}


@pytest.mark.parametrize("name", READ)
def test_events_come_back_identical(tmp_path, name):
    written = scores_in(tmp_path / "scores")
    assert sum(len(r.annotations) for r in written) > 100
    export_annotations(written, name, tmp_path / ("out.json" if get_format(name).is_joint else "out"))
    if name == "label-studio":
        submit(tmp_path / "out.json")
    place = tmp_path / ("out.json" if get_format(name).is_joint else "out")
    back = times(read_annotations(place, name))
    for recording, events in times(written).items():
        assert len(back[recording]) == len(events)
        for mine, theirs in zip(events, back[recording], strict=True):
            assert mine[2] == theirs[2]
            assert np.round(mine[:2], 3).tolist() == np.round(theirs[:2], 3).tolist()
    assert back["day 1/clip-3"] == []


def test_addresses_of_videos_that_share_a_stem(tmp_path):
    scores = SnippetScores("a/clip.mp4", np.zeros(1), np.ones(1), np.ones((1, 1)), {}, np.ones(1), {}, ("fight",))
    Scores(ScoredRecording(scores, {"file": "clip.mp4"})).save(tmp_path)
    assert [r.file for r in recordings_of_scores(tmp_path)] == ["a/clip.mp4"]


def submit(path, keep=lambda task: True):
    """What Label Studio does where a person submits the predictions as they are."""
    tasks = json.loads(path.read_text())
    for n, task in enumerate(tasks):
        prediction = task.pop("predictions")[0]
        task["id"] = n
        task["annotations"] = [{"id": n, "was_cancelled": False, "result": prediction["result"]}] if keep(task) else []
    path.write_text(json.dumps(tasks))


@pytest.mark.parametrize("name", REGISTRY.names())
def test_every_format_is_written(tmp_path, name):
    written = scores_in(tmp_path / "scores", 3)
    files = export_annotations(written, name, tmp_path / "out")
    assert len(files) == (3 if not get_format(name).is_joint else 2 if name == "label-studio" else 1)
    text = files[0].read_text()
    assert text.count("fight") >= 5
    if name in ("elan", "label-studio"):
        ElementTree.fromstring((files[-1] if name == "label-studio" else files[0]).read_text())
    if name == "fiftyone":
        labels = json.loads(text)["labels"]
        assert labels["day 0/clip-0"][0]["timestamps"] == [
            written[0].annotations[0].start_s,
            written[0].annotations[0].end_s,
        ]
    if not get_format(name).reads:
        with pytest.raises(InputError, match="are written only"):
            read_annotations(files[0], name)


def test_score_correct_train_again(class_folders, tmp_path, capsys):
    """Events to Label Studio, a person's export to a manifest, and a training on it."""
    run, scores = tmp_path / "run", tmp_path / "scores"
    small = ["--optim.epochs", "1", "--model.dim", "8", "--trainer.tracker", "none", "--loader.batch-size", "4"]
    words = ["train", "events", "--data.normal", "calm", "--features.visual", "descriptors", *small]
    assert main([*words, "--data", str(class_folders), "--out", str(run)]) == 0
    assert main(["score", str(run), str(class_folders), "--out", str(scores)]) == 0
    tasks = tmp_path / "tasks.json"
    export = ["annotations", "export", str(scores), "--out", str(tasks), "--threshold", "0.01", "--low", "0.01"]
    assert main(export) == 0
    corrected = json.loads(tasks.read_text())
    submit(tasks, keep=lambda task: "camera-5" not in task["data"]["recording"])
    corrected = json.loads(tasks.read_text())
    for task in corrected:  # the person knows better
        if "calm" in task["data"]["recording"] and task["annotations"]:
            task["annotations"][0]["result"] = []
    tasks.write_text(json.dumps(corrected))
    capsys.readouterr()
    manifest = tmp_path / "corrected.csv"
    words_in = ["annotations", "import", str(tasks), "--videos", str(class_folders), "--out", str(manifest)]
    assert main(words_in) == 0
    assert "4 videos without annotations are left out: calm/camera-5/" in capsys.readouterr().out
    index = read_manifest(manifest)
    assert len(index.rows) == 20
    expected = {t["data"]["recording"]: t["annotations"][0]["result"] for t in corrected if t["annotations"]}
    for row in index.rows:
        ranges = [r["value"]["ranges"][0] for r in expected[row.name]]
        assert [(round(24 * e.start_s) + 1, round(24 * e.end_s)) for e in row.events] == [
            (r["start"], r["end"]) for r in ranges
        ]
        assert bool(row.labels) == bool(ranges) == ("wild" in row.name)
        assert row.media_files[0].is_file()
    assert main(words_in) == 1
    assert "it may hold your edits" in capsys.readouterr().err
    words = [w for w in words if w not in ("--data.normal", "calm")]
    assert main([*words, "--data", str(manifest), "--out", str(tmp_path / "second")]) == 0


def test_manifests_tell_the_class_of_an_event(tmp_path):
    (tmp_path / "m.csv").write_text("labels,wrist,events\nfight;fall,a.npy,1-2 fight;3.5-4 fall\n")
    (row,) = read_manifest(tmp_path / "m.csv").rows
    assert [(e.start_s, e.end_s, e.name) for e in row.events] == [(1.0, 2.0, "fight"), (3.5, 4.0, "fall")]
    (tmp_path / "m.csv").write_text("labels,wrist,events\nfight,a.npy,1-2 fall\n")
    with pytest.raises(FileError, match="line 2: events holds '1-2 fall', labels fight"):
        read_manifest(tmp_path / "m.csv")


def test_exports_of_label_studio(tmp_path):
    """Addresses of local and uploaded files, JSON-MIN, regions of sound in seconds."""
    local = {"id": 1, "data": {"video": "/data/local-files/?d=in/a%20b.mp4"}, "annotations": [
        {"result": [{"value": {"ranges": [{"start": 1, "end": 48}], "timelinelabels": ["x"]}}, {"type": "choices"}]}
    ]}  # fmt: skip
    sound = {"id": 2, "data": {"audio": "/data/upload/7/0a1b2c3d-c.wav"}, "annotations": [
        {"was_cancelled": True, "result": []},
        {"result": [{"value": {"start": 1.25, "end": 2.5, "labels": ["y"]}}]},
    ]}  # fmt: skip
    least = {"id": 3, "video": "d.mp4", "events": [{"ranges": [{"start": 25, "end": 36}], "timelinelabels": ["z"]}]}
    path = tmp_path / "export.json"
    path.write_text(json.dumps([local, sound, least]))
    assert read_annotations(path, "label-studio") == [
        AnnotatedRecording("in/a b", annotations=(Annotation(0.0, 2.0, "x"),)),
        AnnotatedRecording("c", annotations=(Annotation(1.25, 2.5, "y"),)),
        AnnotatedRecording("d", annotations=(Annotation(1.0, 1.5, "z"),)),
    ]


BAD = [
    ("label-studio", "a.json", "{", "not readable as JSON"),
    ("label-studio", "a.json", '{"id": 1}', "is no list of tasks"),
    ("label-studio", "a.json", '[{"id": 7, "data": {"x": 1}, "annotations": [{"result": []}]}]', "names no video"),
    ("label-studio", "a.json", '[{"id": 7, "data": 3}]', "task 7: is not as expected"),
    ("label-studio", "a.json", '[{"data": {"video": "a"}, "annotations": [{"result": []}, {"result": []}]}]', "has 2"),
    ("label-studio", "a.json", '[{"data": {"video": "a"}, "annotations": []}]', "no annotations that somebody made"),
    ("webvtt", "a.vtt", "1\n00:01.000 --> 00:02.000\nx\n", "does not begin with WEBVTT"),
    ("webvtt", "a.vtt", "WEBVTT\n\n00:01 --> 00:02.000\nx\n", "line 3: .* are no times"),
    ("webvtt", "a.vtt", "WEBVTT\n\n00:02.000 --> 00:01.000\nx\n", "line 3: from 2 to 1 s"),
    ("webvtt", "a.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\n\n", "line 3: has no label"),
    ("csv", "a.csv", "name,start_s,end_s\n", "has no column label"),
    ("csv", "a.csv", "name,start_s,end_s,label\na,1,x,y\n", "line 2: '1' to 'x'"),
    ("csv", "a.csv", "name,start_s,end_s,label\na,1,2,y;z\n", "holds a semicolon"),
    ("csv", "a.csv", "name,start_s,end_s,label\na,1,nan,y\n", "line 2: from 1 to nan s"),
    ("elan", "a.eaf", "<ANNOTATION_DOCUMENT>", "not readable as XML"),
    ("elan", "a.eaf", "<html/>", "is a html, no ANNOTATION_DOCUMENT"),
    ("elan", "a.eaf", '<!DOCTYPE x [<!ENTITY a "b">]><x/>', "declares entities"),
    ("elan", "a.eaf", "<ANNOTATION_DOCUMENT><TIER><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID='a1'/></ANNOTATION>"
     "</TIER></ANNOTATION_DOCUMENT>", "annotation a1: has no time"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "file", "text", "message"), BAD)
def test_what_is_no_annotation(tmp_path, name, file, text, message):
    (tmp_path / file).write_text(text)
    with pytest.raises(FileError, match=message):
        read_annotations(tmp_path / file, name)


def test_names_that_fit_no_video_or_several(tmp_path, capsys):
    for place in ("a/clip.mp4", "b/clip.mp4", "c/other.mp4"):
        (tmp_path / "in" / place).parent.mkdir(parents=True)
        write_clip(tmp_path / "in" / place, 24)
    words = ["annotations", "import", str(tmp_path / "a.csv"), "--from", "csv", "--videos", str(tmp_path / "in")]
    for rows, message in (
        ("clip,1,2,x", "holds 2 videos of the name clip"),
        ("nowhere,1,2,x", "holds 0 videos of the name nowhere"),
        ("c/other,1,2,x\nother,1,2,x", "is annotated as c/other and as other"),
    ):
        (tmp_path / "a.csv").write_text(f"name,start_s,end_s,label\n{rows}\n")
        assert main([*words, "--out", str(tmp_path / "out.csv")]) == 1
        assert message in capsys.readouterr().err
    (tmp_path / "a.csv").write_text("name,start_s,end_s,label\na/clip,1,2,x\nother,,,\n")
    assert main([*words, "--out", str(tmp_path / "out.csv")]) == 0
    rows = list(csv.reader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert rows[1:] == [["a/clip", "in/a/clip.mp4", "x", "1.000-2.000 x"], ["c/other", "in/c/other.mp4", "", ""]]
    assert main(["annotations", "export", str(tmp_path), "--out", str(tmp_path / "x.json")]) == 1
    assert "holds no scores" in capsys.readouterr().err
