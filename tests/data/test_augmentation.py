"""Augmentations keep the grid, the time and all modalities together."""

from __future__ import annotations

import numpy as np
from support import read_utd_mhad

from mmcl.data.augmentation import augment, crop, n_hops_of, repeat, retime
from mmcl.data.snippet_grid import resample_to_grid
from mmcl.types import SnippetGrid

GRID = SnippetGrid(0.5, 1.0, {"skeleton": 8, "inertial": 16})


def test_augmentation_keeps_the_grid(dataset_dir, rng):
    grid = dict(resample_to_grid(read_utd_mhad(dataset_dir)[0], GRID))
    for shuffle_hops in (0, 2):
        new = augment(grid, GRID, rng, 1.0, shuffle_hops)
        assert len(new["skeleton"]) // 8 == len(new["inertial"]) // 16 == n_hops_of(new, GRID)
        assert all(np.isfinite(x).all() and x.dtype == np.float32 for x in new.values())
    same = augment(grid, GRID, rng, 0.0, 0)
    assert all(np.array_equal(same[m], grid[m]) for m in grid)


def test_crop_keeps_a_stretch_of_all_modalities(rng):
    hops = np.arange(12)
    grid = {"skeleton": hops.repeat(8), "inertial": hops.repeat(16)}
    lengths = set()
    for _ in range(300):
        kept = crop(grid, GRID, rng, 0.5)
        n = len(kept["skeleton"]) // 8
        first = int(kept["skeleton"][0])
        np.testing.assert_array_equal(kept["skeleton"], np.arange(first, first + n).repeat(8))
        np.testing.assert_array_equal(kept["inertial"], np.arange(first, first + n).repeat(16))
        lengths.add(n)
    assert lengths == set(range(6, 13))


def test_retime_shows_all_modalities_the_same_moments_in_order(rng):
    """A ramp tells which moment each sample shows."""

    def ramp(n):
        return ((np.arange(n) + 0.5) / n).astype(np.float32)[:, None]

    grid = {"skeleton": ramp(64), "inertial": ramp(128)}
    shortest = 1.0
    for _ in range(200):
        output = retime(grid, rng, 0.25, 0.6)
        assert {m: x.shape for m, x in output.items()} == {m: x.shape for m, x in grid.items()}
        slow, fast = output["skeleton"][:, 0], output["inertial"][:, 0]
        assert (np.diff(slow) > 0).all()
        assert (np.diff(fast) > 0).all()
        np.testing.assert_allclose(fast.reshape(64, 2).mean(1), slow, atol=0.004)
        shortest = min(shortest, float(slow[-1] - slow[0]))
    assert 0.57 < shortest < 0.68
    np.testing.assert_allclose(retime(grid, rng, 0.0, 1.0)["inertial"], grid["inertial"], atol=1e-6)


def test_repeated_hops():
    snippet_grid = SnippetGrid(0.5, 1.0, {"a": 2, "b": 1})
    grid = {"a": np.arange(40.0).reshape(40, 1), "b": np.arange(20.0).reshape(20, 1)}
    for seed in range(20):
        output = repeat(grid, snippet_grid, np.random.default_rng(seed), 0.32)
        hops = output["b"][:, 0].astype(int)
        count = np.bincount(hops, minlength=20)
        assert (np.diff(hops) >= 0).all()
        assert count.min() >= 1
        assert count.max() <= 2
        assert len(hops) <= 20 + 6
        assert (output["a"][:, 0] // 2 == np.repeat(hops, 2)).all()  # both modalities repeat the same moments
