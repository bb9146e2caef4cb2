"""Splits by groups and folds, against plain loops."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mmcl.data.recording_index import RecordingIndex, RecordingRow
from mmcl.datasets.sources.folder import normal_class
from mmcl.datasets.sources.splits import assign_folds, assign_splits, check_classes, resamples_of_folds
from mmcl.errors import FileError, InputError


def index_of(n_groups=12, n_each=6, named=True) -> RecordingIndex:
    rng = np.random.default_rng(0)
    rows = []
    for g in range(n_groups):
        for i in range(n_each):
            label = ("a",) if rng.random() < 0.4 else ("b",)
            rows.append(RecordingRow(f"{g}-{i}", "", label, f"g{g}" if named else ""))
    return RecordingIndex(tuple(rows), ("a", "b"), Path("m.csv"))


def test_folds_share_no_group_and_each_is_tested_on_once():
    index = index_of()
    tested: Counter[str] = Counter()
    for k in range(5):
        split = assign_folds(index, 5, k, 3)
        of_group: dict[str, set[str]] = {}
        for row in split.rows:
            of_group.setdefault(row.group, set()).add(row.split)
        assert all(len(v) == 1 for v in of_group.values())
        assert {row.split for row in split.rows} == {"train", "validation", "test"}
        tested.update(row.name for row in split.of("test"))
    assert set(tested.values()) == {1}
    assert len(tested) == len(index.rows)
    share = np.mean([row.labels == ("a",) for row in index.rows])
    of_test = np.mean([row.labels == ("a",) for row in assign_folds(index, 3, 0, 0).of("test")])
    assert abs(of_test - share) < 0.15
    assert assign_folds(index, 5, 0, 1).of("test") != assign_folds(index, 5, 0, 0).of("test")
    assert len(resamples_of_folds(4, 0)) == 4


def test_folds_are_the_default_and_without_groups_that_is_warned_of(capsys):
    split = assign_splits(index_of())
    assert {row.split for row in split.rows} == {"train", "validation", "test"}
    assert capsys.readouterr().out == ""
    assign_splits(index_of(named=False))
    assert "names no groups" in capsys.readouterr().out


def test_the_class_without_events_is_told_by_its_name():
    where = Path("videos")
    assert normal_class(("noFight", "fight"), "", where) == "noFight"
    assert normal_class(("fall", "no_fall"), "", where) == "no_fall"
    assert normal_class(("Violence", "NonViolence"), "", where) == "NonViolence"
    assert normal_class(("Normal", "a"), "", where) == "Normal"
    assert normal_class(("a", "b"), "b", where) == "b"
    for unclear in (("nodding", "waving"), ("noise", "scream"), ("normal", "negative", "a")):
        with pytest.raises(FileError, match="is not clear"):
            normal_class(unclear, "", where)


def test_what_cannot_be_split_is_refused():
    with pytest.raises(InputError, match=r"expected 3 folds or more"):
        assign_folds(index_of(), 2, 0, 0)
    with pytest.raises(InputError, match=r"a fold from 0 to 4"):
        assign_folds(index_of(), 5, 5, 0)
    with pytest.raises(InputError, match=r"has 2 groups .*; use fewer folds"):
        assign_folds(index_of(n_groups=2), 5, 0, 0)
    with pytest.raises(InputError, match=r"so that what is tested on is said already"):
        assign_splits(index_of(), test_groups=("g1",), folds=5)
    rows = (*index_of().rows, RecordingRow("x", "", ("c",), "g0"))
    with pytest.raises(FileError, match=r"class 'c' has 1 recording;"):
        assign_folds(RecordingIndex(rows, ("a", "b", "c"), Path("m.csv")), 5, 0, 0)
    alone = tuple(RecordingRow(str(i), s, ("a",)) for i, s in enumerate(("train", "test")))
    with pytest.raises(FileError, match=r"its train split shows class 'a' alone"):
        check_classes(RecordingIndex(alone, ("a",), Path("m.csv")))
