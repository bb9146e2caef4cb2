"""Does a live source run for a day? `python tools/live_stream.py --model RUN --hours 24 --speed 50 --stalls 30`

A server sends MPEG-TS of a made-up clip over and over, faster than real time; at random moments it stalls or closes the
connection. The stream is scored as `mmcl watch` does. Memory after a tenth of it and at the end, snippets, gaps and
events go into a table and JSON. Exits with 1 where memory grows by more than a tenth (of an hour or more), an event
that began did not end, or a stall is no gap.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import random
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import psutil  # type: ignore[import-untyped]
import tyro

import mmcl
from mmcl.datasets.sources.synthetic_videos import make_clips
from mmcl.evaluation.events import EventRule
from mmcl.live.outputs import Message, Output
from mmcl.live.reader import StreamReader
from mmcl.live.scores import sides_of
from mmcl.live.watch import Watcher
from mmcl.media.stream import LiveSource

CLIP_S = 60.0
JOIN_S = 0.2  # between two rounds, so that decoding times rise
STALL_S = 1.0  # without data after which the source is opened again


@dataclass(frozen=True)
class Options:
    """What is sent, how fast.

    Attributes:
        model: Folder of a run that scores videos.
        hours: Of stream.
        speed: Times real time.
        stalls: How often it stalls or breaks.
        seed: Draws the moments.
        out: JSON file to write.
    """

    model: Path
    hours: float = 24.0
    speed: float = 50.0
    stalls: int = 30
    seed: int = 0
    out: Path = Path("live_stream.json")


class Counts(Output):
    """Counts messages."""

    def __init__(self) -> None:
        self.n: dict[str, int] = {}
        self.latest = ""

    def send(self, message: Message) -> None:
        self.latest = message["type"]
        key = message["type"] + ("-" + message["state"] if message["type"] == "event" else "")
        self.n[key] = self.n.get(key, 0) + 1


class Sender:
    """A server of one endless stream, which it stalls or breaks.

    Args:
        clip: Is sent over and over.
        o: How long, how fast, how often it stalls.

    Attributes:
        address: Of the stream.
        is_over: All was sent.
    """

    def __init__(self, clip: Path, o: Options):
        self.clip, self.speed, self.stop_s = clip, o.speed, o.hours * 3600
        self.random = random.Random(o.seed)
        self.moments = sorted(self.random.uniform(0, self.stop_s) for _ in range(o.stalls))
        self.at_s, self.is_over, self.lock = 0.0, False, threading.Lock()
        sender = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with sender.lock:
                    if sender.is_over:
                        self.send_error(404)
                        return
                    self.send_response(200)
                    self.end_headers()
                    sender.send(self.wfile)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/live.ts"

    def send(self, file: Any) -> None:
        """Send up to the next stall, or to the end."""
        until_s = self.moments.pop(0) if self.moments else self.stop_s
        with contextlib.suppress(av.FFmpegError, OSError):
            self._send_packets(file, until_s)
        if self.at_s >= self.stop_s:
            self.is_over = True
        elif self.random.random() < 0.5:
            time.sleep(3 * STALL_S)  # else the connection is closed at once

    def _send_packets(self, file: Any, until_s: float) -> None:
        began, start_s, offset_s = time.monotonic(), self.at_s, self.at_s + JOIN_S
        with av.open(file, "w", format="mpegts") as out:
            streams: dict[int, Any] = {}
            while True:
                ends_s = 0.0
                with av.open(str(self.clip)) as source:
                    for s in source.streams:
                        if s.index not in streams:
                            streams[s.index] = out.add_stream_from_template(s)
                    for packet in source.demux():
                        if packet.dts is None or packet.pts is None:
                            continue
                        shift = round(offset_s / packet.time_base)
                        ends_s = max(ends_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                        self.at_s = max(self.at_s, offset_s + float(packet.dts * packet.time_base))
                        if self.at_s >= until_s:
                            return
                        ahead_s = (self.at_s - start_s) / self.speed - (time.monotonic() - began)
                        if ahead_s > 0.02:
                            time.sleep(ahead_s)
                        packet.dts, packet.pts = packet.dts + shift, packet.pts + shift
                        packet.stream = streams[packet.stream.index]
                        out.mux(packet)
                offset_s += ends_s + JOIN_S


def main() -> None:
    """Watch the stream to its end, and print what came of it."""
    o = tyro.cli(Options, description=__doc__)
    with tempfile.TemporaryDirectory() as place:
        make_clips(Path(place), 1, CLIP_S, 1, "test")
        clip = next(Path(place).glob("*.mp4"))
        sender = Sender(clip, o)
        model, counts = mmcl.load(o.model), Counts()
        a_round = len(model.score(clip).events())
        extractors = model.video_scorer.extractors
        reader = StreamReader(LiveSource(sender.address, STALL_S), sides_of(extractors), tuple(extractors.parts))
        reader.drops = False  # the stream waits for a machine that is slower than 50 times real time
        watcher = Watcher(model.predictor, extractors, reader, EventRule(), [counts], log=lambda text: None)
        memory: list[tuple[float, float]] = []
        started, process = time.monotonic(), psutil.Process()
        for item in reader:
            watcher.take(item)
            if not memory or reader.next_s > memory[-1][0] + 60:
                memory.append((reader.next_s, process.memory_info().rss / 1e6))
            if sender.is_over and counts.latest == "gap":
                break
        watcher.end()
        reader.stop()
        sender.server.shutdown()
    early = max(size for at_s, size in memory if at_s <= max(0.1 * o.hours * 3600, memory[0][0]))
    result = {
        "hours": reader.next_s / 3600, "minutes spent": (time.monotonic() - started) / 60,
        "gaps": counts.n.get("gap", 0), "stalls": o.stalls, "snippets": watcher.n_scored,
        "dropped": reader.counts.dropped, "events of a round": a_round, "rounds": reader.next_s / (CLIP_S + JOIN_S),
        "events": counts.n.get("event-begin", 0), "events ended": counts.n.get("event-end", 0),
        "memory after a tenth [MB]": early, "memory at the end [MB]": memory[-1][1],
        "most memory [MB]": max(size for _, size in memory),
    }  # fmt: skip
    o.out.write_text(json.dumps(result, indent=1))
    for name, value in result.items():
        print(f"{name}: {value:.1f}")
    grows = o.hours >= 1 and memory[-1][1] > 1.1 * early
    sys.exit(grows or result["events"] != result["events ended"] or result["gaps"] < o.stalls)


if __name__ == "__main__":
    main()
