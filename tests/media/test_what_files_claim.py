"""Files that say other things than they hold: longer, shorter, squeezed, silent in their first track."""

from __future__ import annotations

import struct
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import scipy.io.wavfile
from clips import clicks, number_of, numbered, write_clip

from mmcl.cli.main import main
from mmcl.errors import FileError
from mmcl.features.extract import describe_decoding, extract_file
from mmcl.features.extractor_set import create_extractors
from mmcl.media.snippets import probe_file, read_snippets


def read(path: Path, **options):
    media, reader = read_snippets(path, short_side=64, **options)
    return media, list(reader), reader


def write_tracks(path: Path, tracks: list[np.ndarray], default: int | None = None, seconds: float = 3.0) -> Path:
    """A video with several sound tracks of 48 kHz mono."""
    with av.open(str(path), "w") as out:
        v = out.add_stream("libx264", rate=24)
        v.width, v.height, v.pix_fmt = 160, 64, "yuv420p"
        streams = [out.add_stream("aac", rate=48_000, layout="mono") for _ in tracks]
        for i, stream in enumerate(streams):
            marked = default is None or default == i
            stream.disposition = av.stream.Disposition.default if marked else av.stream.Disposition(0)
        packets = []
        for k in range(round(seconds * 24)):
            frame = av.VideoFrame.from_ndarray(numbered(k), format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 24)
            packets += v.encode(frame)
        packets += v.encode(None)
        for stream, x in zip(streams, tracks, strict=True):
            frame = av.AudioFrame.from_ndarray(x[None].astype(np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
            resampler = av.AudioResampler("fltp", "mono", 48_000, frame_size=1024)
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                packets += stream.encode(part)
            packets += stream.encode(None)
        for packet in sorted(packets, key=lambda p: float((p.dts or 0) * p.time_base)):
            out.mux(packet)
    return path


def loudness(snippets) -> float:
    return float(np.abs(np.concatenate([s.audio for s in snippets])).max())


def test_sound_behind_the_picture_is_told(tmp_path, capsys):
    path = write_clip(tmp_path / "a.mp4", 72, sound_s=30.0)
    _, snippets, reader = read(path)
    assert len(snippets) == 4
    assert reader.unscored_s == pytest.approx(30 - 4 * 2 / 3, abs=0.1)
    assert main(["extract", str(path), "--out", str(tmp_path / "store"), "--visual", "motion"]) == 0
    assert "its picture ends after 2.7 s, 27.3 s before its sound, and the rest is left out" in capsys.readouterr().out
    both = read(write_clip(tmp_path / "b.mp4", 72))[2]
    assert both.unscored_s < 1.0


def test_sound_tracks(tmp_path):
    silent, loud = np.zeros(48_000 * 3), clicks((1.0,), 3.0, 48_000)[0]
    other = clicks((2.0,), 3.0, 48_000)[0]
    first = write_tracks(tmp_path / "first.mkv", [silent, loud], default=0)
    assert loudness(read(first)[1]) == 0
    assert loudness(read(first, audio_track="2")[1]) > 0.3
    second = write_tracks(tmp_path / "second.mkv", [silent, loud], default=1)
    media, snippets, _ = read(second)
    assert (media.audio.track, media.audio.n_tracks) == (2, 2)
    assert loudness(snippets) > 0.3
    with pytest.raises(FileError, match="has 2 sound tracks, not 3; choose another --audio-track"):
        read(second, audio_track="3")
    mixed = write_tracks(tmp_path / "mixed.mkv", [loud, other], default=0)
    alone = [np.concatenate([s.audio for s in read(mixed, audio_track=t)[1]]) for t in ("1", "2")]
    together = np.concatenate([s.audio for s in read(mixed, audio_track="mix")[1]])
    np.testing.assert_allclose(together, np.mean(alone, 0), atol=2e-3)
    extractors = create_extractors("none", "log-mel", audio_track="mix")
    assert "has 2 sound tracks, their mean is used" in extract_file(mixed, extractors).notes[0]
    assert extractors.cards["audio"].differs_from(create_extractors("none").cards["audio"]) == "track mix, not default"


@pytest.mark.parametrize("reader", ["pyav", "decord"])
def test_pixels_that_are_not_square(tmp_path, reader):
    path = tmp_path / "wide.mp4"
    with av.open(str(path), "w") as out:
        v = out.add_stream("libx264", rate=24)
        v.width, v.height, v.pix_fmt = 160, 128, "yuv420p"
        v.codec_context.sample_aspect_ratio = Fraction(2, 1)
        for k in range(40):
            frame = av.VideoFrame.from_ndarray(np.repeat(numbered(k), 2, 0), format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 24)
            out.mux(v.encode(frame))
        out.mux(v.encode(None))
    assert probe_file(path).video.pixel_aspect == 2
    frames = read(path, reader=reader)[1][0].frames
    assert frames.shape[1:3] == (64, 160)  # 320 x 128 as shown
    assert [number_of(f) for f in frames] == list(range(16))


def write_wav(path: Path, seconds: float, claims_s: float) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(np.zeros(round(8000 * seconds), np.int16).tobytes())
    data = bytearray(path.read_bytes())
    data[40:44] = struct.pack("<I", round(claims_s * 8000) * 2)
    data[4:8] = struct.pack("<I", round(claims_s * 8000) * 2 + 36)
    path.write_bytes(data)
    return path


def test_files_that_are_cut_off_or_still_written(tmp_path):
    path = write_wav(tmp_path / "a.wav", 30, 60)
    with pytest.raises(FileError, match=r"holds 480,000 of 960,000 bytes of sound: it is truncated; .*--growing"):
        read(path)
    assert len(read(path, growing=True)[1]) == 44
    assert len(read(write_wav(tmp_path / "b.wav", 30, 30))[1]) == 44
    ts = write_clip(tmp_path / "a.ts", 240)
    ts.write_bytes(ts.read_bytes()[: ts.stat().st_size * 2 // 3 // 188 * 188 + 50])
    with pytest.raises(FileError, match="ends in the middle of a packet"):
        read(ts)
    _, snippets, _ = read(ts, growing=True)
    assert 4 <= len(snippets) < 14
    mkv = write_clip(tmp_path / "a.mkv", 240)
    mkv.write_bytes(mkv.read_bytes()[: mkv.stat().st_size // 2])
    with pytest.raises(FileError, match=r"truncated|cannot be decoded|damaged"):
        read(mkv)
    _, snippets, reader = read(mkv, growing=True)
    assert len(snippets) >= 3
    assert reader.incomplete


def test_what_a_small_file_can_last(tmp_path):
    """Millions of snippets from a thousand bytes: refused, and at once."""
    n = 24
    for name, times in (
        ("gaps.mkv", np.arange(n) * 590.0),
        ("last.mkv", np.append(np.arange(n - 1) / 24, 2_000_000.0)),
    ):
        path = write_clip(tmp_path / name, n, times_s=times, audio=None)
        with pytest.raises(FileError, match=r"claims to last more than \d+ s|leaps from"):
            read(path)
    path = write_clip(tmp_path / "a.mp4", 120, audio=None)
    data = bytearray(path.read_bytes())
    at = data.index(b"mdhd") + 4 + 12  # version 0: the timescale
    assert struct.unpack(">I", data[at : at + 4])[0] > 1000
    data[at : at + 4] = struct.pack(">I", 1)
    path.write_bytes(data)
    with pytest.raises(FileError, match=r"lasts 5\d\d\.\d s by its time stamps and 5\.0 s by its header"):
        read(path)
    long = np.append(np.arange(n - 1) / 24, 400.0)  # a still picture of some minutes is believed
    assert len(read(write_clip(tmp_path / "still.mkv", n, times_s=long, audio=None))[1]) >= 590


def test_a_still_picture_over_sound(tmp_path):
    """As long as its frame is shown; what follows is told, or the file is refused."""
    path = write_clip(tmp_path / "still.mp4", 1, sound_s=20.0)
    with pytest.raises(FileError, match="shorter than one snippet"):
        read(path)
    half_a_frame_a_second = write_clip(tmp_path / "slow.mp4", 10, fps=0.5, sound_s=20.0)
    assert len(read(half_a_frame_a_second)[1]) == 29


def test_joined_and_cut_off_files_that_ffmpeg_is_silent_about(tmp_path):
    mp4 = write_clip(tmp_path / "a.mp4", 72)
    (tmp_path / "two.mp4").write_bytes(mp4.read_bytes() * 2)
    with pytest.raises(FileError, match="is several files joined, of which the first alone can be read"):
        read(tmp_path / "two.mp4")
    wav = write_wav(tmp_path / "a.wav", 3, 3)
    (tmp_path / "two.wav").write_bytes(wav.read_bytes() * 2)
    with pytest.raises(FileError, match="holds more than the 48,000 bytes of sound"):
        read(tmp_path / "two.wav")
    flv = write_clip(tmp_path / "a.flv", 72, video="flv", audio=None)
    flv.write_bytes(flv.read_bytes()[: flv.stat().st_size // 2])
    with pytest.raises(FileError, match=r"truncated|cannot be decoded|damaged"):
        read(flv)
    (tmp_path / "two.flv").write_bytes(write_clip(tmp_path / "a.flv", 72, video="flv", audio=None).read_bytes() * 2)
    with pytest.raises(FileError, match="is several files joined, of which the first alone can be read"):
        read(tmp_path / "two.flv")


@pytest.mark.parametrize(("ending", "codec"), [("opus", "libopus"), ("mp3", "libmp3lame")])
@pytest.mark.parametrize("share", [0.4, 0.5, 0.98])
def test_sound_files_that_are_cut_off(tmp_path, ending, codec, share):
    path = write_clip(tmp_path / f"a.{ending}", 240, video=None, audio=codec)
    n = len(read(path)[1])
    assert n == 14
    path.write_bytes(path.read_bytes()[: round(share * path.stat().st_size)])
    with pytest.raises(FileError, match=r"truncated|does not say that it ends"):
        read(path)
    assert 0 < len(read(path, growing=True)[1]) <= round(share * n) + 1


def test_samples_far_beyond_full_scale(tmp_path):
    path, x = tmp_path / "a.wav", np.random.default_rng(0).standard_normal(48_000).astype(np.float32)
    scipy.io.wavfile.write(path, 16_000, x)
    assert loudness(read(path)[1]) > 1
    scipy.io.wavfile.write(path, 16_000, np.float32(1e30) * x)
    with pytest.raises(FileError, match=r"its sound holds samples of .*, 1 is full scale; scale it to -1 to 1"):
        read(path)


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_frames_of_avi_with_b_frames(tmp_path, codec):
    path = write_clip(tmp_path / "a.avi", 72, video=codec, audio=None, options={"bf": "2"})
    media, snippets, _ = read(path)
    assert media.format == "avi"
    assert [number_of(s.frames[0]) for s in snippets] == [0, 16, 32, 48]


def test_several_pictures(tmp_path, capsys):
    """The one that the file marks as default; which is told."""
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as out:
        streams = [out.add_stream("libx264", rate=24) for _ in range(2)]
        for i, stream in enumerate(streams):
            stream.width, stream.height, stream.pix_fmt = 160, 64, "yuv420p"
            stream.disposition = av.stream.Disposition.default if i == 1 else av.stream.Disposition(0)
        for k in range(48):
            for i, stream in enumerate(streams):
                frame = av.VideoFrame.from_ndarray(numbered(k + 500 * i), format="rgb24")
                frame.pts, frame.time_base = k, Fraction(1, 24)
                out.mux(stream.encode(frame))
        for stream in streams:
            out.mux(stream.encode(None))
    media, snippets, reader = read(path)
    assert [number_of(s.frames[0]) for s in snippets] == [500, 516]
    assert "has 2 pictures, stream 1 is used" in "\n".join(describe_decoding(path, media, reader, False))


@pytest.mark.parametrize("ending", ["mkv", "webm", "mp4"])
def test_a_clock_that_begins_late(ending, tmp_path):
    """Matroska says when a stream ends, not how long it lasts."""
    codec = "libvpx" if ending == "webm" else "libx264"
    path = write_clip(tmp_path / f"a.{ending}", 72, video=codec, audio=None, times_s=5 + np.arange(72) / 24)
    media, snippets = read_snippets(path, 64)
    assert media.start_s == pytest.approx(5.0, abs=0.01) or ending == "mp4"
    assert sum(1 for _ in snippets) == 4
    content = path.read_bytes()
    (tmp_path / f"b.{ending}").write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(FileError):
        list(read_snippets(tmp_path / f"b.{ending}", 64)[1])
