"""A Ray cluster on this machine: workers that are killed, files that are bad, the same bytes as without it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
from clips import write_clip

from mmcl.cli.main import main
from mmcl.errors import FileError, InputError
from mmcl.features.extract_files import extract_files
from mmcl.features.extractor_set import create_extractors
from mmcl.features.on_ray import Cluster, extract_on_ray, run_on_ray

pytest.importorskip("ray")

MAKE = partial(create_extractors, "descriptors", "log-mel")


@pytest.fixture(scope="module", autouse=True)
def without_tokens():
    """Ray keeps its tokens in the user's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        yield


@pytest.fixture(scope="module")
def address():
    """A cluster that goes on between the tests."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    ray = str(Path(sys.executable).parent / "ray")
    words = ["--head", "--port", port, "--num-cpus", "3", "--include-dashboard", "false", "--disable-usage-stats"]
    cluster = subprocess.Popen([ray, "start", *words, "--block"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", int(port)), 1).close()
            break
        time.sleep(0.1)
    time.sleep(2.0)  # its other services
    yield f"127.0.0.1:{port}"
    cluster.terminate()
    cluster.wait()


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for i in range(8):
        write_clip(folder / f"{i}.mp4", 24 * (2 + i % 3), audio=None if i == 3 else "aac")
    return folder


@pytest.fixture(scope="module")
def alone(clips, tmp_path_factory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("alone")
    extract_files([clips], out, MAKE())
    return contents(out)


def contents(folder: Path) -> dict[str, bytes]:
    """Of the files, without the half file that a killed writer leaves."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(".")}


def kill_workers(n: int, killed: list[int]) -> None:
    """As soon as a worker computes, twice."""
    until = time.monotonic() + 60
    while len(killed) < n and time.monotonic() < until:
        for p in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):  # it may end meanwhile
                if p.pid not in killed and "ray::_Worker.work" in " ".join(p.cmdline()):
                    os.kill(p.pid, signal.SIGKILL)
                    killed.append(p.pid)
                    time.sleep(1.0)
                    break
        time.sleep(0.02)


def test_workers_that_are_killed_lose_nothing(clips, alone, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for clip in clips.iterdir():
        (tmp_path / "in" / clip.name).symlink_to(clip)
    (tmp_path / "in" / "bad.mp4").write_text("no video " * 99)
    killed: list[int] = []
    killer = threading.Thread(target=kill_workers, args=(2, killed))
    killer.start()
    words = ["extract", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--engine", "ray", "--ray-workers", "2"]
    assert main(words) == 1
    killer.join()
    assert len(killed) == 2
    printed = capsys.readouterr()
    assert "bad.mp4  not a readable video or audio file" in printed.out
    assert "1 of 9 files failed" in printed.err
    assert contents(tmp_path / "out") == alone
    (tmp_path / "in" / "bad.mp4").unlink()
    assert main(words) == 0  # nothing is left to do, and no cluster is started
    assert "0 extracted, 8 were there already" in capsys.readouterr().out


def test_decoding_by_tasks_of_their_own(clips, alone, tmp_path, address):
    engine = extract_on_ray(MAKE, tmp_path, Cluster(address, 1), decodes_apart=True)
    extract_files([clips], tmp_path, MAKE(), engine=engine)
    assert contents(tmp_path) == alone


def test_scores_are_those_of_this_process(video_model, clips, tmp_path, address):
    words = ["score", str(video_model.folder), str(clips)]
    assert main([*words, "--out", str(tmp_path / "a")]) == 0
    assert main([*words, "--out", str(tmp_path / "b"), "--engine", "ray", "--ray-address", address]) == 0
    for path in (tmp_path / "a").glob("*.csv"):
        a, b = (np.genfromtxt(tmp_path / f / path.name, delimiter=",", skip_header=1) for f in "ab")
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert len(list((tmp_path / "b").glob("*.csv"))) == 8


def test_errors_come_back_and_a_deadly_item_is_given_up(address):

    def work(item):
        if item == 1:
            raise FileError(f"{item}.mp4", "is bad", "leave it out")
        if item == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return 10 * item

    results = dict(run_on_ray([0, 1, 2, 3], lambda: work, Cluster(address, 1)))
    assert (results[0], results[3]) == (0, 30)
    assert isinstance(results[1], FileError)
    assert str(results[1]) == "1.mp4: is bad; leave it out"
    assert isinstance(results[2], InputError)
    assert "workers died of it" in str(results[2])

    def cannot_start():
        raise FileError("weights.pth", "no such file", "fetch it")

    with pytest.raises(InputError, match=r"a worker cannot start .*weights.pth: no such file"):
        list(run_on_ray([0], cannot_start, Cluster(address, 1)))


def test_clusters_that_are_not_there(clips, tmp_path, capsys):
    words = ["extract", str(clips), "--out", str(tmp_path), "--engine", "ray", "--ray-address", "127.0.0.1:1"]
    assert main(words) == 1
    assert "--ray-address 127.0.0.1:1: cannot be used" in capsys.readouterr().err
    assert main(["extract", str(clips), "--out", str(tmp_path), "--ray-workers", "2"]) == 1
    assert "need --engine ray" in capsys.readouterr().err
