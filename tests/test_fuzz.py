"""Damaged files of strangers: some seconds of seeded cases, those first that once found something."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SEEDS = ROOT / "tests" / "fixtures" / "fuzz_seeds.txt"


def test_damaged_files(tmp_path):
    seeds = [line.split()[0] for line in SEEDS.read_text().splitlines() if line and not line.startswith("#")]
    words = ["tools/fuzz.py", "--seconds", "10", "--out", str(tmp_path), "--replay", *seeds]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=ROOT, timeout=400)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "0 findings" in done.stdout
    for target in ("media", "tables", "manifests", "models"):
        assert f"{target}: " in done.stdout
