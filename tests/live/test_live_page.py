"""The page of a live source, in a browser."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest
from live_clips import write_live_clip

from mmcl.cli.main import main


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_live_clip(tmp_path_factory.mktemp("live"))


def test_the_page_shows_the_curve_as_it_comes(video_model, clip, page, tmp_path):
    growing, content = tmp_path / "growing.ts", clip.read_bytes()
    growing.write_bytes(content[: len(content) // 2])
    words = [sys.executable, "-m", "mmcl", "watch", str(video_model.folder), str(growing), "--stall-s", "30"]
    options = ["--page", "0", "--threshold", "0", "--low", "0"]
    job = subprocess.Popen([*words, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert job.stdout is not None
        address = next(line for line in job.stdout if line.startswith("http://")).strip()
        port = address.split(":")[2].split("/")[0]
        assert page.goto(f"http://127.0.0.1:{port}/").status == 401
        page.goto(address)
        page.wait_for_url(f"http://127.0.0.1:{port}/")  # the token is in no address any more
        page.wait_for_selector(f"h1:has-text('{growing.name}')", timeout=30_000)
        page.wait_for_selector("tr.open >> text=goes on", timeout=30_000)
        before = page.text_content("#state")
        with open(growing, "ab") as file:
            file.write(content[len(content) // 2 :])
        page.wait_for_function("was => document.getElementById('state').textContent !== was", arg=before)
        is_drawn = "[...chart.getContext('2d').getImageData(0, 0, chart.width, chart.height).data].some(v => v)"
        assert page.evaluate(is_drawn)
        page.select_option("#span", "120")
        os.kill(job.pid, signal.SIGINT)
        page.wait_for_selector("#state:has-text('ended')", timeout=30_000)
        assert page.locator("tr.open").count() == 0
        _, error = job.communicate(timeout=30)
        assert "Traceback" not in error
    finally:
        job.kill()


def test_a_port_that_is_taken(video_model, clip, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["watch", str(video_model.folder), str(clip), "--page", port]) == 1
    assert f"--page {port}: cannot listen there" in capsys.readouterr().err
