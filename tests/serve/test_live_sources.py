"""Live sources of the server: messages as they come, limits, addresses that are not read."""

from __future__ import annotations

import http.client
import http.server
import json
import time

import numpy as np
import pytest
from clips import write_clip
from senders import http_stream, in_thread, remux
from server_process import TOKEN, Server

from mmcl.evaluation.events import EventRule
from mmcl.media.completeness import Unreadable
from mmcl.media.stream import LiveSource
from mmcl.serve.limits import Limits
from mmcl.serve.live import LiveJobs


def test_live_sources(video_model, tmp_path):
    content = write_clip(tmp_path / "a.ts", 192, options={"bf": "0"}).read_bytes()
    running = Server(video_model.folder, tmp_path, "--allow-private", "--max-live", "1")
    as_json = {"Content-Type": "application/json"}
    try:
        with http_stream(lambda send, number: (send(content), time.sleep(30))) as address:
            status, job = running.ask("POST", "/api/live", json.dumps({"source": address}), **as_json)
            assert status == 201
            status, answer = running.ask("POST", "/api/live", json.dumps({"source": address}), **as_json)
            assert (status, "watched already" in answer["detail"]) == (422, True)
            connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
            connection.request("GET", f"/api/live/{job['id']}/messages", headers={"Authorization": f"Bearer {TOKEN}"})
            stream, seen = connection.getresponse(), []
            while sum(m["type"] == "snippet" for m in seen) < 5:
                line = stream.readline()
                if line.startswith(b"data: "):
                    seen.append(json.loads(line[6:]))
            stream.close()
            connection.close()
            expected = video_model.score(tmp_path / "a.ts").snippets.score
            scores = [m["joint"] for m in seen if m["type"] == "snippet"]
            np.testing.assert_allclose(scores, expected[: len(scores)], atol=2e-5)
            assert running.ask("GET", "/api/live")[1][0]["state"] == "running"
            assert running.ask("DELETE", f"/api/live/{job['id']}")[0] == 204
            assert running.ask("GET", "/api/live")[1] == []
        for source in ("/etc/passwd", "-", "0", "udp://127.0.0.1:1", "file:///etc/passwd"):
            assert running.ask("POST", "/api/live", json.dumps({"source": source}), **as_json)[0] == 422
    finally:
        assert "Traceback" not in running.stop()


def test_a_server_is_not_led_to_other_addresses(video_model, tmp_path, monkeypatch):
    """Neither by a redirect nor by a list of addresses; the same addresses are read where that is allowed."""
    write_clip(tmp_path / "a.ts", 48, options={"bf": "0"})
    remux(tmp_path / "a.ts", str(tmp_path / "hls.m3u8"), format="hls", options={"hls_list_size": "0"})
    (tmp_path / "list.txt").write_text("ffconcat version 1.0\nfile a.ts\n")
    requested = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requested.append(self.path)
            if self.path == "/elsewhere":
                self.send_response(302)
                self.send_header("Location", "/a.ts")
                self.end_headers()
                return
            content = (tmp_path / self.path[1:]).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with in_thread(server.serve_forever):
        address = f"http://127.0.0.1:{server.server_address[1]}"
        for name in ("elsewhere", "hls.m3u8", "list.txt"):
            with LiveSource(f"{address}/{name}", 2).open() as container:
                assert sum(1 for _ in container.demux(video=0)) > 40
            assert len(requested) > 1
            requested.clear()
            with (
                pytest.raises(Unreadable, match="cannot be opened") as refused,
                LiveSource(f"{address}/{name}", 2, leads_nowhere=True).open(),
            ):
                pass
            assert "redirects and playlists (HLS) are not followed" in str(refused.value) + refused.value.remedy
            assert requested == [f"/{name}"]
            requested.clear()
        with LiveSource(f"{address}/a.ts", 2, leads_nowhere=True).open() as container:
            assert sum(1 for _ in container.demux(video=0)) > 40
        for allowed in (False, True):
            monkeypatch.setattr("mmcl.serve.live.check_address", lambda *args: [])
            jobs = LiveJobs(video_model, Limits(allow_private=allowed), EventRule())
            job = jobs.create(f"{address}/elsewhere")
            job.thread.join(30)
            assert (job.state, "redirects" in job.error) == (("ended", False) if allowed else ("failed", True))
            jobs.stop()
        server.shutdown()
    server.server_close()
