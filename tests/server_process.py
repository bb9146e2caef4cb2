"""``mmcl serve`` in a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

TOKEN = "a-token-of-the-tests"


class Server:
    """``mmcl serve`` in a process, and requests to it."""

    def __init__(self, model: Path, temporary: Path, *options: str):
        words = [sys.executable, "-m", "mmcl", "serve", str(model), "--port", "0", "--token", TOKEN, *options]
        environment = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        match = re.match(r"http://127\.0\.0\.1:(\d+)/\?token=", self.address)
        assert match, self.process.stderr.read() if self.process.stderr else ""
        self.port = int(match[1])

    def ask(self, method: str, path: str, body=None, token: str = TOKEN, **headers):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, body, {"Authorization": f"Bearer {token}", **headers})
            answer = connection.getresponse()
            content = answer.read()
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        return answer.status, json.loads(content) if is_json and content else content

    def upload(self, path: Path, name: str = ""):
        return self.ask("POST", f"/api/jobs?name={quote(name or path.name)}", path.read_bytes())

    def wait(self, job: str, seconds: float = 60):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            status, content = self.ask("GET", f"/api/jobs/{job}")
            if status != 200 or content["state"] in ("done", "failed", "cancelled"):
                return content
            time.sleep(0.1)
        raise AssertionError(content)

    def stop(self) -> str:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        _, error = self.process.communicate(timeout=40)
        return error
