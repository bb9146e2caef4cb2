"""A diagnosis of embeddings, through the command line; a reader that closes the pipe."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mmcl.cli.main import main
from mmcl.datasets.sources.synthetic_sensors import make_recordings

SMALL = ["--model.dim", "16", "--trainer.tracker", "none", "--optim.epochs", "1"]
STREAMS = [*SMALL, "--data.n-train-streams", "8", "--data.n-test-streams", "4"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    make_recordings(folder, n_trials=2, actions=(1, 3, 13, 18))
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "streams"
    assert main(["train", "utd-mhad-streams", "--data", str(data), "--out", str(out), *STREAMS]) == 0
    return out


def test_diagnose_a_run(run, tmp_path, capsys):
    assert main(["diagnose", str(run), "--out", str(tmp_path)]) == 0
    printed = json.loads((tmp_path / "diagnosis.json").read_text())
    assert printed["unit"] == "snippet"
    assert {"alignment", "uniformity, skeleton", "tolerance, inertial", "false negatives"} <= printed.keys()
    assert (tmp_path / "diagnosis.png").read_bytes()[:4] == b"\x89PNG"


def test_a_reader_of_scores_may_read_enough(run, data):
    command = [sys.executable, "-m", "mmcl", "score", str(run), str(data), "--json", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # at once: a pipe would take all the lines before anybody reads
        assert "failed" not in process.stderr.read()
        assert process.wait() == 141
