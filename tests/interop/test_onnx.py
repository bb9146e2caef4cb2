"""The scoring network as ONNX."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from mmcl.cli.main import main
from mmcl.datasets.sources.synthetic_sensors import make_recordings
from mmcl.interop.onnx import ScoringNetwork, example_input, export_program
from mmcl.runs.model import load_model

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


def test_onnx_scores_are_pytorchs(run, data, tmp_path, capsys):
    model = tmp_path / "run"
    shutil.copytree(run, model)
    files = sorted((data / "Inertial").glob("a1_s2*")) + sorted((data / "Skeleton").glob("a1_s2*"))
    score = ["score", str(model), *map(str, files)]
    assert main([*score, "--runtime", "onnx"]) == 1
    assert "make it with mmcl export" in capsys.readouterr().err
    assert main(["export", str(model)]) == 0
    assert "largest difference" in capsys.readouterr().out
    for runtime in ("torch", "onnx"):
        assert main([*score, "--out", str(tmp_path / runtime), "--runtime", runtime]) == 0
    for path in (tmp_path / "torch").glob("*.json"):
        ours, theirs = (json.loads((tmp_path / r / path.name).read_text()) for r in ("torch", "onnx"))
        for a, b in zip(ours["snippets"], theirs["snippets"], strict=True):
            for head in ("joint", "skeleton", "inertial"):
                assert a[head] == pytest.approx(b[head], abs=1e-4)


def test_export_of_any_size(run):
    program = export_program(run).module()
    network, info = load_model(run)
    own = ScoringNetwork(network, tuple(info.inputs))
    for n_bags, n in ((1, 2), (4, 50)):
        tensors = example_input(info.grid, info.inputs, n_bags, n)
        with torch.no_grad():
            for a, b in zip(program(*tensors), own(*tensors), strict=True):
                torch.testing.assert_close(a[tensors[-1]], b[tensors[-1]], atol=1e-5, rtol=0)
