"""Decoding processes serve one file after the other; those that hang, crash or are left in the middle are replaced."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from clips import write_clip

from mmcl.errors import FileError
from mmcl.media import decoder as module
from mmcl.media.decoder import return_decoder, stop_decoders, take_decoder
from mmcl.media.snippets import probe_file, read_snippets


@pytest.fixture(autouse=True)
def _no_idle_ones():
    stop_decoders()
    yield
    stop_decoders()


def pids() -> list[int]:
    return [d.process.pid for d in module._idle]


def test_one_process_serves_many_files(tmp_path):
    files = [write_clip(tmp_path / f"{k}.mp4", 40 + k) for k in range(3)]
    first = list(read_snippets(files[0], 64)[1])
    (pid,) = pids()
    for path in files[1:]:
        list(read_snippets(path, 64)[1])
        assert probe_file(path).video.width == 160
    assert pids() == [pid]
    again = list(read_snippets(files[0], 64)[1])
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(first, again, strict=True))


def test_a_bad_file_does_not_spoil_the_next(tmp_path):
    good, bad = write_clip(tmp_path / "good.mp4"), tmp_path / "bad.mp4"
    bad.write_text("no video")
    for _ in range(2):
        with pytest.raises(FileError, match="not a readable video"):
            read_snippets(bad, 64)
        assert len(list(read_snippets(good, 64)[1])) == 4


def test_left_in_the_middle_or_crashed_it_is_replaced(tmp_path):
    long = write_clip(tmp_path / "long.mp4", 480)
    _, snippets = read_snippets(long, 64)
    next(snippets)
    snippets.close()
    assert pids() == []
    list(read_snippets(long, 64)[1])
    (pid,) = pids()
    os.kill(pid, signal.SIGKILL)
    module._idle[0].process.wait()
    taken = take_decoder()
    return_decoder(taken)  # a dead one is not kept
    assert pids() == []
    assert len(list(read_snippets(long, 64)[1])) == 29


def test_a_file_of_which_nothing_is_needed_leaves_no_process(tmp_path):
    from mmcl.features.extract import extract_file
    from mmcl.features.extractor_set import create_extractors

    path = write_clip(tmp_path / "sound.wav", 72, video=None, audio="pcm_s16le")
    before = children()
    for _ in range(3):
        assert extract_file(path, create_extractors("descriptors", "none"), may_be_empty=True).n_snippets == 0
        reader = read_snippets(path, 64)[1]
        del reader
    assert len(children() - before) <= len(pids())


def children() -> set[int]:
    return set(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))


def test_a_process_ends_after_many_files(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "a.mp4", 40)
    monkeypatch.setattr(module, "MAX_FILES", 2)
    list(read_snippets(path, 64)[1])
    (pid,) = pids()
    list(read_snippets(path, 64)[1])
    assert pids() == []
    list(read_snippets(path, 64)[1])
    assert pids() != [pid]


def test_without_sound_the_picture_is_the_same(tmp_path):
    path = write_clip(tmp_path / "late.mkv", 72, delay_s=-0.5)  # the sound begins before the picture
    with_sound, without = (list(read_snippets(path, 64, has_sound=h)[1]) for h in (True, False))
    assert all(s.audio is None for s in without)
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(with_sound, without, strict=True))
