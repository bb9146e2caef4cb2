"""Signals from .npy, .mat, .parquet and .csv files."""

from __future__ import annotations

import csv

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import scipy.io

from mmcl.errors import FileError
from mmcl.readers.signal_file import read_signal_file


def test_every_kind_of_file_gives_the_same_signal(tmp_path, rng):
    x = rng.standard_normal((50, 3)).astype(np.float32)
    time = np.arange(50) / 20
    np.save(tmp_path / "a.npy", x)
    scipy.io.savemat(tmp_path / "a.mat", {"signal": x})
    table = {"time_s": time} | {f"c{i}": x[:, i] for i in range(3)}
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "a.parquet")
    with open(tmp_path / "a.csv", "w", newline="") as file:
        csv.writer(file).writerows([["time_s", "x", "y", "z"], *np.column_stack([time, x]).tolist()])
    for name, rate in (("a.npy", 20.0), ("a.mat", 20.0), ("a.parquet", None), ("a.csv", None)):
        got = read_signal_file(tmp_path / name, rate, "--hz")
        np.testing.assert_allclose(got.x, x, atol=1e-5)
        assert got.rate_hz == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("name", "content", "rate", "message"),
    [
        ("a.txt", "1 2", 20.0, "of no kind that is read here"),
        ("a.npy", "nonsense", 20.0, "not a readable .npy file"),
        ("a.mat", "nonsense", 20.0, "not a readable .mat file"),
        ("a.parquet", "nonsense", 20.0, "not a readable table of numbers"),
        ("a.npy", np.zeros((5, 2)), None, "does not tell its rate"),
        ("a.npy", np.full((5, 2), np.nan), 20.0, "NaN or infinity at frame 0"),
        ("a.npy", np.zeros(5), 20.0, r"holds shape \(5,\)"),
        ("missing.npy", None, 20.0, "no such file"),
    ],
)
def test_bad_signals(tmp_path, name, content, rate, message):
    path = tmp_path / name
    if isinstance(content, str):
        path.write_text(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(FileError, match=message):
        read_signal_file(path, rate, "--hz")


def test_a_mat_file_with_two_arrays_is_refused(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"x": np.zeros((5, 2)), "y": np.zeros((5, 2))})
    with pytest.raises(FileError, match="holds the arrays x, y"):
        read_signal_file(tmp_path / "a.mat", 20.0, "--hz")
