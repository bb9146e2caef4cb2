"""Live sources of the server: messages as they come, limits, addresses that are not read."""

from __future__ import annotations

import http.client
import json
import time

import numpy as np
from clips import write_clip
from senders import http_stream
from server_process import TOKEN, Server


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
