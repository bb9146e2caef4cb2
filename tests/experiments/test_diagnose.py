"""A diagnosis of embeddings, through the command line; a reader that closes the pipe."""

from __future__ import annotations

import json
import subprocess
import sys

from mmcl.cli.main import main


def test_diagnose_a_run(trained, tmp_path, capsys):
    assert main(["diagnose", str(trained), "--out", str(tmp_path)]) == 0
    printed = json.loads((tmp_path / "diagnosis.json").read_text())
    assert printed["unit"] == "snippet"
    assert {"alignment", "uniformity, skeleton", "tolerance, inertial", "false negatives"} <= printed.keys()
    assert (tmp_path / "diagnosis.png").read_bytes()[:4] == b"\x89PNG"


def test_a_reader_of_scores_may_read_enough(trained, dataset_dir):
    command = [sys.executable, "-m", "mmcl", "score", str(trained), str(dataset_dir), "--json", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # at once: a pipe would take all the lines before anybody reads
        assert "failed" not in process.stderr.read()
        assert process.wait() == 141
