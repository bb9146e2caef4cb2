"""Streams are a function of recordings, seed and settings."""

from __future__ import annotations

import numpy as np

from mmcl.datasets.utd_mhad import find_pairs
from mmcl.datasets.utd_mhad_streams import EVENT, Action, UtdMhadStreamsConfig, compose_streams


def test_streams_are_a_function_of_the_seed(dataset_dir):
    actions = [Action(key, files) for key, files in find_pairs(dataset_dir).items()]
    config = UtdMhadStreamsConfig(targets=(13, 18), actions_per_stream=(4, 6), targets_per_stream=(1, 2))

    def streams(seed):
        rows = compose_streams(actions, 6, config, seed)
        return [row.load(config.modalities, (EVENT,)) for row in rows]

    one, again, other = streams(0), streams(0), streams(1)
    for a, b in zip(one, again, strict=True):
        assert a.intervals == b.intervals
        assert all(np.array_equal(a.signal[m], b.signal[m]) for m in a.signal)
    assert any(a.intervals != b.intervals for a, b in zip(one, other, strict=True))
    for i, stream in enumerate(one):
        events = sum(part.is_event for part in stream.intervals)
        assert bool(stream.label[0]) == (events > 0) == (i % 2 == 1)
        lasts = [len(x) / stream.rate_hz[m] for m, x in stream.signal.items()]
        assert max(lasts) - min(lasts) < 0.1  # both modalities keep time together
        assert abs(stream.intervals[-1].end_s - lasts[0]) < 0.1
