"""Readers, streams, bags and augmentations on real .mat files."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import scipy.io
import torch

from mmcl.data.augment import augment, crop, n_hops_of, retime
from mmcl.data.bags import BagDataset, Batches, collate, loader
from mmcl.data.clock import body_frame, on_grid, resample
from mmcl.data.files import find_pairs, read_csv, read_recording
from mmcl.data.streams import compose_streams, snippet_truth
from mmcl.data.utd_mhad import read_utd_mhad
from mmcl.errors import FileError, InputError
from mmcl.types import Clock, Interval, Recording

CLOCK = Clock(0.5, 1.0, {"skeleton": 8, "inertial": 16})


def test_real_data_set(utd_mhad):
    recordings = read_utd_mhad(utd_mhad)
    assert len(recordings) == 861
    assert sum(int(r.group) in (2, 4, 6, 8) for r in recordings) == 430
    first = recordings[0]
    raw = scipy.io.loadmat(utd_mhad / "Skeleton" / "a1_s1_t1_skeleton.mat")["d_skel"]
    np.testing.assert_allclose(first.signal["skeleton"][5, 7], raw[7, :, 5], rtol=1e-6)
    assert all(
        abs(len(r.signal["skeleton"]) / r.rate_hz["skeleton"] - r.duration_s) < 1e-9 for r in recordings
    )


def copy(made, tmp_path):
    return shutil.copytree(made, tmp_path / "data")


def test_bad_files_are_named(made, tmp_path):
    name = "Skeleton/a1_s1_t1_skeleton.mat"
    inertial = "Inertial/a1_s1_t1_inertial.mat"

    def breaks(match, change):
        folder = copy(made, tmp_path)
        change(folder)
        with pytest.raises(FileError, match=match):
            read_utd_mhad(folder)
        shutil.rmtree(folder)

    save = lambda path, **x: scipy.io.savemat(path, x)
    breaks(r"a1_s1_t1_inertial.mat: its skeleton half is missing", lambda d: (d / name).unlink())
    breaks(
        r"a1_s1_t1_skeleton.mat: not a readable .mat",
        lambda d: (d / name).write_bytes((d / name).read_bytes()[:900]),
    )
    breaks(r"a1_s1_t1_skeleton.mat: not a readable .mat", lambda d: (d / name).write_text("hello"))
    breaks(r"a1_s1_t1_skeleton.mat: not a readable .mat", lambda d: (d / name).write_bytes(b""))
    breaks(r"holds no variable 'd_skel'", lambda d: shutil.copy(d / inertial, d / name))
    breaks(
        r"shape \(20, 2, 9\), expected \(20, 3, frames\)",
        lambda d: save(d / name, d_skel=np.zeros((20, 2, 9))),
    )
    breaks(r"shape \(9, 5\), expected \(frames, 6\)", lambda d: save(d / inertial, d_iner=np.zeros((9, 5))))
    breaks(
        r"NaN or infinity at frame 4",
        lambda d: save(d / inertial, d_iner=np.where(np.arange(9)[:, None] == 4, np.nan, np.ones((9, 6)))),
    )
    breaks(r"unknown action 28", lambda d: (d / inertial).rename(d / "Inertial/a28_s1_t1_inertial.mat"))
    breaks(r"unknown subject 9", lambda d: (d / inertial).rename(d / "Inertial/a1_s9_t1_inertial.mat"))
    breaks(r"not a UTD-MHAD file name", lambda d: (d / inertial).rename(d / "Inertial/copy of a1.mat"))
    breaks(r"Skeleton: holds no .mat files", lambda d: [p.unlink() for p in (d / "Skeleton").iterdir()])
    breaks(r"Inertial: no such folder", lambda d: shutil.rmtree(d / "Inertial"))


def test_resample_keeps_a_line_and_the_time():
    x = np.arange(50, dtype=np.float32)[:, None] / 50
    y = resample(x, 50.0, 16.0, 16)
    np.testing.assert_allclose(y[1:-1, 0], (np.arange(16)[1:-1] + 0.5) / 16 - 0.01, atol=1e-6)


def test_body_frame_ignores_place_and_size(rng):
    x = rng.standard_normal((9, 20, 3)).astype(np.float32)
    np.testing.assert_allclose(body_frame(3 * x + 5), body_frame(x), atol=1e-5)
    with pytest.raises(InputError, match="coincide"):
        body_frame(np.zeros((9, 20, 3), np.float32))


def test_streams_are_a_function_of_the_seed(made):
    recordings = read_utd_mhad(made)
    make = lambda seed, pool: compose_streams(
        pool, 6, targets=(13, 18), n_actions=(4, 6), n_targets=(1, 2), seed=seed
    )
    one, again, other = make(0, recordings), make(0, recordings), make(1, recordings)
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


def test_snippet_truth_is_half_of_the_window():
    r = Recording("r", {}, {}, intervals=(Interval(1.0, 2.0, "x"), Interval(3.0, 4.0, "y", is_event=False)))
    assert snippet_truth(r, CLOCK, 7).tolist() == [False, True, True, True, False, False, False]


def test_batches_of_two_processes_are_those_of_one():
    one = Batches(11, 4, shuffled=True, seed=3)
    two = [Batches(11, 4, shuffled=True, seed=3, rank=r, n_ranks=2) for r in range(2)]
    for epoch in range(2):
        one.epoch = two[0].epoch = two[1].epoch = epoch
        for whole, left, right in zip(one, *two, strict=True):
            assert whole == left + right
    with pytest.raises(InputError, match="multiple of the 2 processes"):
        Batches(11, 3, shuffled=True, n_ranks=2)


def test_workers_change_nothing(made):
    data = BagDataset(read_utd_mhad(made)[:6], CLOCK, insertion=0.5, shuffle_hops=2)
    batches = Batches(6, 2, shuffled=True)
    for a, b in zip(loader(data, batches, 0), loader(data, batches, 2), strict=True):
        assert torch.equal(a.index, b.index)
        assert all(torch.equal(a.x[m], b.x[m]) for m in a.x)


def test_collate_pads_at_the_end(made):
    data = BagDataset(read_utd_mhad(made)[:5], CLOCK)
    bags = collate([data[-1, i] for i in range(5)])
    for i in range(5):
        n = int(bags.mask[i].sum())
        assert bags.mask[i, :n].all()
        assert (bags.x["inertial"][i, (n + 1) * 16 :] == 0).all()


def test_augmentation_keeps_the_grid(made, rng):
    grid = dict(on_grid(read_utd_mhad(made)[0], CLOCK))
    for shuffle_hops in (0, 2):
        new = augment(grid, CLOCK, rng, 1.0, shuffle_hops)
        assert len(new["skeleton"]) // 8 == len(new["inertial"]) // 16 == n_hops_of(new, CLOCK)
        assert all(np.isfinite(x).all() and x.dtype == np.float32 for x in new.values())
    same = augment(grid, CLOCK, rng, 0.0, 0)
    assert all(np.array_equal(same[m], grid[m]) for m in grid)


def write_csv(path, x, header, time=None):
    table = x if time is None else np.column_stack([time, x])
    names = header if time is None else ["time_s", *header]
    path.write_text(
        ",".join(names) + "\n" + "\n".join(",".join(f"{v:.6f}" for v in row) for row in table) + "\n"
    )
    return path


def test_csv_pair_equals_its_signal(tmp_path, rng):
    x, s = rng.standard_normal((200, 6)), rng.standard_normal((100, 60))
    columns = {"inertial": list("abcdef"), "skeleton": [f"j{i}" for i in range(60)]}
    write_csv(tmp_path / "r_inertial.csv", x, columns["inertial"], np.arange(200) / 50)
    write_csv(tmp_path / "r_skeleton.csv", s, columns["skeleton"])
    (pair,) = find_pairs([tmp_path])
    r = read_recording(pair, {"skeleton": 25.0})
    np.testing.assert_allclose(r.signal["inertial"], x, atol=1e-5)
    assert abs(r.rate_hz["inertial"] - 50) < 1e-6
    with pytest.raises(FileError, match="--skeleton-hz"):
        read_recording(pair, {})
    write_csv(tmp_path / "r_skeleton.csv", s, columns["skeleton"], 3 + np.arange(100) / 25)
    with pytest.raises(FileError, match=r"starts at 3\.00 s, its inertial half at 0\.00 s"):
        read_recording(pair, {})
    write_csv(tmp_path / "r_skeleton.csv", s, columns["skeleton"])
    with pytest.raises(FileError, match="check the rates"):
        read_recording(pair, {"skeleton": 5.0})


def test_bad_csv_is_told(tmp_path):
    path = tmp_path / "r_inertial.csv"
    for text, match in (
        ("1,2,3,4,5,6\n1,2,3,4,5,6\n", "has no header"),
        ("a,b,c,d,e,f\n1,2,3,4,5,6\n1,2,3,4,5\n", "line 3 has 5 columns"),
        ("a,b,c,d,e,f\n1,2,3,4,5,x\n", "line 2: could not convert"),
        ("a,b,c,d,e,f\n1,2,3,4,5,6\n1,2,nan,4,5,6\n", "line 3, column 'c'"),
        ("a,b,c,d,e,f\n1,2,3,4,5,6\n", "holds 1 samples"),
        ("a,b\n1,2\n1,2\n", "has 2 signal columns"),
        ("time_s,b\n1,2\n1,2\n", "does not rise in line 3"),
        ("time_s,b\n1,2\n9,2\n", "a gap of 8.0 s in line 3"),
        ("a,b,a\n1,2,3\n1,2,3\n", "two columns 'a'"),
        ("a,b\n1,2\n1,1e39\n", "NaN or infinity in line 3"),
        ("", "has no header"),
    ):
        path.write_text(text)
        with pytest.raises(FileError, match=match):
            read_csv(path, 6, None if "time_s" in text else 50.0, "--inertial-hz")
    with pytest.raises(FileError, match="its skeleton half is missing"):
        find_pairs([path])
    with pytest.raises(FileError, match="not named after its modality"):
        find_pairs([write_csv(tmp_path / "x.csv", np.ones((2, 6)), list("abcdef"))])
    with pytest.raises(FileError, match="no such file"):
        find_pairs([tmp_path / "nothing_inertial.csv"])


def test_stretched_recordings_all_last_the_same(rng):
    clock = Clock(0.5, 1.0, {"inertial": 16}, 4.0)
    for n in (50, 137, 400):
        x = np.linspace(0, 1, n)[:, None].repeat(6, 1).astype(np.float32)
        (grid,) = on_grid(Recording("r", {"inertial": x}, {"inertial": 50.0}), clock).values()
        assert grid.shape == (128, 6)
        np.testing.assert_allclose(
            grid[:, 0], np.interp((np.arange(128) + 0.5) / 128 * n - 0.5, np.arange(n), x[:, 0]), atol=1e-6
        )


def test_crop_keeps_a_stretch_of_all_modalities(rng):
    hops = np.arange(12)
    grid = {"skeleton": hops.repeat(8), "inertial": hops.repeat(16)}
    lengths = set()
    for _ in range(300):
        kept = crop(grid, CLOCK, rng, 0.5)
        n = len(kept["skeleton"]) // 8
        first = int(kept["skeleton"][0])
        np.testing.assert_array_equal(kept["skeleton"], np.arange(first, first + n).repeat(8))
        np.testing.assert_array_equal(kept["inertial"], np.arange(first, first + n).repeat(16))
        lengths.add(n)
    assert lengths == set(range(6, 13))


def test_retime_shows_all_modalities_the_same_moments_in_order(rng):
    """A ramp tells which moment each sample shows."""
    ramp = lambda n: ((np.arange(n) + 0.5) / n).astype(np.float32)[:, None]
    grid = {"skeleton": ramp(64), "inertial": ramp(128)}
    shortest = 1.0
    for _ in range(200):
        made = retime(grid, rng, 0.25, 0.6)
        assert {m: x.shape for m, x in made.items()} == {m: x.shape for m, x in grid.items()}
        slow, fast = made["skeleton"][:, 0], made["inertial"][:, 0]
        assert (np.diff(slow) > 0).all()
        assert (np.diff(fast) > 0).all()
        np.testing.assert_allclose(fast.reshape(64, 2).mean(1), slow, atol=0.004)
        shortest = min(shortest, float(slow[-1] - slow[0]))
    assert 0.57 < shortest < 0.68
    np.testing.assert_allclose(retime(grid, rng, 0.0, 1.0)["inertial"], grid["inertial"], atol=1e-6)
