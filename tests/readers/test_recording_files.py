"""Pairs of CSV and .mat files."""

from __future__ import annotations

import numpy as np
import pytest
from support import write_csv

from mmcl.errors import FileError
from mmcl.readers.recording_files import check_columns, find_recordings, read_recording
from mmcl.readers.text_table import read_text_table
from mmcl.readers.timed_table import signal_of_columns


def test_csv_pair_equals_its_signal(tmp_path, rng):
    x, s = rng.standard_normal((200, 6)), rng.standard_normal((100, 60))
    columns = {"inertial": list("abcdef"), "skeleton": [f"j{i}" for i in range(60)]}
    write_csv(tmp_path / "r_inertial.csv", x, columns["inertial"], np.arange(200) / 50)
    write_csv(tmp_path / "r_skeleton.csv", s, columns["skeleton"])
    (pair,) = find_recordings([tmp_path])
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


def read_six(path, rate):
    check_columns(path, signal_of_columns(read_text_table(path), path, rate, "--inertial-hz"), 6)


def test_bad_csv(tmp_path):
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
            read_six(path, None if "time_s" in text else 50.0)
    with pytest.raises(FileError, match="its skeleton half is missing"):
        find_recordings([path])
    with pytest.raises(FileError, match="not named after its modality"):
        find_recordings([write_csv(tmp_path / "x.csv", np.ones((2, 6)), list("abcdef"))])
    with pytest.raises(FileError, match="no such file"):
        find_recordings([tmp_path / "nothing_inertial.csv"])
