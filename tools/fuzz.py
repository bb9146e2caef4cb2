"""Does any file crash mmcl, hang it, fill the memory, or make it write elsewhere?

    python tools/fuzz.py --seconds 60 --out runs/fuzz

Media headers, sensor tables, manifests and model folders are damaged in seeded ways, case after case. A case may end
well, or by one line that names what is wrong. Anything else is a finding: another exception, a message of several
lines, more than 2 GB, more than 30 s, a file outside of the case's own folder. Findings are kept with their files, and
repeated by --replay TARGET:SEED. Exits with 1 where there are any.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil  # type: ignore[import-untyped]
import tyro

ALL = ("media", "tables", "manifests", "models")
MAX_BYTES, MAX_S = 2 << 30, 30.0


@dataclass(frozen=True)
class Options:
    """What is damaged, for how long.

    Attributes:
        seconds: For all targets together.
        seed: Of the first case.
        targets: Which.
        replay: Cases to run first, TARGET:SEED each.
        out: Folder for findings.
    """

    seconds: float = 60.0
    seed: int = 0
    targets: tuple[str, ...] = ALL
    replay: tuple[str, ...] = ()
    out: Path = Path("runs/fuzz")


def memory(process: psutil.Process) -> int:
    """Resident bytes of a process and its children."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_info().rss
        except psutil.Error:
            continue
    return total


def work(target: str) -> None:
    """Run the cases whose seeds standard input names; write a line of JSON for each."""
    from fuzzing.targets import TARGETS

    from mmcl.errors import InputError

    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryDirectory() as field:
        target_cases = TARGETS[target](Path(place))
        before = sorted(p for p in Path(place).rglob("*"))
        output.write('{"ready": true}\n')
        output.flush()
        for line in sys.stdin:
            seed = int(line)
            box = Path(field) / "box"
            box.mkdir()
            finding, ended = "", "well"
            try:
                target_cases.case(np.random.default_rng([seed, 0xF0]), box)
            except InputError as error:
                ended = "refused"
                finding = "several lines: " + str(error) if "\n" in str(error) else ""
            except Exception:
                finding = traceback.format_exc()
            if [p.name for p in Path(field).iterdir()] != ["box"] or sorted(Path(place).rglob("*")) != before:
                finding += "wrote outside of its folder"
            output.write(json.dumps({"seed": seed, "finding": finding, "ended": ended}) + "\n")
            output.flush()
            if not finding:
                shutil.rmtree(box)
            else:
                shutil.move(box, Path(os.environ["FUZZ_OUT"]) / f"{target}-{seed}")


class Worker:
    """A process that runs the cases of a target; one that hangs or grows is killed and replaced."""

    def __init__(self, target: str, out: Path):
        self.target, self.out = target, out
        self.process = self._start()

    def _start(self) -> subprocess.Popen:
        here = Path(__file__).resolve().parent
        env = {**os.environ, "FUZZ_OUT": str(self.out), "MMCL_CACHE": str(self.out / "cache"), "OMP_NUM_THREADS": "1"}
        env["PYTHONPATH"] = os.pathsep.join([str(here), str(here.parent), env.get("PYTHONPATH", "")])
        process = subprocess.Popen(
            [sys.executable, str(here / "fuzz.py"), "--worker", self.target],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env,
        )  # fmt: skip
        assert process.stdout is not None
        if not process.stdout.readline():
            raise SystemExit(f"{self.target}: its good files cannot be made")
        self.base = memory(psutil.Process(process.pid))
        return process

    def run(self, seed: int) -> dict[str, str]:
        """What became of a case."""
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        killed: list[str] = []
        done = threading.Event()

        def watch() -> None:
            started, root = time.monotonic(), psutil.Process(process.pid)
            while not done.wait(0.05):
                taken = memory(root) - self.base
                too_long = time.monotonic() - started > MAX_S
                if taken > MAX_BYTES or too_long:
                    killed.append(f"no end after {MAX_S:.0f} s" if too_long else f"took {taken / 2**30:.1f} GB")
                    for one in [*root.children(recursive=True), root]:
                        one.kill()
                    return

        watcher = threading.Thread(target=watch)
        watcher.start()
        process.stdin.write(f"{seed}\n")
        process.stdin.flush()
        line = process.stdout.readline()
        done.set()
        watcher.join()
        if line:
            return json.loads(line)
        code = process.wait()
        self.process = self._start()
        return {"finding": killed[0] if killed else f"crashed (exit {code})", "ended": "killed"}

    def stop(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def main() -> None:
    """Run cases until the time is over; print and keep the findings."""
    if sys.argv[1:2] == ["--worker"]:
        return work(sys.argv[2])
    o = tyro.cli(Options, description=__doc__)
    o.out.mkdir(parents=True, exist_ok=True)
    targets = dict.fromkeys([*(case.split(":")[0] for case in o.replay), *o.targets])
    workers = {target: Worker(target, o.out.resolve()) for target in targets}
    findings: list[str] = []
    counts: dict[str, dict[str, int]] = {target: {} for target in workers}

    def run(target: str, seed: int) -> None:
        result = workers[target].run(seed)
        counts[target][result["ended"]] = counts[target].get(result["ended"], 0) + 1
        if result["finding"]:
            findings.append(f"{target}:{seed}")
            (o.out / f"{target}-{seed}.txt").write_text(result["finding"])
            print(f"{target}:{seed}: {result['finding'].strip().splitlines()[-1]}", flush=True)

    for case in o.replay:
        target, _, number = case.partition(":")
        run(target, int(number))
    for target in o.targets:
        until, seed = time.monotonic() + o.seconds / len(o.targets), o.seed
        while time.monotonic() < until:
            run(target, seed)
            seed += 1
    for worker in workers.values():
        worker.stop()
    for target, ended in counts.items():
        print(f"{target}: {sum(ended.values())} cases ({', '.join(f'{n} {k}' for k, n in ended.items())})")
    print(f"{len(findings)} findings" + (f": {' '.join(findings)}, kept in {o.out}" if findings else ""))
    sys.exit(bool(findings))
    return None


if __name__ == "__main__":
    main()
