"""Frozen embeddings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import grid_of, network_of, recipe

from mmcl.config import override
from mmcl.datasets.sources.recipes import pretraining_recipe
from mmcl.inference.embeddings import embed
from mmcl.types import Recording


@pytest.mark.parametrize("joint", ["late", "concat"])
def test_a_modality_alone_is_that_modality_alone(joint):
    """Whatever fusion does, what probes read of one modality does not depend on the other."""
    rng = np.random.default_rng(0)
    config = override(pretraining_recipe(recipe("utd-mhad")), {"model.dim": 16, "model.joint": joint})
    torch.manual_seed(0)
    net = network_of(config, 27).eval()
    inertial = rng.standard_normal((150, 6)).astype(np.float32)
    embedded = []
    for seed in (1, 2):
        skeleton = np.random.default_rng(seed).standard_normal((90, 20, 3)).astype(np.float32)
        signal = {"skeleton": skeleton, "inertial": inertial}
        recording = Recording("r", signal, {"skeleton": 30.0, "inertial": 50.0}, np.eye(27, dtype=np.float32)[3])
        embedded.append(embed(net, [recording], grid_of(config)))
    np.testing.assert_array_equal(*(e.features(["inertial"]) for e in embedded))
    assert np.abs(np.subtract(*(e.features(["skeleton"]) for e in embedded))).max() > 1e-3
    assert embedded[0].label.tolist() == [3]
