"""Media files at addresses, from a real server on this machine."""

from __future__ import annotations

import http.server
import threading
from functools import partial
from pathlib import Path

import pytest
from clips import write_square
from support import recipe

from mmcl.data.media import hold_streams
from mmcl.datasets import get_dataset
from mmcl.datasets.sources.manifest import read_manifest
from mmcl.errors import InputError
from mmcl.media.fetch import fetch


@pytest.fixture
def server(tmp_path):
    (tmp_path / "www").mkdir()
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        handler.log_message = None
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}", tmp_path / "www"
        httpd.shutdown()
        thread.join()


def test_videos_at_addresses(server, tmp_path, monkeypatch, capsys):
    address, www = server
    monkeypatch.setenv("MMCL_CACHE", str(tmp_path / "cache"))
    write_square(www / "a.mp4", True, 0)
    manifest = tmp_path / "m.csv"
    manifest.write_text(f"labels,video\nwild,{address}/a.mp4\ncalm,{address}/nowhere.mp4\n")
    index = read_manifest(manifest)
    assert [row.name for row in index.rows] == ["a", "nowhere"]
    with pytest.raises(InputError, match="1 media files"):
        hold_streams(index)
    assert f"{address}/nowhere.mp4" in capsys.readouterr().out.replace("  ", " ")
    (place,) = index.rows[0].media_files
    assert place.read_bytes() == (www / "a.mp4").read_bytes()
    (www / "a.mp4").unlink()
    manifest.write_text(f"labels,video\nwild,{address}/a.mp4\n")
    assert set(hold_streams(read_manifest(manifest)).rows[0].media) == {"visual", "audio"}  # is not fetched again
    assert get_dataset("recordings").default_config(manifest) != recipe("recordings")


def test_what_cannot_be_fetched(server, tmp_path):
    address, _ = server
    with pytest.raises(InputError, match=r"nowhere.mp4: answers 404"):
        fetch(f"{address}/nowhere.mp4", tmp_path / "x.mp4")
    with pytest.raises(InputError, match="cannot be fetched"):
        fetch("http://127.0.0.1:9/x.mp4", tmp_path / "x.mp4")
    assert not list(Path(tmp_path).glob("*x.mp4*"))
