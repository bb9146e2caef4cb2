"""Processes of their own for tests that kill, stop or pair them, forked from one that has imported everything.

``python -m mmcl`` takes seconds of imports, over and over; README's commands and many other tests pay for them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmcl.experiments.many_runs import LATE_IMPORTS

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["mmcl.cli.main", "mmcl.cli.settings", "mmcl.training.run", *LATE_IMPORTS])


def _run(words: Sequence[str], code: str, env: Mapping[str, str], cwd: str, out: str, err: str) -> None:
    os.setsid()
    os.chdir(cwd)
    for path, stream in ((out, sys.stdout), (err, sys.stderr)):
        stream.flush()
        with open(path, "w") as file:
            os.dup2(file.fileno(), stream.fileno())
    os.environ.update(env)
    sys.path[:0] = [p for p in env.get("PYTHONPATH", "").split(os.pathsep) if p]
    sys.argv = ["mmcl", *words]
    if code:
        exec(code, {"__name__": "__main__"})
        return
    from mmcl.cli.main import main

    sys.exit(main(list(words)))


class Forked:
    """As ``subprocess.Popen`` of ``python -m mmcl WORDS``, a group of its own, whose output is kept.

    Args:
        words: The command's.
        code: Is run instead of the command, the words being its ``sys.argv[1:]``.
        env: Beside this process's variables; folders of PYTHONPATH come before all others.
        cwd: Where it runs; here by default.
    """

    def __init__(
        self, words: Sequence[str], code: str = "", env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mmcl-forked-"))
        files = [str(self.folder / name) for name in ("stdout", "stderr")]
        self.process = CONTEXT.Process(target=_run, args=(words, code, dict(env or {}), str(cwd or Path.cwd()), *files))
        self.process.start()
        assert self.process.pid is not None
        self.pid = self.process.pid

    def poll(self) -> int | None:
        return self.process.exitcode

    returncode = property(poll)

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def killpg(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.killpg()
            raise TimeoutError(f"still runs after {timeout} s: {(self.folder / 'stderr').read_text()[-3000:]}")
        stdout, stderr = ((self.folder / name).read_text() for name in ("stdout", "stderr"))
        return stdout, stderr


def run(
    words: Sequence[str], code: str = "", env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess:
    """As ``subprocess.run`` with its output."""
    child = Forked(words, code, env, cwd)
    stdout, stderr = child.communicate()
    return subprocess.CompletedProcess(list(words), child.returncode or 0, stdout, stderr)


def run_script(
    path: Path, *words: object, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess:
    """As ``subprocess.run`` of ``python PATH WORDS``."""
    code = f"import runpy, sys; sys.path.insert(0, {str(path.parent)!r}); sys.argv.pop(0)\n"
    code += "runpy.run_path(sys.argv[0], run_name='__main__')"
    return run([str(path), *map(str, words)], code, env, cwd)


def run_pair(words: Sequence[str], code: str = "", timeout: float = 300) -> subprocess.CompletedProcess:
    """What ``torchrun --nproc_per_node 2 -m mmcl WORDS`` does: where one fails, the other is ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    pair = [Forked(words, code, {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in (0, 1)]
    deadline = time.monotonic() + timeout
    while None in (codes := [child.poll() for child in pair]) and time.monotonic() < deadline:
        if any(codes):
            for child in pair:
                if child.poll() is None:
                    child.killpg()
        time.sleep(0.02)
    outputs = [child.communicate(1.0) for child in pair]
    returncode = next((child.returncode for child in pair if child.returncode), 0)
    return subprocess.CompletedProcess(list(words), returncode, *("".join(o) for o in zip(*outputs, strict=True)))
