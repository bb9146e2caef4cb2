"""Events snippet by snippet are those of the recording; outputs neither wait for a receiver nor fail with it."""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import subprocess
import threading
import time

import av
import numpy as np
import pytest
from clips import number_of, write_clip
from senders import free_port

from mmcl.evaluation.events import EventRule, find_events
from mmcl.live.events import LiveEvents
from mmcl.live.outputs.clips import EventClips
from mmcl.live.outputs.json_lines import JsonLines
from mmcl.live.outputs.mqtt import Mqtt
from mmcl.live.outputs.webhook import Webhook
from mmcl.live.reader import LiveSnippet, SegmentBegin, StreamReader
from mmcl.live.scores import LiveScore
from mmcl.media.stream import LiveSource
from mmcl.types import SnippetScores

HOP_S = 2 / 3
CLASSES = ("fight", "fall")


@pytest.mark.parametrize("seed", range(20))
def test_events_are_those_of_the_recording(seed):
    rng = np.random.default_rng(seed)
    n, rule = int(rng.integers(1, 300)), EventRule(0.7, float(rng.uniform(0, 0.7)), float(rng.choice([0, 1, 2.5])))
    score = np.stack([np.convolve(rng.random(n), np.ones(3) / 3, "same") for _ in CLASSES], 1)
    start = np.arange(n) * HOP_S
    live, began, ended = LiveEvents(rule, CLASSES), {}, {}
    for i in range(n):
        for change in live.push(LiveScore(start[i], start[i] + HOP_S, score[i], {}, 0.0)):
            (began if change.state == "begin" else ended)[change.number] = change.event
            assert change.event.start_s <= start[i]
    for change in live.flush():
        ended[change.number] = change.event
    expected = find_events(SnippetScores("r", start, start + HOP_S, score, {}, score.max(0), {}, CLASSES), rule)
    assert sorted(ended.values(), key=lambda e: (e.start_s, e.name)) == expected
    assert began.keys() == ended.keys()
    for number, event in ended.items():
        assert (began[number].start_s, began[number].name) == (event.start_s, event.name)


def event(number: int, state: str = "begin", start_s: float = 1.0, end_s: float = 2.0):
    message = {"type": "event", "state": state, "id": number, "label": "a/../fight", "start_s": start_s}
    return {**message, "end_s": end_s, "time": "", "peak": 0.9, "peak_s": start_s}


class Receiver:
    """A web server that answers each POST with the next status of a list, the last one for ever."""

    def __init__(self, statuses, delay_s=0.0):
        self.received, statuses = [], list(statuses)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(handler):
                body = handler.rfile.read(int(handler.headers["Content-Length"]))
                time.sleep(delay_s)
                status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
                if status == 200:
                    self.received.append(json.loads(body))
                handler.send_response(status)
                handler.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def test_a_webhook_that_fails_at_first():
    receiver = Receiver([500, 503, 200])
    webhook = Webhook(receiver.address, first_wait_s=0.01)
    webhook.send({"type": "snippet"})
    webhook.send(event(1))
    webhook.send({"type": "gap", "reason": "x"})
    webhook.close()
    receiver.close()
    assert [m["type"] for m in receiver.received] == ["event", "gap"]
    assert (webhook.n_sent, webhook.n_lost, webhook.describe()) == (2, 0, "")


def test_a_webhook_that_refuses_or_never_answers():
    receiver = Receiver([404])
    webhook = Webhook(receiver.address, first_wait_s=0.01)
    webhook.send(event(1))
    webhook.close()
    receiver.close()
    assert webhook.describe() == "webhook: 1 messages were not accepted (answers 404)"
    with socket.socket() as silent:  # accepts, and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        webhook = Webhook(f"http://127.0.0.1:{silent.getsockname()[1]}", first_wait_s=0.01)
        started = time.monotonic()
        for number in range(1500):
            webhook.send(event(number))
        assert time.monotonic() - started < 2.0  # the stream does not wait
        assert webhook.waiting.qsize() <= 1000
        webhook.close()
        assert time.monotonic() - started < 10.0
        assert webhook.n_lost >= 1499


def test_mqtt(tmp_path):
    broker_path = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if broker_path is None:
        pytest.skip("no mosquitto here")
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    port, received = free_port(), []
    out = Mqtt(f"mqtt://127.0.0.1:{port}/site/camera-1")  # the broker is not there yet
    out.send(event(1))
    broker = subprocess.Popen([broker_path, "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        client = Client(CallbackAPIVersion.VERSION2)
        client.on_message = lambda c, u, m: received.append((m.topic, json.loads(m.payload)))
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                client.connect("127.0.0.1", port)
                break
            except OSError:
                time.sleep(0.1)
        client.subscribe("site/#", qos=1)
        client.loop_start()
        time.sleep(0.5)
        out.send(event(2))
        while not out.client.is_connected() and time.monotonic() < until + 10:
            time.sleep(0.05)
        out.send({"type": "snippet", "joint": [0.5]})
        while len(received) < 3 and time.monotonic() < until + 10:
            time.sleep(0.05)
        out.close()
        client.loop_stop()
        client.disconnect()
    finally:
        broker.kill()
        broker.wait()
    topics = [t for t, _ in received]
    assert topics.count("site/camera-1/event") == 2
    assert topics.count("site/camera-1/snippet") == 1
    assert out.describe() == ""


@pytest.mark.parametrize("address", ["mqtt://host", "http://host/topic", "mqtt:///topic"])
def test_addresses_that_are_no_brokers(address):
    with pytest.raises(ValueError, match="expected mqtt://HOST/TOPIC"):
        Mqtt(address)
    with pytest.raises(ValueError, match="expected http"):
        Webhook("ftp://host")


def test_clips_of_events(tmp_path):
    """With lead and tail, from a key frame on, sound with it; two events at once; one that outlasts the stream."""
    path = write_clip(tmp_path / "stream.ts", 24 * 20, gop=24, options={"bf": "0"})
    clips = EventClips(tmp_path / "clips", 2.0, 1.0, 1.0)
    (tmp_path / "clips").mkdir()
    reader = StreamReader(LiveSource(str(path), 0.3), [16], ("visual", "audio"), clips.take, drops=False)
    sent = {
        6.0: event(1, "begin", 5.0),
        9.0: event(1, "end", 5.0, 8.0),
        9.4: event(2, "begin", 8.7),
        18.0: event(3, "begin", 17.0),
    }
    for item in reader:
        if isinstance(item, LiveSnippet):
            for at in [a for a in sent if a <= item.start_s]:
                clips.send(sent.pop(at))
                time.sleep(0.05)
        else:
            assert isinstance(item, SegmentBegin) or item.is_last
    clips.close()
    assert clips.describe() == ""
    assert [p.name for p in clips.files] == ["00001-a----fight.mp4", "00002-a----fight.mp4", "00003-a----fight.mp4"]
    for file, first, last in zip(clips.files, (3.0, 6.7, 15.0), (9.0, 20.0, 20.0), strict=True):
        with av.open(str(file)) as container:
            assert [s.type for s in container.streams] == ["video", "audio"]
            numbers = [number_of(f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
        assert 24 * (first - 1.01) <= numbers[0] <= 24 * first + 1
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert numbers[-1] >= 24 * last - 14
        with av.open(str(file)) as container:
            seconds = sum(f.samples / f.sample_rate for f in container.decode(audio=0))
        assert seconds == pytest.approx(len(numbers) / 24, abs=0.3)


def test_lines_are_whole_and_added_to(tmp_path):
    for number in range(2):
        out = JsonLines(tmp_path / "live.jsonl")
        out.send(event(number))
        out.close()
    assert [json.loads(line)["id"] for line in (tmp_path / "live.jsonl").read_text().splitlines()] == [0, 1]
