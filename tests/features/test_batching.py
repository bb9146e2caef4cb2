"""Batches that files share: the rows of each are its own, whatever is computed beside them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from clips import write_square
from torch import nn

from mmcl.features.batching import SharedBatches
from mmcl.features.extract_files import extract_files
from mmcl.features.extractor_set import create_extractors


class Slow(nn.Module):
    """A network that begins when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 3)
        self.go = threading.Event()
        self.sizes: list[int] = []

    def forward(self, x):
        self.go.wait(30)
        self.sizes.append(len(x))
        return self.layer(x.float())


def test_what_waits_is_computed_together():
    module = Slow()
    batches = SharedBatches(module, 16, "cpu")
    inputs = [np.random.default_rng(i).random((3, 4), np.float32) for i in range(11)]
    with ThreadPoolExecutor(11) as pool:
        futures = [pool.submit(batches, x) for x in inputs]
        until = time.monotonic() + 30
        while len(batches._waiting) < 10 and time.monotonic() < until:  # the first one is being computed
            time.sleep(0.01)
        module.go.set()
        outputs = [f.result(30) for f in futures]
    for x, y in zip(inputs, outputs, strict=True):
        np.testing.assert_allclose(y, module.layer(torch.from_numpy(x)).detach(), atol=1e-6)
    assert module.sizes == [16, 16, 16]  # one alone, then five and five
    assert batches.n_batches == 3


def test_shapes_and_types_are_kept_apart():
    module = Slow()
    module.forward = lambda x: x.flatten(1).float().sum(1, keepdim=True)
    batches = SharedBatches(module, 16, "cpu")
    rng = np.random.default_rng(0)
    inputs = [rng.integers(0, 9, (2, 3, 3 + i % 3)).astype((np.uint8, np.float32)[i % 2]) for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        for x, y in zip(inputs, pool.map(batches, inputs), strict=True):
            np.testing.assert_array_equal(y[:, 0], x.reshape(2, -1).sum(1))


def test_an_error_reaches_each_caller_and_the_next_call_goes_on():
    def fails(x):
        if x.isnan().any():
            raise RuntimeError("out of memory")
        return x

    batches = SharedBatches(fails, 4, "cpu")
    with pytest.raises(RuntimeError, match="out of memory"):
        batches(np.full((2, 1), np.nan, np.float32))
    np.testing.assert_array_equal(batches(np.ones((2, 1), np.float32)), 1)


def test_files_that_share_batches_have_the_features_of_files_alone(tmp_path):
    for i in range(6):
        write_square(tmp_path / "clips" / f"c{i}.mp4", i % 2 == 0, i, has_sound=i > 1)
    plain, shared = (create_extractors("descriptors", "log-mel") for _ in range(2))
    for extractor in (e for part in shared.parts.values() for e in part):
        extractor.batches = SharedBatches(extractor, 16, "cpu")
    extract_files([tmp_path / "clips"], tmp_path / "plain", plain, jobs=1)
    extract_files([tmp_path / "clips"], tmp_path / "shared", shared, jobs=6)
    files = sorted((tmp_path / "plain").glob("*.npy"))
    assert len(files) == 10
    for path in files:
        np.testing.assert_allclose(np.load(tmp_path / "shared" / path.name), np.load(path), atol=1e-5)
