"""The example that plugs contrast and teacher into other networks: it runs, and is resumed where it was."""

from __future__ import annotations

import importlib
import json
import subprocess
from pathlib import Path

import pytest
import torch
from forked import run_script
from xd_features import make_features

from mmcl.config import LossConfig

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "plug_in"
HOSTS = ("graph", "magnitude", "memory")


def run(*options: str) -> subprocess.CompletedProcess:
    return run_script(EXAMPLE / "train.py", *options, "--epochs", "1", "--seeds", "0")


def test_every_host_on_both_data_sets(dataset_dir, tmp_path):
    make_features(tmp_path / "clips", n_crops=5)
    options = ["--streams", str(dataset_dir), "--clips", str(tmp_path / "clips"), "--out", str(tmp_path / "out")]
    done = run(*options, "--n-streams", "16", "8")
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads((tmp_path / "out" / "results.json").read_text())["results"]
    assert set(results) == {f"{t}/{h}/{w}/0" for t in ("streams", "clips") for h in HOSTS for w in ("with", "without")}
    assert all(0 < v <= 1 for v in results.values())
    again = run(*options, "--n-streams", "16", "8")  # nothing is left to do
    assert again.returncode == 0
    assert not [line for line in again.stdout.splitlines() if line.startswith(("streams/", "clips/"))]
    assert again.stdout.endswith((tmp_path / "out" / "results.md").read_text())
    assert again.stdout.count("|\n") == 2 + 2 * len(HOSTS)
    other = run(*options, "--n-streams", "16", "9")
    assert other.returncode == 1
    assert "choose another --out" in other.stderr


@pytest.mark.parametrize("host", HOSTS)
def test_ten_lines_train_every_module_of_a_host(host, monkeypatch):
    """The plugged-in loss alone reaches encoder and unimodal heads, and padding changes nothing."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    hosts, train = importlib.import_module("hosts"), importlib.import_module("train")
    torch.manual_seed(0)
    network = hosts.HOSTS[host]({"a": 5, "b": 7}).eval()
    x = {"a": torch.randn(6, 20, 5), "b": torch.randn(6, 20, 7)}
    mask = torch.arange(20) < torch.tensor([20, 15, 18, 20, 9, 20])[:, None]
    label = torch.tensor([1.0, 0, 1, 1, 0, 0])[:, None]

    def loss(x, mask):
        output = network(x, mask)  # no bag has more snippets than are drawn
        return train.plug(output, network(x, mask), mask, label, 0.5, LossConfig())

    value = loss(x, mask)
    value.backward()
    wider = {m: torch.cat([v, torch.full((6, 5, v.shape[2]), 9.0)], 1) for m, v in x.items()}
    padded = loss(wider, torch.nn.functional.pad(mask, (0, 5)))
    torch.testing.assert_close(padded, value, rtol=1e-4, atol=1e-5)
    silent = {n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    assert silent <= {"joint.weight", "joint.bias"}  # the teacher of the others
    source = (EXAMPLE / "train.py").read_text()
    body = source.split("def plug(")[1].split("\n\n\n")[0]
    assert body.count("  # ") == 10
