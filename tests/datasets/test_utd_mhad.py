"""UTD-MHAD's reader on real .mat files."""

from __future__ import annotations

import json
import shutil
from collections import Counter

import numpy as np
import pytest
import scipy.io
from support import read_utd_mhad

from mmcl.cli.main import main
from mmcl.datasets import get_dataset
from mmcl.datasets.utd_mhad import UtdMhadRecognitionConfig
from mmcl.errors import FileError


def test_real_data_set(utd_mhad):
    recordings = read_utd_mhad(utd_mhad)
    assert len(recordings) == 861
    assert sum(int(r.group) in (2, 4, 6, 8) for r in recordings) == 430
    first = recordings[0]
    raw = scipy.io.loadmat(utd_mhad / "Skeleton" / "a1_s1_t1_skeleton.mat")["d_skel"]
    np.testing.assert_allclose(first.signal["skeleton"][5, 7], raw[7, :, 5], rtol=1e-6)
    assert all(abs(len(r.signal["skeleton"]) / r.rate_hz["skeleton"] - r.duration_s) < 1e-9 for r in recordings)


def copy(dataset_dir, tmp_path):
    return shutil.copytree(dataset_dir, tmp_path / "data")


def test_bad_files_are_named(dataset_dir, tmp_path):
    name = "Skeleton/a1_s1_t1_skeleton.mat"
    inertial = "Inertial/a1_s1_t1_inertial.mat"

    def breaks(match, change):
        folder = copy(dataset_dir, tmp_path)
        change(folder)
        with pytest.raises(FileError, match=match):
            read_utd_mhad(folder)
        shutil.rmtree(folder)

    def save(path, **x):
        scipy.io.savemat(path, x)

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


def test_a_random_fifth_leaks_and_says_so(dataset_dir, tmp_path, capsys):
    dataset = get_dataset("utd-mhad")
    options = UtdMhadRecognitionConfig(protocol="random", validation_subjects=())
    rows = dataset.index(dataset_dir, options, seed=3).rows

    def tested_by(seed: int) -> set[str]:
        return {row.name for row in dataset.index(dataset_dir, options, seed).rows if row.split == "test"}

    assert {row.split for row in rows} == {"train", "test"}
    assert len(tested_by(3)) == sum(round(n / 5) for n in Counter(row.labels for row in rows).values())
    assert tested_by(3) == tested_by(3)
    assert tested_by(3) != tested_by(4)
    command = ["train", "utd-mhad", "--data", str(dataset_dir), "--out", str(tmp_path / "r"), "--optim.epochs", "1"]
    command += ["--model.dim", "16", "--trainer.tracker", "none", "--data.protocol", "random"]
    assert main(command) == 0
    assert json.loads((tmp_path / "r" / "metrics.json").read_text())["test share of subjects that were trained on"] == 1
