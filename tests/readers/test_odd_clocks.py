"""Clocks, offsets, rates and names as devices write them: read right, or refused."""

from __future__ import annotations

import unicodedata

import numpy as np
import pandas
import pytest
import scipy.io

from mmcl.datasets.sources.folder import read_folder
from mmcl.datasets.sources.manifest import read_manifest
from mmcl.errors import FileError
from mmcl.readers.signal_file import read_signal_file

N, HZ = 200, 50.0
TIME = np.arange(N) / HZ
MOMENTS = pandas.Timestamp("2026-03-01 12:00:00") + pandas.to_timedelta(TIME, unit="s")


def signal() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((N, 3)).round(4)


def frame_of(x: np.ndarray, **before) -> pandas.DataFrame:
    return pandas.DataFrame({**before, **dict(zip("xyz", x.T, strict=True))})


def expect(path, rate):
    got = read_signal_file(path, rate, "--hz")
    assert got.channels == ("x", "y", "z")
    assert got.rate_hz == pytest.approx(HZ, rel=1e-6)
    np.testing.assert_allclose(got.x, signal(), atol=2e-4)


def test_clocks_of_other_kinds(tmp_path):
    x = signal()
    text = [f"10:00:{s:02d}:{ms:03d}" for s, ms in ((int(t), round(1e3 * (t % 1))) for t in TIME)]
    frame_of(x, time=text).to_csv(tmp_path / "colons.csv", index=False)
    expect(tmp_path / "colons.csv", None)
    moments = [(pandas.Timestamp("2026-01-01") + pandas.Timedelta(seconds=t)).time() for t in TIME]
    frame_of(x, time=moments).to_parquet(tmp_path / "time.parquet")
    expect(tmp_path / "time.parquet", None)
    frame_of(x, time=[t.replace(":0", ":", 1) for t in text]).to_csv(tmp_path / "odd.csv", index=False)
    with pytest.raises(FileError, match=r"no moments|mixed|does not rise"):
        read_signal_file(tmp_path / "odd.csv", None, "--hz")
    slow = np.arange(N) + np.random.default_rng(0).uniform(-0.1, 0.1, N)  # 1 Hz with jitter
    frame_of(x, time_s=slow).to_csv(tmp_path / "slow.csv", index=False)
    assert read_signal_file(tmp_path / "slow.csv", None, "--hz").rate_hz == pytest.approx(1.0, rel=0.01)


def test_tables_with_marks_comments_and_labels(tmp_path):
    body = frame_of(signal()).to_csv(index=False, sep=";")
    (tmp_path / "sep.csv").write_text("sep=;\n" + body)
    expect(tmp_path / "sep.csv", HZ)
    (tmp_path / "comments.csv").write_text("# device 7\n# unit g\n" + body.replace("x;", "x;", 1))
    expect(tmp_path / "comments.csv", HZ)
    (tmp_path / "comments.csv").write_text("# device 7\n" + body.replace("\n", "\n1;2\n", 1))
    with pytest.raises(FileError, match="line 3 has 2 columns"):
        read_signal_file(tmp_path / "comments.csv", HZ, "--hz")
    lines = [f"2026-01-01 10:00:00.{k:03d},0.1,0.{k}" for k in range(100)]  # without names, as Axivity's program writes
    (tmp_path / "bare.csv").write_text("\n".join(lines))
    with pytest.raises(FileError, match="has no header"):
        read_signal_file(tmp_path / "bare.csv", None, "--hz")
    frame_of(signal(), label=np.arange(N) // 100).to_csv(tmp_path / "label.csv", index=False)
    with pytest.raises(FileError, match="column 'label', which is no channel"):
        read_signal_file(tmp_path / "label.csv", HZ, "--hz")


def test_large_offsets_are_not_rounded_away(tmp_path):
    x = signal()
    frame_of(x + np.array([0, 0, 1e9])).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(FileError, match=r"column 'z' varies by .* float32 rounds away; subtract its offset"):
        read_signal_file(tmp_path / "a.parquet", HZ, "--hz")
    np.save(tmp_path / "a.npy", np.round(1000 * x).astype(np.int64) + (1 << 40))
    with pytest.raises(FileError, match="channel 1 varies by"):
        read_signal_file(tmp_path / "a.npy", HZ, "--hz")
    np.save(tmp_path / "b.npy", x * 1e12)
    read_signal_file(tmp_path / "b.npy", HZ, "--hz")
    np.save(tmp_path / "c.npy", np.concatenate([x, np.full((N, 1), 0.1)], 1))  # a constant loses nothing that matters
    read_signal_file(tmp_path / "c.npy", HZ, "--hz")


def test_a_mat_file_says_its_rate(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"acc": signal(), "fs": HZ})
    assert read_signal_file(path, None, "--hz").rate_hz == HZ
    assert read_signal_file(path, HZ, "--hz").rate_hz == HZ
    with pytest.raises(FileError, match="says 50 Hz, --hz 100"):
        read_signal_file(path, 100.0, "--hz")
    for wrong, message in ((-50.0, "rate -50 Hz"), (0.0, "rate 0 Hz"), (np.nan, "rate nan Hz"), (2.4e9, "rate 2.4e")):
        scipy.io.savemat(path, {"acc": signal(), "fs": wrong})
        with pytest.raises(FileError, match=f"{message}.*expected 0.1 to 100000 Hz"):
            read_signal_file(path, None, "--hz")
    scipy.io.savemat(path, {"acc": signal(), "fs": HZ, "freq": 100.0})
    with pytest.raises(FileError, match=r"says several rates, .*fs 50.*keep one"):
        read_signal_file(path, None, "--hz")


@pytest.mark.parametrize("jitter_s", [0.0, 0.004])
@pytest.mark.parametrize(
    ("seconds", "part", "unit"),
    [
        ("sec", "nanosec", 1e-9), ("secs", "nsecs", 1e-9), ("seconds", "nanoseconds", 1e-9), ("sec", "usec", 1e-6),
        ("header.stamp.sec", "header.stamp.nanosec", 1e-9), ("timestamp_s", "timestamp_us", 1e-6),
    ],
)  # fmt: skip
def test_a_clock_of_two_columns(tmp_path, seconds, part, unit, jitter_s):
    """As ROS writes its stamps; both columns are one clock, and none of them a signal."""
    time = TIME + np.random.default_rng(1).uniform(0, jitter_s, N) + 1_700_000_000
    parts = {seconds: np.floor(time).astype(int), part: np.round((time % 1) / unit).astype(int)}
    frame_of(signal(), **parts).to_csv(tmp_path / "a.csv", index=False)
    got = read_signal_file(tmp_path / "a.csv", None, "--hz")
    assert got.channels == ("x", "y", "z")
    assert got.rate_hz == pytest.approx((N - 1) / (time[-1] - time[0]), rel=1e-6)
    assert got.start_s == pytest.approx(time[0], abs=1e-6)
    even = time[0] + np.arange(N) / got.rate_hz
    expected = np.stack([np.interp(even, time, column) for column in signal().T], 1)
    np.testing.assert_allclose(got.x, expected, atol=1e-3)
    frame_of(signal(), time_s=TIME, **parts).to_csv(tmp_path / "b.csv", index=False)
    expect(tmp_path / "b.csv", None)


@pytest.mark.parametrize("name", ["timestamp_100ns", "ts (10 us)", "Time [0.1 ms]", "Elapsed (1/10 s)"])
def test_clocks_that_count_multiples_of_a_unit(tmp_path, name):
    frame_of(signal(), **{name: 10 * TIME}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(FileError, match="counts multiples of a unit; write seconds, as time_s"):
        read_signal_file(tmp_path / "a.csv", None, "--hz")


def test_sensors_of_a_recording_begin_together(tmp_path):
    def index(**cells):
        row = {"name": "r", "labels": "wave", "wrist": "wrist.csv", "ankle": "ankle.csv", **cells}
        pandas.DataFrame([row]).to_csv(tmp_path / "m.csv", index=False)
        return read_manifest(tmp_path / "m.csv")

    def write(sensor, time):
        frame_of(signal(), time_s=time).to_csv(tmp_path / f"{sensor}.csv", index=False)

    write("wrist", TIME)
    write("ankle", TIME + 0.5)
    with pytest.raises(FileError, match=r"ankle\.csv: begins 0\.50 s after its wrist part; cut both"):
        index().rows[0].load(("wrist", "ankle"), ("wave",))
    write("ankle", TIME + 1.7e9)  # since 1970: cannot be compared
    index().rows[0].load(("wrist", "ankle"), ("wave",))
    write("ankle", TIME)
    assert index(events="1-2").rows[0].load(("wrist", "ankle"), ("wave",)).intervals[0].start_s == 1
    write("wrist", TIME + 1.5)
    with pytest.raises(FileError, match=r"wrist\.csv: its clock begins at 1\.50 s; do its events count from there"):
        index(events="1-2", ankle="").rows[0].load(("wrist",), ("wave",))
    for moment, after in ((MOMENTS, 0), (MOMENTS, 3)):
        frame_of(signal(), timestamp=moment).to_parquet(tmp_path / "w.parquet")
        frame_of(signal(), timestamp=moment + pandas.Timedelta(seconds=after)).to_parquet(tmp_path / "a.parquet")
        row = index(wrist="w.parquet", ankle="a.parquet").rows[0]
        if after:
            with pytest.raises(FileError, match=r"begins 3\.00 s after its wrist part"):
                row.load(("wrist", "ankle"), ("wave",))
        else:
            row.load(("wrist", "ankle"), ("wave",))


def test_accents_are_written_in_two_ways(tmp_path):
    frame_of(signal(), time_s=TIME).to_csv(tmp_path / "w.csv", index=False)
    names = [unicodedata.normalize(form, "chuté") for form in ("NFC", "NFD")]
    rows = [{"name": f"r{i}", "labels": n, "group": n, "wrist": "w.csv"} for i, n in enumerate(names)]
    pandas.DataFrame(rows).to_csv(tmp_path / "m.csv", index=False)
    index = read_manifest(tmp_path / "m.csv")
    assert index.classes == (names[0],)
    assert {row.group for row in index.rows} == {names[0]}
    for i, n in enumerate(names):
        folder = tmp_path / f"videos{i}" / n
        folder.mkdir(parents=True)
        (folder / "a.mp4").write_bytes(b"")
        assert read_folder(tmp_path / f"videos{i}").classes == (names[0],)
