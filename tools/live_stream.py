"""Does a live source run for a day? `python tools/live_stream.py --model RUN --hours 24 --speed 50 --stalls 30`

A server sends MPEG-TS of a made-up clip over and over, faster than real time; at random moments it stalls or breaks.
The stream is scored as `mmcl watch` does. Memory after a tenth of it and at the end, snippets, gaps and events go into
a table and JSON. Exits with 1 where memory grows by more than a tenth (of an hour or more), or an event that
began did not end.
"""

from __future__ import annotations

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

import psutil  # type: ignore[import-untyped]
import tyro

import mmcl
from mmcl.datasets.sources.synthetic_videos import make_clips
from mmcl.evaluation.events import EventRule
from mmcl.live.outputs import Message, Output
from mmcl.live.reader import SegmentEnd, StreamReader
from mmcl.live.scores import sides_of
from mmcl.live.watch import Watcher
from mmcl.media.packets import remux_paced
from mmcl.media.stream import LiveSource


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

    def send(self, message: Message) -> None:
        key = message["type"] + ("-" + message["state"] if message["type"] == "event" else "")
        self.n[key] = self.n.get(key, 0) + 1


def serve(clip: Path, o: Options) -> tuple[http.server.ThreadingHTTPServer, str, dict[str, float]]:
    """The sender, its address, and how far it is; it ends when all hours were sent."""
    rng = random.Random(o.seed)
    moments = sorted(rng.uniform(0, o.hours * 3600) for _ in range(o.stalls))
    state = {"at_s": 0.0}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if state["at_s"] >= o.hours * 3600:
                self.send_error(404)
                return
            self.send_response(200)
            self.end_headers()
            until = moments.pop(0) if moments else o.hours * 3600
            state["at_s"] = remux_paced(clip, self.wfile, state["at_s"], until, o.speed)
            if rng.random() < 0.5:
                time.sleep(3.0)  # stalls; else it breaks

        def log_message(self, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}/live.ts", state


def main() -> None:
    o = tyro.cli(Options, description=__doc__)
    with tempfile.TemporaryDirectory() as place:
        make_clips(Path(place), 1, 60.0, 1, "test")
        server, address, state = serve(next(Path(place).glob("*.mp4")), o)
        model, counts = mmcl.load(o.model), Counts()
        extractors = model.video_scorer.extractors
        reader = StreamReader(LiveSource(address, 1.0), sides_of(extractors), tuple(extractors.parts), drops=False)
        watcher = Watcher(model.predictor, extractors, reader, EventRule(), [counts], log=lambda text: None)
        memory: list[tuple[float, float]] = []
        started, process = time.monotonic(), psutil.Process()
        ends_s = o.hours * 3600
        for item in reader:
            watcher.take(item)
            if watcher.n_scored % 200 == 0 or not memory:
                memory.append((reader.next_s, process.memory_info().rss / 1e6))
            if isinstance(item, SegmentEnd) and state["at_s"] >= ends_s - 1:
                break
        watcher.end()
        reader.stop()
        server.shutdown()
    early = max(m for s, m in memory if s <= 0.1 * ends_s or s == memory[0][0])
    last = memory[-1][1]
    result = {
        "hours": reader.next_s / 3600, "minutes spent": (time.monotonic() - started) / 60,
        "gaps": counts.n.get("gap", 0),
        "snippets": watcher.n_scored, "events": counts.n.get("event-begin", 0), "ended": counts.n.get("event-end", 0),
        "memory after a tenth [MB]": early, "memory at the end [MB]": last,
    }  # fmt: skip
    o.out.write_text(json.dumps(result, indent=1))
    for name, value in result.items():
        print(f"{name}: {value:.1f}")
    sys.exit((o.hours >= 1 and last > 1.1 * early) or result["events"] != result["ended"])


if __name__ == "__main__":
    main()
