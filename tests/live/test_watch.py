"""Live scores against those of the recorded file, over every transport; gaps, slowness, bad sources."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
from clips import write_clip
from live_clips import write_live_clip
from senders import free_port, http_folder, http_stream, in_thread, remux, rtsp, tcp_stream

from mmcl.cli.main import main
from mmcl.evaluation.events import EventRule
from mmcl.live.outputs import Output
from mmcl.live.reader import StreamReader
from mmcl.live.scores import sides_of
from mmcl.live.watch import Watcher
from mmcl.media.stream import LiveSource


class Kept(Output):
    """Keeps messages."""

    def __init__(self):
        self.messages = []

    def send(self, message):
        self.messages.append(message)

    def of(self, kind):
        return [m for m in self.messages if m["type"] == kind]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_live_clip(tmp_path_factory.mktemp("live"))


def watch(model, address: str, n_segments: int = 1, rule=None, stall_s=2.0, drops=False, **options):
    """Messages of so many segments of a source."""
    kept = Kept()
    extractors = model.video_scorer.extractors
    reader = StreamReader(
        LiveSource(address, stall_s), sides_of(extractors), tuple(extractors.parts), drops=drops, **options
    )
    watcher = Watcher(model.predictor, extractors, reader, rule or EventRule(), [kept], log=lambda text: None)
    ended = 0
    for item in reader:
        watcher.take(item)
        ended = sum("dropped" not in gap["reason"] for gap in kept.of("gap"))
        if ended == n_segments:
            break
    watcher.end()
    reader.stop()
    return kept, watcher


def assert_as_the_file(model, messages, path: Path, tolerance=1e-5) -> None:
    """Every snippet of a segment is scored as in the recorded file."""
    expected = model.score(path).snippets
    assert len(messages) == len(expected.score)
    np.testing.assert_allclose([m["joint"] for m in messages], expected.score, atol=tolerance)
    for m, score in expected.modality_score.items():
        np.testing.assert_allclose([message[m] for message in messages], score, atol=tolerance)


def test_the_model_has_a_context(video_model):
    assert video_model.predictor.network.context >= 2


def test_a_file_that_grows(video_model, clip, tmp_path):
    content, path = clip.read_bytes(), tmp_path / "growing.ts"
    path.write_bytes(content[: len(content) // 3])

    def grow():
        with open(path, "ab") as file:
            for start in range(len(content) // 3, len(content), 20_000):
                time.sleep(0.05)
                file.write(content[start : start + 20_000])
                file.flush()

    with in_thread(grow):
        kept, watcher = watch(video_model, str(path), stall_s=1.5)
    assert_as_the_file(video_model, kept.of("snippet"), clip)
    assert kept.messages[0]["type"] == "begin"
    assert kept.messages[-1]["type"] == "end"
    assert kept.of("gap") == []
    assert watcher.summary().startswith("7.3 s scored")


def test_standard_input(video_model, clip):
    words = [sys.executable, "-m", "mmcl", "watch", str(video_model.folder), "-", "--json", "-"]
    done = subprocess.run(words, input=clip.read_bytes(), capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    assert_as_the_file(video_model, [m for m in messages if m["type"] == "snippet"], clip)
    assert b"a score is known" in done.stderr


def test_mpeg_ts_over_http(video_model, clip):
    with http_stream(lambda send, number: send(clip.read_bytes())) as address:
        kept, _ = watch(video_model, address)
    assert_as_the_file(video_model, kept.of("snippet"), clip)


def test_udp(video_model, clip):
    """Datagrams that are lost are gaps; on loopback none is."""
    port = free_port()

    def send():
        time.sleep(1.0)
        remux(clip, f"udp://127.0.0.1:{port}?pkt_size=1316", pace=8.0, format="mpegts")

    with in_thread(send):
        kept, watcher = watch(video_model, f"udp://127.0.0.1:{port}", stall_s=3.0)
    snippets = kept.of("snippet")
    assert len(kept.of("gap")) == 1
    expected = video_model.score(clip).snippets.score
    assert len(expected) - len(snippets) <= 2  # a sender writes its tables first when a receiver is there
    assert watcher.reader.counts.dropped == 0


def test_tcp(video_model, clip):
    with tcp_stream(clip.read_bytes()) as address:
        kept, _ = watch(video_model, address)
    assert_as_the_file(video_model, kept.of("snippet"), clip)
    assert kept.of("gap")[0]["reason"] == "it ended"


def test_hls(video_model, clip, tmp_path):
    options = {"options": {"hls_time": "2", "hls_list_size": "0", "hls_playlist_type": "vod"}}
    remux(clip, str(tmp_path / "live.m3u8"), format="hls", **options)
    assert len(list(tmp_path.glob("*.ts"))) >= 3
    with http_folder(tmp_path) as address:
        kept, _ = watch(video_model, f"{address}/live.m3u8")
    joined = tmp_path / "joined.ts"
    parts = sorted(tmp_path.glob("live*.ts"), key=lambda p: (len(p.name), p.name))
    joined.write_bytes(b"".join(p.read_bytes() for p in parts))
    assert_as_the_file(video_model, kept.of("snippet"), joined)


def record(address: str, path: Path) -> None:
    """What a recorder keeps of RTSP; the first packets have no time stamp."""
    with av.open(address, options={"rtsp_transport": "tcp"}, timeout=(5, 3)) as inp, av.open(str(path), "w") as out:
        streams = {s.index: out.add_stream_from_template(s) for s in inp.streams}
        early = []
        for packet in inp.demux():
            if not packet.size:
                continue
            if packet.pts is None:
                early.append(packet)
                continue
            for first in [p for p in early if p.stream is packet.stream]:
                first.pts = first.dts = packet.pts - round(1 / 24 / packet.time_base)
                early.remove(first)
                first.stream = streams[first.stream.index]
                out.mux(first)
            packet.dts = packet.pts if packet.dts is None else packet.dts
            packet.stream = streams[packet.stream.index]
            out.mux(packet)


def test_rtsp(video_model, clip, tmp_path):
    source = tmp_path / "source.mkv"
    remux(clip, str(source))
    with rtsp(source) as address:
        kept, watcher = watch(video_model, address, stall_s=4.0)
        record(address, tmp_path / "recorded.ts")
    assert_as_the_file(video_model, kept.of("snippet"), tmp_path / "recorded.ts")
    assert watcher.latency.n == len(kept.of("snippet"))
    paced = [m["latency_s"] for m in kept.of("snippet")][:-3]
    assert np.median(paced) <= watcher.scores.delay_s + 2.0  # other tests take the processor now and then


def test_stalls_and_breaks_are_gaps_and_the_rest_goes_on(video_model, clip):
    """Every connection sends some, then closes or hangs; each part is scored as a file of its own."""
    content = clip.read_bytes()
    third = len(content) // 3 // 188 * 188
    hang = threading.Event()

    def write(send, number):
        send(content[: third * (number % 3 + 1)])
        if number % 3 == 1:
            hang.wait(5)
        raise OSError

    with http_stream(write) as address:
        kept, _ = watch(video_model, address, 3, stall_s=0.7)
        hang.set()
    gaps, begins = kept.of("gap"), kept.of("begin")
    assert len(begins) == len(gaps) == 3
    assert all(g["reason"] for g in gaps)
    starts = [m["start_s"] for m in kept.of("snippet")]
    assert starts == sorted(starts)


def test_a_source_that_is_away_for_long_is_one_gap(video_model, clip, monkeypatch):
    """However often it is opened in vain."""
    from mmcl.live import reader as reader_module

    monkeypatch.setattr(reader_module, "FIRST_WAIT_S", 0.05)
    numbers = []

    def write(send, number):
        numbers.append(number)
        send(clip.read_bytes() if number in (0, 5) else b"")

    with http_stream(write) as address:
        kept, watcher = watch(video_model, address, 2)
    assert len(numbers) >= 6
    assert [m["type"] for m in kept.messages if m["type"] not in ("snippet", "event")] == [
        "begin", "gap", "begin", "gap", "end"
    ]  # fmt: skip
    assert watcher.reader.counts.gaps == 2
    assert len(kept.of("snippet")) == 22


def test_a_clock_that_leaps_begins_a_segment(video_model, clip):
    """Two files sent one behind the other: the second is scored as a file of its own."""
    with http_stream(lambda send, number: (send(clip.read_bytes()), send(clip.read_bytes()))) as address:
        kept, watcher = watch(video_model, address, 2)
    expected = video_model.score(clip).snippets.score
    snippets = kept.of("snippet")
    assert "leaps" in kept.of("gap")[0]["reason"]
    n = len(expected)
    assert len(snippets) == 2 * n
    np.testing.assert_allclose([m["joint"] for m in snippets[: n - 2]], expected[:-2], atol=2e-5)
    np.testing.assert_allclose([m["joint"] for m in snippets[n:]], expected, atol=2e-3)
    assert watcher.reader.counts.gaps >= 1


def test_snippets_are_dropped_and_counted_where_scoring_is_slower(video_model, clip, monkeypatch):
    from mmcl.live import reader as reader_module
    from mmcl.live.scores import LiveScores

    monkeypatch.setattr(reader_module, "MAX_WAITING", 2)
    push = LiveScores.push
    monkeypatch.setattr(LiveScores, "push", lambda self, snippets: (time.sleep(0.2), push(self, snippets))[1])
    with http_stream(lambda send, number: send(clip.read_bytes())) as address:
        kept, watcher = watch(video_model, address, drops=True)
    counts = watcher.reader.counts
    assert counts.dropped > 0
    assert counts.dropped + len(kept.of("snippet")) == counts.snippets == 11
    assert any("snippets dropped: slower than the source" in g["reason"] for g in kept.of("gap"))


def test_a_stream_without_sound(video_model, tmp_path):
    path = write_clip(tmp_path / "silent.ts", 120, audio=None, options={"bf": "0"})
    kept, _ = watch(video_model, str(path), stall_s=0.3)
    assert kept.of("begin")[0]["scored_by"] == ["visual"]
    assert_as_the_file(video_model, kept.of("snippet"), path)


def test_sound_that_begins_late(video_model, tmp_path):
    """Behind the time that is waited for it the picture is scored alone, to its end."""
    path = write_clip(tmp_path / "late.ts", 192, delay_s=4.0, options={"bf": "0"})
    kept, _ = watch(video_model, str(path), stall_s=0.3)
    assert kept.of("begin")[0]["scored_by"] == ["visual"]
    assert len(kept.of("snippet")) == 11
    assert kept.of("gap") == []


def test_a_network_that_attends_to_everything_gets_a_window(video_model, clip, monkeypatch):
    monkeypatch.setattr(video_model.predictor.network, "context", None)
    kept, watcher = watch(video_model, str(clip), stall_s=0.3)
    assert watcher.scores.delay_s == 0
    assert len(kept.of("snippet")) == 11


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("99", "99: cannot be opened"),
        ("rtsp://127.0.0.1:1/none", "cannot be opened (Connection refused)"),
        ("gopher://x/y", "expected one of rtsp"),
        ("nowhere.ts", "no such file"),
        ("rtsp://user:secret@127.0.0.1:1/none", "rtsp://127.0.0.1:1/none: cannot be opened"),
    ],
)
def test_bad_sources(video_model, source, message, capsys):
    assert main(["watch", str(video_model.folder), source, "--stall-s", "1"]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "secret" not in error
    assert error.count("\n") == 1


def test_models_and_options_that_do_not_fit(video_model, trained, clip, tmp_path, capsys):
    assert main(["watch", str(trained), str(clip)]) == 1
    assert "videos are cut into snippets" in capsys.readouterr().err
    assert main(["watch", str(video_model.folder), str(clip), "--clips"]) == 1
    assert "--clips: needs --out" in capsys.readouterr().err
    (tmp_path / "text.ts").write_text("no video " * 99)
    assert main(["watch", str(video_model.folder), str(tmp_path / "text.ts"), "--stall-s", "0.3"]) == 1
    assert "text.ts: cannot be opened" in capsys.readouterr().err


def test_ctrl_c_ends_it_with_a_summary(video_model, clip, tmp_path):
    words = [sys.executable, "-m", "mmcl", "watch", str(video_model.folder), str(clip), "--stall-s", "60"]
    job = subprocess.Popen([*words, "--out", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert job.stdout is not None
    while '"snippet"' not in (tmp_path / "live.jsonl").read_text() if (tmp_path / "live.jsonl").exists() else True:
        time.sleep(0.2)
    time.sleep(1.0)
    os.kill(job.pid, signal.SIGINT)
    out, err = job.communicate(timeout=30)
    assert job.returncode == 130
    assert "s scored" in out.splitlines()[-1]
    assert json.loads((tmp_path / "live.jsonl").read_text().splitlines()[-1])["type"] == "end"
    assert "Traceback" not in err
