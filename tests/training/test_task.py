"""Every mechanism takes a step."""

from __future__ import annotations

import pytest
import torch
from support import recipe

from mmcl.cli.main import main
from mmcl.datasets.sources.synthetic_sensors import make_recordings
from mmcl.experiments.ablation import ablation_names, with_components

SMALL = ["--model.dim", "16", "--trainer.tracker", "none", "--optim.epochs", "1"]
STREAMS = [*SMALL, "--data.n-train-streams", "8", "--data.n-test-streams", "4"]


@pytest.mark.parametrize("name", ablation_names())
def test_every_mechanism_takes_a_step(name):
    """On made-up bags of features, by the very code that training uses; the loss is finite and reaches the encoders."""
    from mmcl.models.encoders.linear import LinearEncoder
    from mmcl.models.network import MultimodalNetwork
    from mmcl.training.step_state import StepState
    from mmcl.training.task import TrainingTask
    from mmcl.types import Bags

    config = with_components(recipe("utd-mhad-streams"), name)
    torch.manual_seed(0)
    student = MultimodalNetwork(
        {"a": LinearEncoder(5, 8), "b": LinearEncoder(4, 8)},
        8,
        1,
        joint=config.model.joint,
        projection=8,
        n_heads=2,
    )
    task = TrainingTask(student, None, config.loss, False, 8)
    x = {"a": torch.randn(8, 20, 5), "b": torch.randn(8, 20, 4)}
    mask = torch.arange(20) < torch.tensor([20, 12, 7, 20, 1, 9, 15, 20])[:, None]
    label = torch.tensor([1, 0, 1, 0, 1, 0, 1, 0.0])[:, None]
    bags = Bags(x, mask, label, torch.arange(8), group=torch.arange(8) // 4)
    losses = task(bags, StepState(0.1, config.loss.snippet.weight, 0.5, False, 0.9), student(bags))
    losses["total"].backward()
    assert losses["total"].isfinite()
    contrasted = [v for k, v in losses.items() if k.startswith(("contrast", "sequence"))]
    assert name == "no-contrast" or contrasted
    grads = [p.grad for p in student.encoder.parameters()]
    assert all(g is not None and g.isfinite().all() and g.abs().sum() > 0 for g in grads)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    make_recordings(folder, n_trials=2, actions=(1, 3, 13, 18))
    return folder


def test_components_of_no_contrast_are_refused(data, tmp_path, capsys):
    command = ["train", "utd-mhad", "--data", str(data), "--out", str(tmp_path / "r"), *SMALL]
    assert main([*command, "--loss.snippet.pair-loss", "dcl"]) == 1
    assert "is a component of a contrast that is off" in capsys.readouterr().err
    assert main([*command, "--loss.recording.weight", "1", "--loss.recording.pair-loss", "dcl(sharp=2)"]) == 1
    assert "it takes within, sigma" in capsys.readouterr().err
