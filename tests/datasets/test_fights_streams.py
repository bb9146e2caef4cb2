"""Streams of clips: a function of clips and seed, sources apart, the truth where it should be."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from clips import write_square

from mmcl.cli.main import main
from mmcl.config import FeaturesConfig, override
from mmcl.datasets import get_dataset, load_splits
from mmcl.errors import InputError

SMALL = {
    "data.n_train_streams": 12, "data.n_validation_streams": 6, "data.n_test_streams": 6,
    "data.clips_per_stream": (3, 5),
    "data.modalities": ("visual", "audio"), "data.test_share": 0.34, "data.validation_share": 0.34,
}  # fmt: skip
FEATURES = FeaturesConfig(visual=("descriptors",))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Clips of six sources, fights and not, some silent, of different lengths."""
    folder = tmp_path_factory.mktemp("fights")
    rows = []
    for source in range(6):
        for number in range(6):
            name = f"{'fi' if number % 2 else 'no'}{source}{number}"
            write_square(
                folder / f"{name}.mp4", bool(number % 2), 10 * source + number, number > 1, 1.4 + 0.7 * (number % 3)
            )
            rows.append([name, "fight" if number % 2 else "", f"source-{source}", f"{name}.mp4"])
    with open(folder / "fights.csv", "w", newline="") as file:
        csv.writer(file).writerows([["name", "label", "group", "video"], *rows])
    return folder


def config_of(**changes):
    return override(get_dataset("fights-streams").default_config(), {**SMALL, **changes})


def test_streams_are_made_of_clips_of_their_sources(data):
    config = config_of()
    dataset = get_dataset("fights-streams")
    index = dataset.index(data, config.data)
    assert [row.media for row in index.rows] == [row.media for row in dataset.index(data, config.data).rows]
    sources: dict[str, set[str]] = {}
    for row in index.rows:
        fights = [path.name.startswith("fi") for path in row.media["visual"]]
        assert 3 <= len(fights) <= 5
        assert [is_event for _, is_event in row.segments] == fights
        assert bool(row.labels) == any(fights)
        assert sum(fights) in ((1, 2) if row.labels else (0,))
        for m, paths in row.media.items():
            sources.setdefault(row.split, set()).update(path.name[2] for path in paths)
            if m == "audio":
                assert not any(path.stem[-1] in "01" for path in paths)  # the silent clips
    assert not sources["train"] & sources["test"]
    assert not sources["train"] & sources["validation"]
    other = dataset.index(data, config_of(**{"data.split_seed": 1}).data)
    assert [row.media for row in other.rows] != [row.media for row in index.rows]


def test_truth_and_features_are_those_of_the_clips(data):
    config = config_of()
    dataset = get_dataset("fights-streams")
    splits = load_splits(dataset, data, config.data, features=FEATURES)
    index = {row.name: row for row in dataset.index(data, config.data).rows}
    for recording in splits.test:
        row = index[recording.name]
        lengths = [round((b.end_s - b.start_s) * 1.5) for b in recording.intervals]
        assert sum(lengths) == len(recording.signal["visual"]) == len(recording.signal["audio"])
        assert [i.is_event for i in recording.intervals] == [is_event for _, is_event in row.segments]
        assert recording.intervals[0].start_s == 0
        ends = [i.end_s for i in recording.intervals]
        assert [i.start_s for i in recording.intervals[1:]] == pytest.approx(ends[:-1])


def test_train_and_cross_validate(data, tmp_path):
    options = [f"--{k.replace('_', '-')}={v}" for k, v in SMALL.items() if isinstance(v, int | float)]
    options += ["--data.clips-per-stream", "3", "5", "--features.visual", "descriptors", "--optim.epochs", "2"]
    options += ["--trainer.tracker", "none", "--jobs", "1", "--seeds", "2"]
    assert main(["crossval", "fights-streams", "--data", str(data), "--out", str(tmp_path), *options]) == 0
    result = json.loads((tmp_path / "crossval.json").read_text())
    assert result["metric"] == "snippet average precision"
    assert len(result["network"]) == len(result["linear baseline"]) == 2
    metrics = json.loads((tmp_path / "seed-0" / "split" / "metrics.json").read_text())
    assert result["network"][0] == metrics["test snippet average precision"]
    assert main(["evaluate", str(tmp_path / "seed-0" / "split"), "--split", "validation"]) == 1


def test_settings_that_cannot_be(data):
    dataset = get_dataset("fights-streams")
    with pytest.raises(InputError, match="no more fights than the fewest clips"):
        dataset.check(config_of(**{"data.fights_per_stream": (4, 6)}).data)
    with pytest.raises(InputError, match="leave sources to train on"):
        dataset.check(config_of(**{"data.test_share": 0.8}).data)
    assert np.isfinite(config_of().data.test_share)
