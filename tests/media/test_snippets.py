"""Frames and sound against numbered frames and clicks in real files: the right one at the right time."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from clips import cut, damage, number_of, turn, write_clip

from mmcl.errors import FileError
from mmcl.media.decoder import stop_decoders
from mmcl.media.snippets import read_snippets
from mmcl.media.timing import AUDIO_HZ, FPS, SNIPPET_S
from mmcl.media.writer import write_video

HOP = SNIPPET_S * AUDIO_HZ
SHARED = Path(__file__).parents[3] / "shared" / "data"


def read(path: Path, **options):
    media, snippets = read_snippets(path, 64, **options)
    return media, list(snippets)


def shown(snippets) -> list[int]:
    return [number_of(frame) for s in snippets for frame in s.frames]


def sound_of(snippets) -> np.ndarray:
    """The sound put together again of what each snippet adds."""
    ends = [round((i + 1) * HOP) for i in range(len(snippets))]
    return np.concatenate([s.audio[-(e - b) :] for s, e, b in zip(snippets, ends, [0, *ends])])


def onsets(sound: np.ndarray) -> list[float]:
    loud = np.flatnonzero(np.abs(sound) > 0.2)
    first = loud[np.flatnonzero(np.diff(loud, prepend=-AUDIO_HZ) > 0.2 * AUDIO_HZ)]
    return (first / AUDIO_HZ).tolist()


KINDS = {
    "mp4, 24 fps": ("a.mp4", {}),
    "mp4, 12 fps": ("a.mp4", {"fps": 12, "n_frames": 36}),
    "mp4, 29.97 fps": ("a.mp4", {"fps": 30000 / 1001, "n_frames": 90}),
    "mp4, 60 fps": ("a.mp4", {"fps": 60, "n_frames": 180}),
    "mp4, 6 channels": ("a.mp4", {"n_channels": 6}),
    "mkv, HEVC, AC-3": (
        "a.mkv",
        {"video": "libx265", "audio": "ac3", "options": {"x265-params": "log-level=none"}},
    ),
    "mkv, sound 1.5 s late": ("a.mkv", {"delay_s": 1.5, "click_s": (1.6, 2.0)}),
    "mp4, sound 1.5 s late": ("a.mp4", {"delay_s": 1.5, "click_s": (1.6, 2.0)}),
    "webm, VP9, Opus": (
        "a.webm",
        {"video": "libvpx-vp9", "audio": "libopus", "options": {"deadline": "realtime"}},
    ),
    "ts": ("a.ts", {}),
    "ts, 50 fps": ("a.ts", {"fps": 50, "n_frames": 150}),
    "avi, MPEG-4, MP3": ("a.avi", {"video": "mpeg4", "audio": "mp2"}),
    "mkv, AV1": ("a.mkv", {"video": "libsvtav1", "options": {"preset": "12"}}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", ["auto", "pyav"])
def test_right_frame_and_sound(kind, reader, tmp_path):
    name, options = KINDS[kind]
    path = write_clip(tmp_path / name, **options)
    media, snippets = read(path, reader=reader)
    fps = options.get("fps", 24)
    n = (round(options.get("n_frames", 72) / fps * FPS) - 1) // 16
    assert len(snippets) == n
    for k, number in enumerate(shown(snippets)):  # time stamps may be off by half a millisecond
        assert number in {int((k / FPS + off) * fps) for off in (1e-6, 1.01e-3)}
    at = onsets(sound_of(snippets))
    assert at == pytest.approx(options.get("click_s", (0.5, 1.75)), abs=0.02)
    assert media.audio.n_channels == options.get("n_channels", 1)


def test_variable_rate(tmp_path):
    rng = np.random.default_rng(0)
    times = np.concatenate([[0], rng.uniform(0.01, 0.12, 60).cumsum()])
    for name in ("a.mp4", "a.mkv"):
        _, snippets = read(write_clip(tmp_path / name, 61, times_s=times, click_s=(0.5, 1.75), sound_s=4.0))
        k = np.arange(16 * len(snippets)) / FPS
        assert shown(snippets) == (np.searchsorted(times, k + 1e-3, side="right") - 1).tolist()
        assert onsets(sound_of(snippets)) == pytest.approx([0.5, 1.75], abs=0.02)


def test_turned_picture_is_upright(tmp_path):
    path = turn(write_clip(tmp_path / "a.mp4"), tmp_path / "turned.mp4")
    media, snippets = read(path)
    assert media.video.rotation != 0
    frames = [f for s in snippets for f in s.frames]
    assert frames[0].shape[0] > frames[0].shape[1]
    # turned clockwise, the bars run from top to bottom
    assert [number_of(np.rot90(f)) for f in frames] == list(range(len(frames)))


def test_stream_copied_cut(tmp_path):
    source = write_clip(tmp_path / "whole.mp4", 120, gop=48, click_s=(3.0,), options={"bf": "0"})
    for name in ("cut.mp4", "cut.mkv"):
        _, snippets = read(cut(source, tmp_path / name, 1.0))
        numbers = shown(snippets)
        if name == "cut.mp4":  # its edit list says what is not to be shown
            assert numbers == list(range(24, 24 + len(numbers)))
            assert onsets(sound_of(snippets)) == pytest.approx([2.0], abs=0.03)
        else:  # all of it is shown; picture and sound stay together
            at = numbers.index(72)
            assert onsets(sound_of(snippets)) == pytest.approx([at / FPS], abs=0.03)


def test_sound_shorter_than_picture_is_silent_at_the_end(tmp_path):
    _, snippets = read(write_clip(tmp_path / "a.mp4", 96, sound_s=1.0, click_s=(0.5,)))
    assert len(snippets) == 5
    assert np.abs(snippets[-1].audio).max() == 0


def test_one_stream_alone(tmp_path):
    media, snippets = read(write_clip(tmp_path / "silent.mp4", audio=None))
    assert media.audio is None
    assert all(s.audio is None for s in snippets)
    media, snippets = read(write_clip(tmp_path / "blind.m4a", video=None))
    assert media.video is None
    assert len(snippets) == 4  # 3 s are 72 frames' worth: (72 - 1) // 16
    assert onsets(sound_of(snippets)) == pytest.approx([0.5, 1.75], abs=0.02)


def test_decord_and_pyav_agree(tmp_path):
    path = write_clip(tmp_path / "a.mp4", 120, fps=30)
    a, b = read(path, reader="decord")[1], read(path, reader="pyav")[1]
    for x, y in zip(a, b, strict=True):
        assert np.abs(x.frames.astype(int) - y.frames).mean() < 4


def test_names_of_all_kinds(tmp_path):
    for name in ("größe 视频.mp4", "a b#1=2%20.mp4", "-dash.mp4", "it's.mp4"):
        assert len(read(write_clip(tmp_path / name, 24))[1]) == 1


BAD = {
    "empty": (lambda p: p.write_bytes(b""), "is empty"),
    "text": (lambda p: p.write_text("not a video " * 100), "not a readable video"),
    "truncated": (
        lambda p: p.write_bytes(write_clip(p, 240).read_bytes()[:9000]),
        "truncated|decoded|readable",
    ),
    "short": (lambda p: write_clip(p, 16), "shorter than one snippet"),
    "missing": (lambda p: None, "no such file"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_named(kind, tmp_path):
    path = tmp_path / "bad.mp4"
    make, message = BAD[kind]
    make(path)
    with pytest.raises(FileError, match=message) as error:
        read(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["video", "audio"])
@pytest.mark.parametrize("reader", ["auto", "pyav"])
def test_damage_in_the_middle_is_told(kind, reader, tmp_path):
    bad = damage(write_clip(tmp_path / "a.mp4", 240), tmp_path / "bad.mp4", kind)
    with pytest.raises(FileError, match=r"damaged|cannot be decoded"):
        read(bad, reader=reader)


def test_a_hanging_decoder_is_replaced_or_killed(tmp_path, monkeypatch):
    stop_decoders()  # those to come see the fake modules
    path = write_clip(tmp_path / "a.mp4")
    fake = tmp_path / "fake"
    (fake / "decord").mkdir(parents=True)
    hang = "import time\nclass logging:\n    ERROR=0\n    set_level=lambda x: None\ncpu=lambda i: i\n"
    (fake / "decord" / "__init__.py").write_text(hang + "def VideoReader(*a, **k): time.sleep(1000)\n")
    monkeypatch.setenv("PYTHONPATH", str(fake))
    _, snippets = read(path, timeout_s=4)
    assert len(snippets) == 4  # PyAV went on
    (fake / "av.py").write_text("import time; time.sleep(1000)\n")
    started = time.monotonic()
    with pytest.raises(FileError, match="no progress for 2 s"):
        read(path, timeout_s=2)
    assert time.monotonic() - started < 10


def test_joined_files_and_leaping_timestamps(tmp_path):
    a, b = (write_clip(tmp_path / f"{k}.ts", 96) for k in "ab")
    (tmp_path / "ab.ts").write_bytes(a.read_bytes() + b.read_bytes())
    with pytest.raises(FileError, match=r"the clock of its (picture|sound) leaps"):
        read(tmp_path / "ab.ts")
    times = np.arange(96) / 24 + 5000 * (np.arange(96) >= 48)
    with pytest.raises(FileError, match="leaps from"):
        read(write_clip(tmp_path / "leap.mkv", 96, times_s=times, sound_s=4.0))


def test_the_first_of_two_pictures(tmp_path):
    from fractions import Fraction

    import av
    from clips import numbered

    rng = np.random.default_rng(0)
    with av.open(str(tmp_path / "two.mp4"), "w") as out:
        small, large = (out.add_stream("libx264", rate=24) for _ in range(2))
        small.width, small.height, large.width, large.height = 160, 64, 320, 240
        for k in range(48):
            for stream, image in (
                (small, numbered(k)),
                (large, rng.integers(0, 255, (240, 320, 3), np.uint8)),
            ):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = k, Fraction(1, 24)
                out.mux(stream.encode(frame))
        for stream in (small, large):
            out.mux(stream.encode(None))
    assert shown(read(tmp_path / "two.mp4")[1]) == list(range(32))


def test_odd_pictures(tmp_path, monkeypatch):
    path = tmp_path / "thin.mp4"
    write_video(path, (np.zeros((16, 640, 3), np.uint8) for _ in range(48)), 24)
    with pytest.raises(FileError, match=r"narrower than 1 : 8"):
        read(path)
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "part: one.mp4", 24)
    assert len(read(Path("part: one.mp4"))[1]) == 1


def test_nothing_is_left_running(tmp_path):
    _, snippets = read_snippets(write_clip(tmp_path / "a.mp4", 240), 64)
    next(snippets)
    snippets.close()
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert str(tmp_path) not in listed


@pytest.mark.skipif(not (SHARED / "video").exists(), reason="the real videos are not here")
@pytest.mark.parametrize("reader", ["auto", "pyav"])
def test_real_videos(reader):
    for path in [*(SHARED / "video").glob("*.mp4"), *(SHARED / "xd_violence" / "clips").glob("*.mp4")]:
        media, snippets = read(path, reader=reader)
        assert len(snippets) == (round(media.video.duration_s * FPS) - 1) // 16
        assert all(s.audio is not None for s in snippets)
        assert sound_of(snippets).std() > 1e-3
