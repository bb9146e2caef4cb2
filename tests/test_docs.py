"""Documents are whole and up to date."""

from __future__ import annotations

import re
from pathlib import Path

from mmcl.losses.contrastive.components import SLOTS, registry


def test_the_table_of_objectives_is_whole_and_its_tests_exist():
    root = Path(__file__).resolve().parents[1]
    text = (root / "docs" / "objectives.md").read_text()
    rows = set(re.findall(r"^\| `([a-z-]+)` \|", text, re.M))
    assert rows == {name for slot in SLOTS for name in registry(slot).names()}
    ours = "".join(p.read_text() for p in (root / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_[a-z_]+)`", text):
        assert f"def {name}(" in ours, name
    for path, name in re.findall(r"`(tests/[a-z_/]+\.py)(?:::(test_[a-z_]+))?`", text):
        assert f"def {name or 'test_'}" in (root / path).read_text(), (path, name)
