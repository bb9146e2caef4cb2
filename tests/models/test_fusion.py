"""The gate of modalities."""

from __future__ import annotations

import math

import torch

from mmcl.models.fusion import ModalityGate


def test_modality_gate():
    torch.manual_seed(0)
    gate = ModalityGate(("a", "b"), 4).requires_grad_(False)
    x = {"a": torch.randn(2, 3, 4), "b": torch.randn(2, 3, 4)}
    got = gate(x)
    for bag in range(2):
        for t in range(3):
            score = {m: math.exp(float(gate.score[m](z[bag, t]))) for m, z in x.items()}
            want = sum(score[m] / sum(score.values()) * x[m][bag, t] for m in x)
            torch.testing.assert_close(got[bag, t], want)
