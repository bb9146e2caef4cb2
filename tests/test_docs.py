"""Documents are whole and up to date: tables are those of the classes, tests and files that they name exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from forked import run_script

from mmcl.losses.contrastive.components import SLOTS, registry

ROOT = Path(__file__).resolve().parents[1]
DOCS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def check_tables(root: Path) -> subprocess.CompletedProcess:
    return run_script(root / "tools" / "generate_docs.py", "--check")


def test_tables_are_those_of_the_classes():
    done = check_tables(ROOT)
    assert done.returncode == 0, done.stderr


def test_a_stale_table_is_found_and_written_anew(tmp_path):
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "generate_docs.py", tmp_path / "tools")
    stale = tmp_path / "docs" / "objectives.md"
    stale.write_text(stale.read_text().replace("[`cacr`]", "[`crac`]"))
    done = check_tables(tmp_path)
    assert done.returncode == 1
    assert "stale: docs/objectives.md; run python tools/generate_docs.py" in done.stderr
    assert run_script(tmp_path / "tools" / "generate_docs.py").returncode == 0
    assert stale.read_text() == (ROOT / "docs" / "objectives.md").read_text()


def test_every_component_is_in_the_tables():
    text = (ROOT / "docs" / "objectives.md").read_text()
    names = set(re.findall(r"^\| \[`([a-z-]+)`\]\[", text, re.MULTILINE))
    assert names == {name for slot in SLOTS for name in registry(slot).names()}


def test_lines_that_include_files_are_whole():
    """A formatter of Python takes them for arithmetic."""
    lines = [line for path in DOCS for line in path.read_text().splitlines() if line.startswith("--8")]
    assert len(lines) > 15
    for line in lines:
        (name,) = re.findall(r'^--8<-- "([^":]+)(?::[a-z]+)?"$', line)
        assert (ROOT / name).exists(), line


@pytest.mark.parametrize("path", DOCS, ids=lambda p: p.name)
def test_what_documents_name_exists(path):
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    tests = "".join(p.read_text() for p in (ROOT / "tests").rglob("*.py"))
    for name in re.findall(r"`(test_[a-z_]+)`", text):
        assert f"def {name}(" in tests, name
    files = r"`((?:tests|tools|pipelines|examples|docs)/[A-Za-z_/]+\.[a-z]+)(?:::(test_[a-z_]+))?`"
    for place, test in re.findall(files, text):
        assert (ROOT / place).exists(), place
        assert not test or f"def {test}(" in (ROOT / place).read_text(), test
    for link in re.findall(r"\]\(((?!http)[^)#]+)(?:#[^)]*)?\)", text):
        assert (path.parent / link).exists(), link
