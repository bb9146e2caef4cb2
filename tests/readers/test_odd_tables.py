"""Tables as devices and programs write them: read right, or refused; never a number from what is no channel."""

from __future__ import annotations

import csv
import json
import struct
from pathlib import Path

import numpy as np
import pandas
import pytest
from support import read_utd_mhad

from mmcl.cli.main import main
from mmcl.errors import FileError
from mmcl.io import read_json
from mmcl.readers.kinds import get_kind
from mmcl.readers.lazy_array import open_npy
from mmcl.readers.signal_file import read_signal_file
from mmcl.readers.timed_table import check_channels

N, HZ = 200, 50.0
TIME = np.arange(N) / HZ


def signal(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((N, 3)).round(4)


def frame_of(x: np.ndarray, **before) -> pandas.DataFrame:
    return pandas.DataFrame({**before, **dict(zip("xyz", x.T, strict=True))})


def expect(path, rate, hz=HZ, x=None, channels=("x", "y", "z")):
    got = read_signal_file(path, rate, "--hz")
    assert got.channels == channels
    assert got.rate_hz == pytest.approx(hz, rel=1e-6)
    np.testing.assert_allclose(got.x, signal() if x is None else x, atol=2e-4)


MOMENTS = pandas.Timestamp("2026-03-01 12:00:00") + pandas.to_timedelta(TIME, unit="s")


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
@pytest.mark.parametrize("name", ["time_s", "timestamp", "Datetime"])
def test_datetimes_are_times(tmp_path, name, zone):
    moments = MOMENTS if zone is None else MOMENTS.tz_localize(zone)
    frame = frame_of(signal(), **{name: moments})
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    expect(tmp_path / "a.parquet", None)
    expect(tmp_path / "a.csv", None)


@pytest.mark.parametrize(("name", "factor"), [("time_ms", 1e3), ("timestamp_ns", 1e9), ("Time (s)", 1)])
def test_the_unit_of_a_clock_is_in_its_name(tmp_path, name, factor):
    frame_of(signal(), **{name: TIME * factor}).to_csv(tmp_path / "a.csv", index=False)
    expect(tmp_path / "a.csv", None)


def test_indices_and_clocks_are_no_channels(tmp_path):
    x = signal()
    frame_of(x).to_csv(tmp_path / "index.csv")  # a column without a name
    expect(tmp_path / "index.csv", HZ)
    frame_of(x).set_index(pandas.RangeIndex(7, 7 + 2 * N, 2)).to_parquet(tmp_path / "range.parquet")
    expect(tmp_path / "range.parquet", HZ)
    frame_of(x).sample(frac=1.0, random_state=0).sort_index().set_index(np.arange(N) ** 2).to_parquet(
        tmp_path / "level.parquet"
    )
    expect(tmp_path / "level.parquet", HZ)
    for i, before in enumerate(({"timestamp": TIME * 1e6}, {"sample": np.arange(N)}, {"Unnamed: 0": TIME})):
        frame_of(x, **before).to_csv(tmp_path / f"{i}.csv", index=False)
        expect(tmp_path / f"{i}.csv", HZ)
    frame_of(x, timestamp=TIME * 1e6).to_csv(tmp_path / "unit.csv", index=False)
    with pytest.raises(FileError, match="column 'timestamp' has no unit; call it time_s"):
        read_signal_file(tmp_path / "unit.csv", None, "--hz")
    text = (tmp_path / "index.csv").read_text().replace("\n5,", "\n77,")
    (tmp_path / "odd.csv").write_text(text)
    with pytest.raises(FileError, match="a column without a name that is no index"):
        read_signal_file(tmp_path / "odd.csv", HZ, "--hz")
    frame_of(x, note=["a"] * N).to_parquet(tmp_path / "text.parquet")
    with pytest.raises(FileError, match=r"column 'note' holds .*string"):
        read_signal_file(tmp_path / "text.parquet", HZ, "--hz")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_one_rule_for_gaps_and_order(tmp_path, suffix):
    def write(time):
        frame = frame_of(signal(), time_s=time)
        path = tmp_path / f"a.{suffix}"
        frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
        return path

    with pytest.raises(FileError, match=r"a gap of 3600\.0 s in line 1\d\d"):
        read_signal_file(write(TIME + 3600 * (TIME >= 2)), None, "--hz")
    back = TIME.copy()
    back[[3, 4]] = back[[4, 3]]
    with pytest.raises(FileError, match="time_s does not rise in line"):
        read_signal_file(write(back), None, "--hz")
    with pytest.raises(FileError, match="in the unit that its name says"):
        read_signal_file(write(TIME * 1e3), None, "--hz")  # milliseconds
    with pytest.raises(FileError, match="and --hz was given too"):
        read_signal_file(write(TIME), 50.0, "--hz")


def test_stamps_of_whole_seconds(tmp_path):
    """They are spread over their second where all seconds hold as many samples; else the rate is asked for."""
    first = 1_700_000_000
    frame_of(signal(), time_s=first + np.floor(TIME + 0.3)).to_csv(tmp_path / "a.csv", index=False)
    expect(tmp_path / "a.csv", None)
    stamps = (MOMENTS + pandas.Timedelta(0.3, "s")).floor("s")
    frame_of(signal(), timestamp=stamps).to_csv(tmp_path / "b.csv", index=False)
    expect(tmp_path / "b.csv", None)
    uneven = np.repeat(np.arange(10.0), [3, 40, 20, 20, 1, 50, 20, 20, 20, 6])
    frame_of(signal(), time_s=uneven).to_csv(tmp_path / "c.csv", index=False)
    with pytest.raises(FileError, match="does not rise in line 3; give the rate by --hz and remove the column"):
        read_signal_file(tmp_path / "c.csv", None, "--hz")


def test_separators_decimal_commas_encodings_and_endings(tmp_path):
    x = signal()
    frame = frame_of(x, time_s=TIME)
    frame.to_csv(tmp_path / "a.csv", sep=";", decimal=",", index=False)
    frame.to_csv(tmp_path / "b.csv", sep="\t", index=False, encoding="utf-16")
    frame.to_csv(tmp_path / "c.CSV", index=False, encoding="utf-8-sig", lineterminator="\r\n")
    frame.to_csv(tmp_path / "d.csv", index=False, quoting=csv.QUOTE_ALL)
    for name in ("a.csv", "b.csv", "c.CSV", "d.csv"):
        expect(tmp_path / name, None)
    (tmp_path / "one.csv").write_text("x\n1,5\n2,5\n")  # one column, decimal commas: two columns, or one?
    with pytest.raises(FileError, match="line 2 has 2 columns, the header 1"):
        read_signal_file(tmp_path / "one.csv", HZ, "--hz")
    (tmp_path / "latin.csv").write_bytes("x\xb0,y\n1,2\n3,4\n".encode("latin-1"))
    with pytest.raises(FileError, match="is no UTF-8 or UTF-16 text"):
        read_signal_file(tmp_path / "latin.csv", HZ, "--hz")
    (tmp_path / "under.csv").write_text("x,y\n1_0,2\n3,4\n")
    with pytest.raises(FileError, match="line 2: could not convert"):
        read_signal_file(tmp_path / "under.csv", HZ, "--hz")


def test_lines_before_the_header_are_named(tmp_path):
    preamble = [
        "------------ Data File Created By ActiGraph GT3X+ ActiLife v6.13.3 Firmware v2.5.0 ---",
        "Serial Number: X",
    ]
    preamble += ["Start Time 12:00:00", "Start Date 3/1/2026", "Epoch Period (hh:mm:ss) 00:00:00", "Battery 3,96"]
    table = frame_of(signal(), Timestamp=MOMENTS).to_csv(index=False)
    (tmp_path / "a.csv").write_text("\n".join(preamble) + "\n" + table)
    with pytest.raises(FileError, match=r"begins with 6 lines before its header \(Timestamp, x, y, z\); remove these"):
        read_signal_file(tmp_path / "a.csv", None, "--hz")


def test_arrays_that_lie_on_their_side(tmp_path):
    path = tmp_path / "x.npy"
    with pytest.raises(FileError, match="holds 3 frames of 500 channels, fewer frames than channels; save it transp"):
        get_kind("inertial").shaped(np.zeros((3, 500)), path)
    with pytest.raises(FileError, match=r"holds shape \(40, 10, 16\), expected \(row, channel\); of several crops"):
        get_kind("features").shaped(np.zeros((40, 10, 16)), path)
    with pytest.raises(FileError, match="60 frames of 100 joints"):
        get_kind("skeleton").shaped(np.zeros((60, 300)), path)
    assert get_kind("features").shaped(np.zeros((5, 512)), path).shape == (5, 512)
    assert get_kind("skeleton").shaped(np.zeros((15, 60)), path).shape == (15, 20, 3)


def test_what_files_claim_is_looked_at_before_it_is_read(tmp_path):
    import zlib

    # a compressed variable of 8 bytes a number that claims 20,000 x 20,000 of them
    shape, name = (20_000, 20_000), b"d"
    head = struct.pack("<IIIIII", 6, 8, 6, 0, 5, 8) + struct.pack("<ii", *shape) + struct.pack("<HH4s", 1, 1, name)
    head += struct.pack("<II", 9, 8 * shape[0] * shape[1] & 0xFFFFFFFF)
    body = zlib.compress(struct.pack("<II", 14, len(head) + 64) + head + bytes(64))
    text = b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + struct.pack("<H2s", 0x0100, b"IM")
    (tmp_path / "a.mat").write_bytes(text + struct.pack("<II", 15, len(body)) + body)
    with pytest.raises(FileError, match=r"a\.mat: .*(claims to hold|is cut off|bytes)"):
        read_signal_file(tmp_path / "a.mat", HZ, "--hz")
    for shape, message in (((-5, 3), "negative"), ((10**12, 3), "is cut off")):
        with open(tmp_path / "b.npy", "wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
            file.write(bytes(64))
        with pytest.raises(FileError, match=message):
            open_npy(tmp_path / "b.npy")
        with pytest.raises(FileError, match=message):
            read_signal_file(tmp_path / "b.npy", HZ, "--hz")
    (tmp_path / "deep.json").write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(FileError, match="not readable as JSON"):
        read_json(tmp_path / "deep.json")
    with pytest.raises(FileError, match="no regular file"):
        read_json(Path("/dev/zero"))


def score(folder, frame, tmp_path) -> int:
    frame.to_csv(tmp_path / "new.csv", index=False)
    (tmp_path / "new-manifest.csv").write_text("name,wrist\nnew,new.csv\n")
    return main(["score", str(folder / "run"), str(tmp_path / "new-manifest.csv"), "--out", str(tmp_path / "out")])


def test_channels_are_named_and_alike(wrist_run, tmp_path, capsys):
    saved = json.loads((wrist_run / "run" / "config.json").read_text())
    assert saved["inputs"]["wrist"]["channels"] == ["x", "y", "z"]
    good = pandas.read_csv(wrist_run / "1.csv")
    assert score(wrist_run, good, tmp_path) == 0
    assert "warning" not in capsys.readouterr().out
    assert score(wrist_run, good[["time_s", "z", "x", "y"]], tmp_path) == 1
    assert "has its channels in the order z, x, y; the model was trained on x, y, z" in capsys.readouterr().err
    assert score(wrist_run, good.rename(columns={"x": "ax", "y": "ay", "z": "az"}), tmp_path) == 0
    assert "its wrist channels ax, ay, az are taken for x, y, z" in capsys.readouterr().out
    other = tmp_path / "other"
    other.mkdir()
    for i in range(24):
        frame = pandas.read_csv(wrist_run / f"{i}.csv")
        (frame if i != 5 else frame[["time_s", "y", "x", "z"]]).to_csv(other / f"{i}.csv", index=False)
    (other / "own.csv").write_text((wrist_run / "own.csv").read_text())
    words = ["train", "recordings", "--data", str(other / "own.csv"), "--out", str(tmp_path / "run")]
    assert main(words) == 1
    assert "5.csv: has the channels y, x, z, others x, y, z; name them alike" in capsys.readouterr().err


def test_other_units_are_warned_of(wrist_run, tmp_path, capsys):
    frame = pandas.read_csv(wrist_run / "1.csv")
    frame[["x", "y", "z"]] *= 9.80665
    assert score(wrist_run, frame, tmp_path) == 0
    shown = capsys.readouterr().out
    assert "warning: wrist," in shown
    assert "are the units, channels and their order the same?" in shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time_s;p;q\n0;998;0,5\n0,1;1.001;0,5\n", "numbers with commas and with points"),
        ("time_s\tp\n0\t999\n1\t1,000\n", "thousands, or decimals"),
        ('x,"y\n1,2\n3,4"\n5,6\n7,8\n', "is no table"),
        ("x,y\n1," + "2" * 140_000 + "\n3,4\n", "is no table|NaN or infinity"),
    ],
)
def test_marks_and_quotes_that_say_two_things(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(FileError, match=message) as error:
        read_signal_file(tmp_path / "a.csv", None if "time_s" in text else HZ, "--hz")
    assert "\n" not in str(error.value)


def test_a_clock_rises_by_steps_that_are_alike(rng):
    """Jitter and bursts leave half of them so; a joint that is lifted, or a temperature, has steps of any size."""
    x = rng.standard_normal((500, 20, 3))
    clocks = (
        np.cumsum(np.abs(1 + 0.3 * rng.standard_normal(500))),
        np.cumsum(np.tile([0.05, 0.05, 0.05, 3.85], 125)),
        np.cumsum(np.tile([0.2, 1.8], 250)),
    )
    for ticks in clocks:
        x[:, 4, 1] = ticks
        with pytest.raises(FileError, match="channel 14 rises like a clock"):
            check_channels(x, (), Path("a.npy"))
    for rising in (
        np.cumsum(rng.exponential(size=500)),
        np.sort(rng.standard_normal(500)),
        np.linspace(0, 1, 500) ** 3,
    ):
        x[:, 4, 1] = rising
        check_channels(x, (), Path("a.npy"))


def test_no_joint_of_real_people_is_a_clock(utd_mhad):
    """21 of these skeletons have a coordinate that only rises."""
    for recording in read_utd_mhad(utd_mhad):
        check_channels(recording.signal["skeleton"], (), Path(recording.name))


def test_clocks_by_name_unit_and_value(tmp_path):
    x = signal()
    for name, factor in (("Timestamp [µs]", 1e6), ("timestampMs", 1e3), ("Time (milliseconds)", 1e3)):
        frame_of(x, **{name: TIME * factor}).to_csv(tmp_path / "a.csv", index=False)
        expect(tmp_path / "a.csv", None)
        with pytest.raises(FileError, match="and --hz was given too; leave out --hz"):
            read_signal_file(tmp_path / "a.csv", HZ, "--hz")
    for name, column in (("loggingMoment", TIME), ("PacketCounter", np.arange(N) % 256), ("n2", 2 * np.arange(N))):
        frame_of(x, **{name: column}).to_csv(tmp_path / "b.csv", index=False)
        with pytest.raises(FileError, match=f"column '{name}' rises like a clock or a counter"):
            read_signal_file(tmp_path / "b.csv", HZ, "--hz")
    np.save(tmp_path / "a.npy", np.column_stack([TIME, x]))
    with pytest.raises(FileError, match="channel 1 rises like a clock"):
        read_signal_file(tmp_path / "a.npy", HZ, "--hz")
    frame_of(x, time_ms=TIME).to_csv(tmp_path / "c.csv", index=False)  # seconds
    with pytest.raises(FileError, match="makes 50000 Hz; is it in the unit that its name says"):
        read_signal_file(tmp_path / "c.csv", None, "--hz")
    bursts = np.arange(N) // 10 * 0.1 + np.arange(N) % 10 * 1e-4
    frame_of(x, time_s=bursts).to_csv(tmp_path / "d.csv", index=False)
    with pytest.raises(FileError, match="the stamps of time_s come in bursts"):
        read_signal_file(tmp_path / "d.csv", None, "--hz")


def test_odd_arrays(tmp_path, recwarn):
    import scipy.sparse

    scipy.io.savemat(tmp_path / "a.mat", {"x": scipy.sparse.csc_matrix(signal())})
    with pytest.raises(FileError, match="expected exactly one signal in it, a full array"):
        read_signal_file(tmp_path / "a.mat", HZ, "--hz")
    for content in (3.0, np.zeros((5, 0)), np.zeros((5, 2), bool), np.zeros((2, 2, 2, 2))):
        np.save(tmp_path / "a.npy", content)
        with pytest.raises(FileError, match="holds shape"):
            read_signal_file(tmp_path / "a.npy", HZ, "--hz")
    frame_of(signal()).iloc[:0].to_parquet(tmp_path / "a.parquet")
    with pytest.raises(FileError, match="holds 0 samples"):
        read_signal_file(tmp_path / "a.parquet", HZ, "--hz")
    lines = "".join(f"0:00:0{t:.2f},1.{i % 7}\n" for i, t in enumerate(np.arange(50) / 50))
    (tmp_path / "a.csv").write_text("time,x\n" + lines)
    assert read_signal_file(tmp_path / "a.csv", None, "--hz").rate_hz == pytest.approx(50)
    assert not [w for w in recwarn if issubclass(w.category, UserWarning)]
