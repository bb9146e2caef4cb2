"""Draws of few labels."""

from __future__ import annotations

import numpy as np
import pytest

from mmcl.data.few_labels import few_labels
from mmcl.errors import InputError
from mmcl.types import Recording


def dataset_dir(n_classes=3, n_each=4):
    label = np.eye(n_classes, dtype=np.float32)
    return [Recording(f"{c}{i}", {}, {}, label[c], str(i)) for c in range(n_classes) for i in range(n_each)]


def test_few_labels():
    recordings = dataset_dir()
    assert few_labels(recordings, 0) == recordings
    for labels, n in ((1, 3), (2, 6), (0.5, 6), (0.01, 3), (4, 12)):
        drawn = few_labels(recordings, labels, 5)
        assert len(drawn) == n
        assert {r.name[0] for r in drawn} == {"0", "1", "2"}
        assert drawn == few_labels(recordings, labels, 5)
    assert set(r.name for r in few_labels(recordings, 1, 5)) <= set(r.name for r in few_labels(recordings, 2, 5))
    subsets = {tuple(r.name for r in few_labels(recordings, 1, seed)) for seed in range(20)}
    assert len(subsets) > 5
    with pytest.raises(InputError, match="5 a class were asked for, class 1 has 4"):
        few_labels(recordings, 5)
    with pytest.raises(InputError, match="whole number a class"):
        few_labels(recordings, 1.5)
