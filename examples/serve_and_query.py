"""Start the server, send it a video, wait for the scores: `python examples/serve_and_query.py MODEL VIDEO`.

Needs the extra serve. A program that finds a running server needs the function ``query`` alone.
"""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any


def query(server: str, token: str, video: Path, timeout_s: float = 300.0) -> dict[str, Any]:
    """Upload a video, wait for its job, return its result."""

    def ask(path: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(f"{server}{path}", body, {"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    job = ask(f"/api/jobs?name={video.name}", video.read_bytes())
    until = time.monotonic() + timeout_s
    while job["state"] not in ("done", "failed", "cancelled"):
        if time.monotonic() > until:
            raise TimeoutError(f"{video}: no result after {timeout_s:g} s")
        time.sleep(0.2)
        job = ask(f"/api/jobs/{job['id']}")
    if job["state"] != "done":
        raise RuntimeError(f"{video}: {job.get('error')}")
    result: dict[str, Any] = ask(f"/api/jobs/{job['id']}/result.json")
    return result


def main(model: str, video: str) -> None:
    """Serve on a free port with a random token, ask once, stop."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_urlsafe(16)
    command = [sys.executable, "-m", "mmcl", "serve", model, "--port", str(port), f"--token={token}"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while True:  # until it listens
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if server.poll() is not None:
                    raise SystemExit("the server did not start") from None
                time.sleep(0.2)
        result = query(f"http://127.0.0.1:{port}", token, Path(video))
        print(json.dumps({key: result[key] for key in ("name", "events") if key in result}, indent=1))
    finally:
        server.terminate()
        server.wait(30)


if __name__ == "__main__":
    main(*sys.argv[1:])
