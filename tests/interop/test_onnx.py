"""The scoring network as ONNX."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from mmcl.cli.main import main
from mmcl.interop.onnx import ScoringNetwork, example_input, export_program
from mmcl.runs.model import load_model


def test_onnx_scores_are_pytorchs(trained, dataset_dir, tmp_path, capsys):
    model = tmp_path / "run"
    shutil.copytree(trained, model)
    files = sorted((dataset_dir / "Inertial").glob("a1_s2*")) + sorted((dataset_dir / "Skeleton").glob("a1_s2*"))
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


def test_export_of_any_size(trained):
    program = export_program(trained).module()
    network, info = load_model(trained)
    own = ScoringNetwork(network, tuple(info.inputs))
    for n_bags, n in ((1, 2), (4, 50)):
        tensors = example_input(info.grid, info.inputs, n_bags, n)
        with torch.no_grad():
            for a, b in zip(program(*tensors), own(*tensors), strict=True):
                torch.testing.assert_close(a[tensors[-1]], b[tensors[-1]], atol=1e-5, rtol=0)


def test_a_place_that_cannot_be_written_is_told_before_the_work(trained, tmp_path, monkeypatch):
    """Root may write everywhere: a file stands where the folder should be."""
    (tmp_path / "file").touch()
    monkeypatch.setattr("mmcl.interop.onnx.export_program", lambda run: pytest.fail("was computed"))
    assert main(["export", str(trained), "--out", str(tmp_path / "file" / "model.onnx")]) == 1
    monkeypatch.setattr("mmcl.reporting.run_report.run_page", lambda *a: pytest.fail("was computed"))
    assert main(["report", str(trained), "--out", str(tmp_path / "file" / "report.html")]) == 1
