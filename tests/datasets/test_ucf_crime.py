"""UCF-Crime on published features of all layouts."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ucf_features import make

from mmcl.cli.main import main
from mmcl.config import override
from mmcl.datasets import get_dataset
from mmcl.datasets.ucf_crime import class_of
from mmcl.errors import InputError

SMALL = ["--model.dim", "16", "--optim.epochs", "3", "--loader.batch-size", "8", "--trainer.tracker", "none"]


@pytest.mark.parametrize(("layout", "audio"), [("files", False), ("axis", False), ("files", True)])
def test_it_trains_and_is_evaluated_by_frames(layout, audio, tmp_path):
    data = make(tmp_path / "data", layout, audio=audio)
    words = ["train", "ucf-crime", "--data", str(data), "--out", str(tmp_path / "run"), *SMALL]
    words += ["--data.modalities", "visual", "audio"] if audio else []
    assert main([*words, "--data.validation-share", "0.34"]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["test frame ROC-AUC"] > 0.9
    assert metrics["test linear baseline frame ROC-AUC"] > 0.9
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["recordings"]["test"] == 24  # two crops each
    assert set(config["inputs"]) == ({"visual", "audio"} if audio else {"visual"})


def test_rows_of_another_stride_are_named(tmp_path):
    data = make(tmp_path / "data", "files", rows=30, per_row=64)
    dataset = get_dataset("ucf-crime")
    options = dataset.default_config().data
    with pytest.raises(InputError, match=r"annotated from frame 640 to 960, but its 30 rows of 16 frames end at 480;"):
        dataset.index(data, options)
    config = override(dataset.default_config(), {"data.frames_per_row": 64})
    index = dataset.index(data, config.data)
    assert dataset.implied_settings(config.data)["snippets.hop_s"] == pytest.approx(64 / 30)
    event = next(row.events[0] for row in index.rows if row.events)
    assert (event.start_s, event.end_s) == pytest.approx((640 / 30, 960 / 30))


def test_a_video_on_two_lines_has_the_events_of_both(tmp_path):
    data = make(tmp_path / "data", "files")
    path = data / "Temporal_Anomaly_Annotation.txt"
    first = next(line for line in path.read_text().splitlines() if " Abuse " in line)
    path.write_text(path.read_text() + f"\n{first.split()[0]}  Abuse  320  400  -1  -1")
    dataset = get_dataset("ucf-crime")
    rows = dataset.index(data, dataset.default_config().data).rows
    (events,) = {row.events for row in rows if row.name.startswith(first.split()[0].removesuffix(".mp4"))}
    assert sorted(round(30 * e.start_s) for e in events) == [160, 320]


def test_what_is_wrong_with_lists_is_told(tmp_path):
    data = make(tmp_path / "data", "files", n_each=1)
    dataset = get_dataset("ucf-crime")
    options = dataset.default_config().data
    (data / "other_train.csv").write_text("path\nx.npy\n")
    with pytest.raises(InputError, match=r"holds the train lists: other_train\.csv, ucf_train\.csv; name one"):
        dataset.index(data, options)
    named = override(dataset.default_config(), {"data.train_list": "other_train.csv"}).data
    with pytest.raises(InputError, match=r"line 2: x.npy is not there"):
        dataset.index(data, named)
    (data / "other_train.csv").unlink()
    bad = data / "features" / "Abuse001_x264__0.npy"
    path = next((data / "features").glob("Abuse*01_x264__0.npy"), bad)
    np.save(path, np.zeros((3, 9), np.float32))
    with pytest.raises(InputError, match=r"holds float32 of shape|expected floats \(rows, 9\)"):
        dataset.index(data, options)
    np.save(path, np.zeros((30, 8), np.float32))
    lines = (data / "Temporal_Anomaly_Annotation.txt").read_text().splitlines()
    (data / "Temporal_Anomaly_Annotation.txt").write_text("\n".join(lines[1:]))
    with pytest.raises(InputError, match="anomalous, but has no annotation"):
        dataset.index(data, options)
    with pytest.raises(InputError, match="expected a name that begins with Normal or one of Abuse"):
        class_of("video_1")
