"""Processes of runs: forked or fresh, they end with a status of their own, and none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import mmcl.experiments.run_processes as module
from mmcl.experiments.run_processes import RunProcesses

HERE = f"{__name__.rpartition('.')[2]}:act"


def act(path: Path) -> None:
    """What the file's name says."""
    os.write(1, f"{os.getpid()} {'wave' in sys.modules} {os.environ['OMP_NUM_THREADS']}\n".encode())
    if path.name == "raises":
        raise ValueError("as it was told")
    if path.name == "exits":
        sys.exit(3)
    if path.name == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if path.name.startswith("sleeps"):
        time.sleep(60)


FORKS = pytest.mark.skipif(not module.CAN_FORK, reason="this system does not fork")


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """This file, by the processes."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.fixture(params=[pytest.param(True, marks=FORKS, id="forked"), pytest.param(False, id="fresh")])
def forks(request, monkeypatch) -> bool:
    monkeypatch.setattr(module, "CAN_FORK", request.param)
    return request.param


def test_each_has_a_status_and_a_log(forks, tmp_path):
    codes = {"good": 0, "raises": 1, "exits": 3, "killed": -9}
    log = tmp_path / "log"
    with RunProcesses(HERE, 1, ("wave",)) as processes, ThreadPoolExecutor(2) as pool:
        ended = pool.map(lambda name: processes.run(tmp_path / name, log), codes)
        assert list(ended) == list(codes.values())
    lines = log.read_text().splitlines()
    started = [line.split() for line in lines if line.endswith(" 1")]
    assert len({pid for pid, *_ in started} - {str(os.getpid())}) == 4, lines
    assert {imported for _, imported, _ in started} == {str(forks)}
    assert "ValueError: as it was told" in lines


def test_a_failure_beside_them_ends_them(forks, tmp_path):
    codes: list[int] = []

    def started(pool: RunProcesses) -> threading.Thread:
        thread = threading.Thread(target=lambda: codes.append(pool.run(tmp_path / "sleeps", tmp_path / "log")))
        thread.start()
        deadline = time.monotonic() + 60
        while not (tmp_path / "log").exists() or not (tmp_path / "log").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return thread

    processes = RunProcesses(HERE, 1)
    processes.__enter__()
    thread = started(processes)
    processes.__exit__(KeyError, KeyError(), None)
    thread.join(10)
    assert codes == [-signal.SIGTERM]
    pid = int((tmp_path / "log").read_text().split()[0])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@FORKS
def test_nobody_waits_for_a_server_that_was_killed(tmp_path):
    with RunProcesses(HERE, 1) as processes, ThreadPoolExecutor(2) as pool:
        assert processes.run(tmp_path / "good", tmp_path / "log") == 0
        waiting = pool.submit(processes.run, tmp_path / "sleeps", tmp_path / "sleeping")
        while not (tmp_path / "sleeping").exists():
            time.sleep(0.02)
        processes.children[0].kill()
        assert waiting.result(10) == 1
        assert processes.run(tmp_path / "other", tmp_path / "log") == 1
    os.kill(int((tmp_path / "sleeping").read_text().split()[0]), signal.SIGKILL)


def test_what_is_imported_before_a_fork_opens_no_gpu():
    """A process could not use it after that."""
    from mmcl.experiments.many_runs import LATE_IMPORTS  # else the processes above would import it

    code = (
        "import importlib, sys, torch\n"
        "torch._C._cuda_getDeviceCount = torch.cuda._lazy_init = lambda *a: sys.exit('opened')\n"
        f"for name in ('mmcl.experiments.many_runs', *{LATE_IMPORTS}): importlib.import_module(name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
