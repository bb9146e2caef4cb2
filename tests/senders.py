"""Real senders on loopback: MPEG-TS over UDP, TCP and HTTP, HLS, RTSP."""

from __future__ import annotations

import contextlib
import http.server
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import av
import pytest

RTSP_SERVER = """
import sys, gi
gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer, GLib
Gst.init(None)
server = GstRtspServer.RTSPServer(); server.set_address("127.0.0.1"); server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory(); factory.set_shared(False)
picture, sound = "h264parse ! rtph264pay name=pay0 pt=96", "aacparse ! rtpmp4apay name=pay1 pt=97"
source = f"filesrc location={sys.argv[2]} ! matroskademux name=d"
factory.set_launch(f"( {source} d. ! queue ! {picture} d. ! queue ! {sound} )")
server.get_mount_points().add_factory("/live", factory)
server.attach(None); print("ready", flush=True); GLib.MainLoop().run()
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def remux(source: Path, target: str, pace: float = 0.0, **options) -> None:
    """The packets of a file, sent at ``pace`` times real time (0 = at once)."""
    with av.open(str(source)) as inp, av.open(target, "w", **options) as out:
        streams = {s.index: out.add_stream_from_template(s) for s in inp.streams if s.type in ("video", "audio")}
        began, first = time.monotonic(), None
        for packet in inp.demux():
            if packet.dts is None:
                continue
            at = float(packet.dts * packet.time_base)
            first = at if first is None else first
            if pace:
                time.sleep(max(0.0, (at - first) / pace - (time.monotonic() - began)))
            packet.stream = streams[packet.stream.index]
            out.mux(packet)


@contextlib.contextmanager
def in_thread(run: Callable[[], object]) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield thread
    thread.join(30)


@contextlib.contextmanager
def http_folder(folder: Path) -> Iterator[str]:
    """A web server of a folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    with in_thread(server.serve_forever):
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
    server.server_close()


@contextlib.contextmanager
def http_stream(write: Callable[[Callable[[bytes], object], int], object]) -> Iterator[str]:
    """A server whose every connection gets what ``write(send, number of the connection)`` sends."""
    connections = iter(range(10_000))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            with contextlib.suppress(OSError):
                write(self.wfile.write, next(connections))

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with in_thread(server.serve_forever):
        yield f"http://127.0.0.1:{server.server_address[1]}/live.ts"
        server.shutdown()
    server.server_close()


@contextlib.contextmanager
def tcp_stream(content: bytes) -> Iterator[str]:
    """A socket whose every connection gets the same bytes."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            with contextlib.suppress(OSError):
                self.request.sendall(content)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        with in_thread(server.serve_forever):
            yield f"tcp://127.0.0.1:{server.server_address[1]}"
            server.shutdown()


@contextlib.contextmanager
def rtsp(path: Path) -> Iterator[str]:
    """A GStreamer RTSP server that plays a Matroska file to each client."""
    python = next((p for p in ("/usr/bin/python3", sys.executable) if shutil.which(p) and has_gstreamer(p)), None)
    if python is None:
        pytest.skip("no GStreamer RTSP server here (gir1.2-gst-rtsp-server-1.0, python3-gi, plugins good and bad)")
    port = free_port()
    words = [python, "-c", RTSP_SERVER, str(port), str(path)]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield f"rtsp://127.0.0.1:{port}/live"
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def has_gstreamer(python: str) -> bool:
    code = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer, Gst; "
    code += "Gst.init(None); import sys; names = ('h264parse', 'rtph264pay', 'aacparse'); "
    code += "sys.exit(not all(map(Gst.ElementFactory.find, names)))"
    return subprocess.run([python, "-c", code], capture_output=True).returncode == 0
