"""The weights that MACIL-SD's authors released."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from conftest import SHARED
from xd_features import make_features

from mmcl.cli.main import main
from mmcl.losses.mil import topk_pool
from mmcl.models.macil_sd import from_authors_weights
from mmcl.runs.model import load_model
from mmcl.types import Bags


@pytest.fixture(scope="module")
def released():
    path = SHARED / "macil_sd" / "macil_sd.pkl"
    if not path.exists():
        pytest.skip("the authors' weights are not here")
    return path


def test_the_authors_network_gives_the_authors_numbers(released):
    """Their code lets snippets attend to the padding of the batch: so does this comparison."""
    network = from_authors_weights(torch.load(released, map_location="cpu", weights_only=True)).eval()
    want = {k: torch.from_numpy(v) for k, v in np.load(released.parent / "forward.npz").items()}
    bags = Bags(
        {m: want[f"{m}_features"] for m in ("visual", "audio")},
        torch.ones(5, 37, dtype=torch.bool),
        torch.zeros(5, 1),
        torch.arange(5),
    )
    with torch.no_grad():
        got = network(bags)

    def same(x, name):
        torch.testing.assert_close(x, want[name], atol=1e-5, rtol=0)

    same(got.joint_logit[..., 0], "av_logits")
    for m in ("visual", "audio"):
        same(got.logit[m][..., 0].sigmoid(), f"{m}_scores")
        same(got.embedding[m], f"{m}_embeddings")
    real = torch.arange(37) < want["lengths"][:, None]
    same(topk_pool(got.joint_logit, real)[:, 0].sigmoid(), "bag_scores_topk_pool")
    same(got.joint_logit[..., 0].sigmoid().mean(0), "snippet_scores")


def test_the_authors_weights_evaluate_and_fine_tune(released, tmp_path, capsys):
    model = tmp_path / "macil"
    assert main(["import-macil-sd", str(released), "--out", str(model)]) == 0
    network, _ = load_model(model)
    assert sum(p.numel() for p in network.parameters()) == 247_425
    data = tmp_path / "data"
    make_features(data, n_each=1, widths=(1024, 128))
    assert main(["evaluate", str(model)]) == 1
    assert "give --data" in capsys.readouterr().err
    crops = json.loads((model / "config.json").read_text())
    crops["config"]["data"]["crops"] = 2
    (model / "config.json").write_text(json.dumps(crops))
    assert main(["evaluate", str(model), "--data", str(data)]) == 0
    assert "frame average precision" in capsys.readouterr().out
    words = [
        "train",
        "xd-violence",
        "--data",
        str(data),
        "--out",
        str(tmp_path / "tuned"),
        "--start-from",
        str(model),
    ]
    small = [
        "--data.crops",
        "2",
        "--optim.epochs",
        "1",
        "--optim.learning-rate",
        "0",
        "--trainer.tracker",
        "none",
    ]
    assert main([*words, *small, "--teacher.unimodal", ""]) == 0
    tuned, _ = load_model(tmp_path / "tuned")
    for k, v in network.state_dict().items():  # at learning rate 0 they stay the authors'
        torch.testing.assert_close(tuned.state_dict()[k], v)
    assert main(["import-macil-sd", str(released), "--out", str(model)]) == 1
    assert "already holds" in capsys.readouterr().err
    (tmp_path / "bad.pkl").write_bytes(b"x")
    torch.save({"fc_v.weight": torch.zeros(2, 2)}, tmp_path / "half.pkl")
    for name, message in (
        ("bad.pkl", "not a plain state dict"),
        ("half.pkl", "is missing"),
        ("no.pkl", "no such"),
    ):
        assert main(["import-macil-sd", str(tmp_path / name), "--out", str(tmp_path / "m")]) == 1
        assert message in capsys.readouterr().err
