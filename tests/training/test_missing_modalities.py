"""Bags that lack a modality: what they have counts as if the other were not there at all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import recipe

from mmcl.config import ModelConfig, SnippetsConfig, override
from mmcl.data.bags import BagDataset
from mmcl.data.collate import collate
from mmcl.data.snippet_grid import create_grid
from mmcl.losses.mil import mil_loss
from mmcl.models.build import create_model
from mmcl.models.norm import MaskedBatchNorm
from mmcl.training.step_state import StepState
from mmcl.training.task import TrainingTask, mil_losses
from mmcl.types import InputSpec, Recording

GRID = create_grid(SnippetsConfig(hop_s=1.0, window_s=1.0), {"visual": "features", "audio": "features"})
INPUTS = {"visual": InputSpec("features", (6,)), "audio": InputSpec("features", (4,))}


def recordings(lacking: dict[int, str], n=6) -> list[Recording]:
    rng = np.random.default_rng(0)
    made_up = []
    for i in range(n):
        x = {m: rng.standard_normal((5 + i, spec.shape[0])).astype(np.float32) for m, spec in INPUTS.items()}
        x.pop(lacking.get(i, ""), None)
        made_up.append(Recording(f"r{i}", x, dict.fromkeys(x, 1.0), np.array([i % 2], np.float32)))
    return made_up


def bags_of(lacking):
    data = BagDataset(recordings(lacking), GRID, strength=0.0)
    return collate([data[0, i] for i in range(6)])


def test_every_batch_has_all_modalities():
    data = BagDataset(recordings({0: "audio", 1: "visual"}), GRID, strength=0.0, insertion=1.0)
    bags = collate([data[0, 0]])
    assert set(bags.x) == {"visual", "audio"}
    assert not bags.present["audio"].any()
    assert (bags.x["audio"] == 0).all()


def test_all_batches_say_what_is_present_or_none_does():
    """Processes sum alike: one whose bags lack nothing must not take another path than one whose bags do."""
    lacking = BagDataset(recordings({0: "audio"}), GRID, strength=0.0)
    assert collate([lacking[0, 4], lacking[0, 5]]).present.keys() == {"visual", "audio"}
    assert collate([lacking[-1, 4]]).present == {}
    dropout = BagDataset(recordings({}), GRID, strength=0.0, modality_dropout=0.01)
    assert collate([dropout[0, 4]]).present.keys() == {"visual", "audio"}
    complete = BagDataset(recordings({}), GRID, strength=0.0)
    assert collate([complete[0, 4]]).present == {}


def test_own_scores_learn_from_bags_that_have_the_modality():
    config = recipe("events", {"data.modalities": ("visual", "audio")})
    network = create_model(ModelConfig(dim=8), GRID, 1, INPUTS).eval()
    bags = bags_of({0: "audio", 3: "audio", 4: "visual"})
    losses = mil_losses(network(bags), bags, config.loss)
    has = bags.present["audio"]
    pooled = torch.randn(6, 1)
    expected = mil_loss(pooled[has], bags.label[has])
    torch.testing.assert_close(mil_loss(pooled, bags.label, valid=has), expected)
    assert all(v.isfinite() for v in losses.values())


@pytest.mark.parametrize("unimodal", ["", "visual"])
def test_gradients_are_finite_and_what_is_imputed_is_not_contrasted(unimodal):
    changes = {"data.modalities": ("visual", "audio"), "teacher.unimodal": unimodal}
    config = override(recipe("events"), changes)
    student = create_model(ModelConfig(dim=8), GRID, 1, INPUTS)
    teacher = create_model(ModelConfig(dim=8), GRID, 1, {"visual": INPUTS["visual"]}) if unimodal else None
    task = TrainingTask(student, teacher, config.loss)
    state = StepState(semibag_weight=1.0, snippet_weight=1.0)
    bags = bags_of({0: "audio", 3: "audio", 4: "visual", 5: "visual"})
    losses = task(bags, state)
    losses["total"].backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in task.parameters())
    nobody_has_both = bags_of(dict.fromkeys(range(6), "audio"))
    losses = task(nobody_has_both, state)
    contrasts = [v for k, v in losses.items() if k.startswith("contrast")]
    assert sum(float(v.detach()) for v in contrasts) == pytest.approx(0)
    losses["total"].backward()


def test_a_batch_without_a_modality_leaves_its_statistics():
    norm = MaskedBatchNorm(3)
    norm(torch.randn(2, 3, 5) + 4, torch.ones(2, 5))
    before = norm.running_mean.clone(), norm.running_var.clone()
    norm(torch.zeros(2, 3, 5), torch.zeros(2, 5))
    torch.testing.assert_close(norm.running_mean, before[0])
    torch.testing.assert_close(norm.running_var, before[1])
