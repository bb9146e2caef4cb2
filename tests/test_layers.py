"""The order of the layers: a package imports from layers before it in the list, never from its own layer or later
ones."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = (
    {"types", "errors", "io", "stop", "distributed"},
    {"config"},
    {"media", "readers"},
    {"models", "losses", "evaluation"},
    {"features"},
    {"data"},
    {"datasets"},
    {"runs"},
    {"inference"},
    {"live"},
    {"training"},
    {"experiments"},
    {"reporting", "interop"},
    {"api"},
    {"serve"},
    {"cli"},
)
LAYER = {name: number for number, layer in enumerate(LAYERS) for name in layer}
LOOSE = {"__init__.py", "__main__.py", "types.py", "errors.py", "io.py", "stop.py", "distributed.py"}


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{a.name}" for a in node.names}
    return names


def violations(source: Path) -> list[str]:
    """Imports that go up or sideways; ``types`` and the like may import each other."""
    violations = []
    for path in source.rglob("*.py"):
        package = path.relative_to(source).parts[0].removesuffix(".py")
        if package in ("__init__", "__main__"):
            continue
        for name in imports(path):
            if not name.startswith("mmcl."):
                continue
            other = name.split(".")[1]
            if other == package or other == "__version__":
                continue
            if LAYER[other] > LAYER[package] or (LAYER[other] == LAYER[package] > 0):
                violations.append(f"{path.relative_to(source)} imports {name}")
    return violations


def test_layers():
    assert violations(ROOT / "mmcl") == []


def test_a_wrong_import_would_be_found(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a.py").write_text("from mmcl.losses import mil_loss\nfrom mmcl.types import Bags\n")
    (tmp_path / "io.py").write_text("import mmcl.cli.main\n")
    assert sorted(violations(tmp_path)) == [
        "io.py imports mmcl.cli.main",
        "models/a.py imports mmcl.losses.mil_loss",
    ]


def test_four_loose_modules():
    assert {p.name for p in (ROOT / "mmcl").glob("*.py")} == LOOSE


@pytest.mark.parametrize("folder", ["mmcl", "tests", "tools", "pipelines", "examples"])
def test_no_file_is_longer_than_350_lines(folder):
    lengths = {str(p): len(p.read_text().splitlines()) for p in (ROOT / folder).rglob("*.py")}
    assert {k: n for k, n in lengths.items() if n > 350} == {}


def takes_whole_configuration(path: Path) -> bool:
    """Does a function or a dataclass of the file take a ``RunConfig``?"""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            if any(a.annotation and "RunConfig" in ast.unparse(a.annotation) for a in arguments):
                return True
    return False


def test_at_most_ten_files_take_the_whole_configuration():
    files = [p.name for p in (ROOT / "mmcl").rglob("*.py") if takes_whole_configuration(p)]
    assert 1 < len(files) <= 10, files


def test_pipelines_tools_and_examples_use_public_names():
    for path in (p for room in ("pipelines", "tools", "examples") for p in (ROOT / room).rglob("*.py")):
        for name in imports(path):
            private = any(part.startswith("_") for part in name.split("."))
            assert not (name.startswith("mmcl.") and private), path


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ast.literal_eval(done.stdout))


def test_import_mmcl_and_config_import_no_torch():
    assert not {"torch", "numpy", "pandas"} & modules_after("import mmcl; dir(mmcl)")
    assert not {"torch", "numpy"} & modules_after("import mmcl.config")
    assert "torch" in modules_after("import mmcl; mmcl.load")


def test_the_commands_are_listed_without_torch_and_scores_made_without_scikit_learn():
    code = "import contextlib, io, mmcl.cli.main as m; contextlib.redirect_stdout(io.StringIO()).__enter__()"
    listed = modules_after(f"{code}; m.main(['--help']); sys.stdout = sys.__stdout__")
    assert not {"torch", "numpy", "tyro", "pandas"} & listed
    to_score = modules_after("import mmcl; mmcl.load; import mmcl.cli.score")
    assert not {"sklearn", "pandas", "accelerate", "matplotlib"} & to_score


def test_losses_import_torch_numpy_and_einops_only():
    before = modules_after("import torch, numpy, einops")
    new = modules_after("import torch, numpy, einops; import mmcl.losses") - before
    assert new - set(sys.stdlib_module_names) == {"mmcl"}


def test_media_alone_opens_and_writes_media():
    for path in (ROOT / "mmcl").rglob("*.py"):
        if path.parent.name != "media":
            assert not {n for n in imports(path) if n.split(".")[0] in ("av", "decord")}, path


def test_a_reader_that_closes_the_pipe_is_no_error():
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
