"""The law of imports: each floor sees only the floors below; the losses need torch, numpy and einops alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLOOR = {
    "types": 0, "config": 0, "presets": 0, "errors": 0, "metrics": 0, "processes": 0, "precision": 0, "packing": 0, "storage": 0, "models": 1, "losses": 1, "data": 2, "features": 2,
    "training": 3, "tasks": 3, "probe": 3, "finetune": 3, "scoring": 3, "infer": 3, "events": 3, "score_videos": 3, "page": 3, "overlay": 3, "figures": 3, "report": 3, "demo": 3, "frame_evaluation": 3, "export": 3, "sharing": 3, "diagnose": 3, "compare": 3, "commands": 4, "cli": 4, "__main__": 5, "__init__": 0,
}  # fmt: skip
APART = {("models", "data"), ("losses", "data"), ("data", "models"), ("data", "losses"), ("models", "losses")}


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{a.name}" for a in node.names}
    return names


def test_floors():
    for path in (ROOT / "mmcl").rglob("*.py"):
        room = path.relative_to(ROOT / "mmcl").parts[0].removesuffix(".py")
        for name in imports(path):
            if name.startswith("mmcl."):
                other = name.split(".")[1]
                if other not in FLOOR:
                    continue
                assert FLOOR[other] <= FLOOR[room], f"{path} imports {name}"
                assert (room, other) not in APART, f"{path} imports {name}"
            assert not name.startswith(("pipelines", "tools", "examples")), f"{path} imports {name}"


def test_what_stands_outside_uses_public_names():
    for path in (p for room in ("pipelines", "tools", "examples") for p in (ROOT / room).rglob("*.py")):
        for name in imports(path):
            assert not (name.startswith("mmcl.") and any(part.startswith("_") for part in name.split("."))), (
                path
            )


def test_config_imports_no_torch():
    assert not {n for n in imports(ROOT / "mmcl" / "config.py") if n.startswith("torch")}


def test_losses_need_little():
    code = (
        "import sys, torch; before = set(sys.modules); import mmcl.losses;"
        "new = {m.split('.')[0] for m in set(sys.modules) - before} - set(sys.stdlib_module_names);"
        "print(sorted(new))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['einops', 'mmcl']"


def test_two_files_alone_open_and_write_media():
    for path in (ROOT / "mmcl").rglob("*.py"):
        if path.name not in ("media.py", "media_writer.py"):
            assert not {n for n in imports(path) if n.split(".")[0] in ("av", "decord")}, path


def test_a_reader_that_has_read_enough_is_no_error():
    with subprocess.Popen(
        [sys.executable, "-m", "mmcl", "train", "utd-mhad", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141
