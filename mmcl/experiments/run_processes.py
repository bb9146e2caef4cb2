"""Processes for many runs. On Linux they are forked from one that has imported everything, so that a run starts in a
tenth of a second instead of several; elsewhere, where a fork is not safe, each is an interpreter of its own."""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType

CAN_FORK = sys.platform == "linux"


class RunProcesses:
    """Each call of ``run`` executes a function of a path in a process of its own. A context manager.

    Args:
        function: Whose, as "package.module:name".
        threads: That each process computes with.
        imports: Modules that the function imports late, and a process to fork from therefore early.
    """

    def __init__(self, function: str, threads: int, imports: Sequence[str] = ()) -> None:
        self.function, self.imports = function, imports
        # threads that spin while they wait would slow the runs beside this one; asked so, PyTorch tells whether there
        # is a GPU without opening it, which the processes do
        environment = {"OMP_WAIT_POLICY": "PASSIVE", "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
        self.environment = {**environment, **os.environ, "OMP_NUM_THREADS": str(threads)}
        self.children: list[subprocess.Popen[str]] = []
        self.codes: dict[str, SimpleQueue[int]] = {}
        self.lock = threading.Lock()
        self.is_stopped = False

    def __enter__(self) -> RunProcesses:
        if CAN_FORK:
            server = self._start("serve", self.function, *self.imports, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.reader = threading.Thread(target=self._read_codes, args=(server,), daemon=True)
            self.reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Where the block failed, processes that run are told to end; all are waited for."""
        if kind is not None:
            self.stop()
        for child in self.children:
            if child.stdin is not None:
                with suppress(BrokenPipeError):
                    child.stdin.close()
            child.wait()
        if CAN_FORK:
            self.reader.join()

    def run(self, path: Path, log: Path) -> int:
        """Execute the function, and wait for its end; from several threads at once.

        Args:
            path: What the function takes.
            log: File to which the process's output is appended.

        Returns:
            The exit status.
        """
        if not CAN_FORK:
            with open(log, "a") as file:
                return self._start("execute", self.function, str(path), stdout=file, stderr=file).wait()
        code: SimpleQueue[int] = SimpleQueue()
        with self.lock:
            if self.is_stopped:
                return 1
            self.codes[str(path)] = code
            stdin = self.children[0].stdin
            assert stdin is not None
            with suppress(BrokenPipeError):  # the reader sees its end
                print(json.dumps([str(path), str(log)]), file=stdin, flush=True)
        return code.get()

    def stop(self) -> None:
        """Tell processes that run to end, as by SIGTERM; later calls of ``run`` start nothing."""
        with self.lock:
            self.is_stopped = True
            for child in self.children:
                child.terminate()

    def _start(self, name: str, *words: str, **files: object) -> subprocess.Popen[str]:
        code = f"import sys; from {__name__} import {name}; {name}(*sys.argv[1:])"
        command = [sys.executable, "-c", code, *words]
        with self.lock:
            child = subprocess.Popen(command, env=self.environment, text=True, **files)  # type: ignore[call-overload]
            self.children.append(child)
            if self.is_stopped:
                child.terminate()
        return child

    def _read_codes(self, server: subprocess.Popen[str]) -> None:
        assert server.stdout is not None
        with server.stdout as lines:
            for line in lines:
                path, code = json.loads(line)
                self.codes.pop(path).put(code)
        with self.lock:  # the server has ended; before these, if it was killed
            self.is_stopped = True
            for waiting in self.codes.values():
                waiting.put(1)


def find(function: str) -> Callable[[Path], None]:
    """The function of that name, "package.module:name"."""
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)


def execute(function: str, path: str) -> None:
    """What an interpreter of its own does."""
    find(function)(Path(path))


def serve(function: str, *imports: str) -> None:
    """Fork a process for each line [path, log] of standard input; write [path, exit status] when it ends.

    SIGTERM is passed on to the processes. Ends with the last one, when standard input does or after SIGTERM.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the processes too, which save and end
    call = find(function)
    for name in imports:
        importlib.import_module(name)
    running: dict[int, str] = {}
    is_open = True

    def end(number: int, frame: object) -> None:
        nonlocal is_open
        is_open = False
        for pid in running:
            os.kill(pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    with open(0, "rb", buffering=0, closefd=False) as requests:
        while is_open or running:
            signal.pthread_sigmask(
                signal.SIG_UNBLOCK, [signal.SIGTERM]
            )  # taken here alone: no process is forked after it
            is_ready = select.select([requests] if is_open else [], [], [], 0.05)[0]
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            if is_open and is_ready:
                line = requests.readline()
                is_open = bool(line)
                if line:
                    path, log = json.loads(line)
                    running[_fork(call, path, log)] = path
            while running and (ended := os.waitpid(-1, os.WNOHANG))[0]:
                with suppress(BrokenPipeError):  # nobody waits any more
                    print(json.dumps([running.pop(ended[0]), os.waitstatus_to_exitcode(ended[1])]), flush=True)


def _fork(call: Callable[[Path], None], path: str, log: str) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        with open(log, "a") as file, open(os.devnull) as nothing:
            os.dup2(nothing.fileno(), 0)
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        call(Path(path))
        code = 0
    except SystemExit as stopped:
        code = stopped.code if isinstance(stopped.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
