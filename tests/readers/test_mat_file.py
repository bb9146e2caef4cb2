"""MATLAB files: what scipy reads of good ones, and one line for damaged ones, which crash scipy."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from mmcl.errors import FileError
from mmcl.readers.mat_file import read_mat_arrays
from mmcl.readers.signal_file import read_signal_file

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
TYPES = ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "bool"]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("version", ["4", "5"])
def test_arrays_are_those_that_scipy_reads(tmp_path, compressed, version):
    rng = np.random.default_rng(0)
    content = {f"a_{t}": (100 * rng.standard_normal((7, 5))).astype(t) for t in TYPES if version == "5" or t != "i8"}
    if version == "5":
        content |= {"cube": rng.standard_normal((20, 3, 9)), "empty": np.zeros((0, 3)), "s": {"x": 1}, "t": "text"}
        content |= {"z": np.array([[1 + 2j]]), "cells": np.array([[1, "a"]], object), "x" * 31: np.eye(2)}
    else:
        content = {k: v for k, v in content.items() if v.dtype.kind == "f"}
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, content, do_compression=compressed and version == "5", format=version)
    expected = scipy.io.loadmat(path)
    read = read_mat_arrays(path)
    assert set(read) == set(content)
    for name, x in read.items():
        if isinstance(x, str):
            assert name in ("s", "t", "z", "cells"), name
        else:
            np.testing.assert_array_equal(x, expected[name])
            assert x.dtype == expected[name].dtype


def test_real_recordings():
    files = sorted((SHARED / "utd_mhad").rglob("*.mat"))[::40]
    if not files:
        pytest.skip("the real UTD-MHAD recordings are not here")
    for path in files:
        expected = scipy.io.loadmat(path)
        for name, x in read_mat_arrays(path).items():
            np.testing.assert_array_equal(x, expected[name])


def test_files_of_machines_of_the_other_byte_order(tmp_path):
    x = np.arange(12.0).reshape(4, 3)
    flags = struct.pack(">IIII", 6, 8, 6, 0)
    sizes, name = struct.pack(">IIii", 5, 8, 4, 3), struct.pack(">HH", 1, 1) + b"x\0\0\0"
    data = struct.pack(">II", 9, 96) + x.astype(">f8").tobytes("F")
    body = flags + sizes + name + data
    path = tmp_path / "a.mat"
    path.write_bytes(
        b"MATLAB".ljust(124) + struct.pack(">H", 0x0100) + b"MI" + struct.pack(">II", 14, len(body)) + body
    )
    np.testing.assert_array_equal(read_mat_arrays(path)["x"], x)


def test_damaged_files_are_refused(tmp_path):
    """Each byte of the tags changed, in compressed and plain files; none crashes, some are read as other numbers."""
    path, rng = tmp_path / "a.mat", np.random.default_rng(0)
    scipy.io.savemat(path, {"x": rng.standard_normal((60, 3))})
    plain = path.read_bytes()
    n_refused = 0
    for at in range(124, 200):
        for value in (0, 1, 7, 127, 255):
            path.write_bytes(plain[:at] + bytes([value]) + plain[at + 1 :])
            try:
                read_signal_file(path, 50.0, "--hz")
            except FileError:
                n_refused += 1
    assert n_refused > 150
    body = plain[128:]
    for _ in range(300):  # what scipy crashes on: tags inside a compressed element
        changed = bytearray(body)
        changed[int(rng.integers(0, 72))] = int(rng.integers(0, 256))
        packed = zlib.compress(bytes(changed))
        path.write_bytes(plain[:128] + struct.pack("<II", 15, len(packed)) + packed)
        try:
            read_signal_file(path, 50.0, "--hz")
        except FileError:
            n_refused += 1
    path.write_bytes(plain[:-100])
    with pytest.raises(FileError, match="it is cut off"):
        read_mat_arrays(path)
    bomb = zlib.compress(bytes(1 << 24))
    path.write_bytes(plain[:128] + struct.pack("<II", 15, len(bomb)) + bomb)
    with pytest.raises(FileError, match="not a readable"):
        read_mat_arrays(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600))
    with pytest.raises(FileError, match=r"is of MATLAB 7\.3"):
        read_mat_arrays(path)
