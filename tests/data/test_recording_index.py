"""The recording index refuses rows that would be read as something else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mmcl.data.recording_index import RecordingIndex, RecordingRow
from mmcl.errors import InputError

ROW = RecordingRow("r1", "train", ("wave",), where="table.csv, line 2")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (replace(ROW, split="training"), "table.csv, line 2: split 'training'; expected train, validation, test"),
        (replace(ROW, labels=("wvae",)), "table.csv, line 2: label 'wvae' is no class; expected wave, fall"),
        (replace(ROW, where="", labels=("wvae",)), "data, recording r1: label 'wvae' is no class"),
    ],
)
def test_refused_rows(row, message):
    with pytest.raises(InputError, match=message):
        RecordingIndex((row,), ("wave", "fall"), Path("data"))


def test_names_differ():
    with pytest.raises(InputError, match="two recordings have the name r1"):
        RecordingIndex((ROW, replace(ROW, split="test")), ("wave",))


def test_splits_and_labels():
    rows = (ROW, replace(ROW, name="r2", split="", labels=()), replace(ROW, name="r3", labels=("fall", "wave")))
    index = RecordingIndex(rows, ("wave", "fall"))
    assert [row.name for row in index.of("train")] == ["r1", "r3"]
