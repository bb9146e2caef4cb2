"""Networks: padding, order, reach, shapes, precision."""

from __future__ import annotations

import pytest
import torch
from support import grid_of, network_of, recipe

from mmcl.config import override
from mmcl.errors import InputError
from mmcl.models.attention import AttentionLayer
from mmcl.models.build import teacher_modules
from mmcl.models.encoders._snippet_conv import PooledWindow
from mmcl.models.encoders.inertial import InertialEncoder
from mmcl.models.encoders.skeleton import SkeletonEncoder
from mmcl.models.network import MultimodalNetwork
from mmcl.models.norm import MaskedBatchNorm
from mmcl.models.score_smoothing import smooth_logits, smooth_probabilities
from mmcl.training.unimodal_teacher import parameter_pairs
from mmcl.types import Bags

LENGTHS = [12, 5, 1, 9]


def bags(lengths=LENGTHS, extra=0, order=None) -> Bags:
    g = torch.Generator().manual_seed(0)
    n, t = len(lengths), max(lengths)
    hops = torch.arange(t + 1 + extra) < torch.tensor(lengths)[:, None] + 1

    def draw(per, *shape):
        x = torch.randn(n, (t + 1) * per, shape[0], generator=g)
        return torch.nn.functional.pad(x, (0, 0, 0, extra * per)).unflatten(-1, shape[1:])

    x = {"skeleton": draw(8, 60, 20, 3), "inertial": draw(16, 6, 6)}
    per = {"skeleton": 8, "inertial": 16}
    x = {m: v * hops.repeat_interleave(per[m], 1).reshape(n, -1, *[1] * (v.ndim - 2)) for m, v in x.items()}
    mask = torch.arange(t + extra) < torch.tensor(lengths)[:, None]
    index = torch.arange(n) if order is None else order
    return Bags({m: v[index] for m, v in x.items()}, mask[index], torch.zeros(n, 1), index)


def net(**model) -> MultimodalNetwork:
    torch.manual_seed(0)
    config = override(recipe("utd-mhad-streams"), {"model.dim": 16, **{f"model.{k}": v for k, v in model.items()}})
    return network_of(config, 2).eval()


def heads(output):
    return {
        "joint": output.joint_logit,
        **output.logit,
        **{f"z {m}": z for m, z in output.projection.items()},
    }


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"joint": "sum"},
        {"joint": "concat", "score_smoothing": 1},
        {"score_smoothing": 3, "smoothed": "probabilities"},
        {"joints": "graph"},
        {"joints": "co-occurrence"},
        {"norm": "layer"},
        {"joint": "late", "pooling": "pool", "kernel": 9, "n_layers": 0},
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_padding_and_order_change_nothing(model, training):
    network = net(dropout=0.0, **model).train(training)
    base = heads(network(bags()))
    longer = heads(network(bags(extra=7)))
    order = torch.tensor([3, 1, 0, 2])
    shuffled = heads(network(bags(order=order)))
    for k, want in base.items():
        for b, n in enumerate(LENGTHS):
            torch.testing.assert_close(longer[k][b, :n], want[b, :n], atol=1e-6, rtol=1e-5)
        for row, b in enumerate(order.tolist()):
            torch.testing.assert_close(shuffled[k][row, : LENGTHS[b]], want[b, : LENGTHS[b]], atol=1e-6, rtol=1e-5)


def test_masked_batch_norm_is_batch_norm_of_the_real_frames():
    """Against torch's own, given the real frames alone: values, gradients, statistics, evaluation."""
    torch.manual_seed(0)
    x = (3 + 2 * torch.randn(4, 5, 9, dtype=torch.float64)).requires_grad_()
    mask = torch.arange(9) < torch.tensor([9, 4, 1, 7])[:, None]
    ours, theirs = MaskedBatchNorm(5).double(), torch.nn.BatchNorm1d(5).double()
    with torch.no_grad():
        for norm in (ours, theirs):
            norm.weight.copy_(torch.arange(1.0, 6))
            norm.bias.copy_(torch.arange(5.0))
    weight = torch.randn(int(mask.sum()), 5, dtype=torch.float64)

    def frames(y):
        return y.transpose(1, 2)[mask]

    for training in (True, False):
        y, z = frames(ours.train(training)(x, mask)), theirs.train(training)(frames(x))
        torch.testing.assert_close(y, z)
        grads = [torch.autograd.grad((v * weight).sum(), [x, n.weight]) for v, n in ((y, ours), (z, theirs))]
        torch.testing.assert_close(*grads)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)


@pytest.mark.parametrize(
    "model",
    [
        {"score_smoothing": 3, "attention_window": 1},
        {"score_smoothing": 5, "smoothed": "probabilities", "attention_window": 1},
        {"pooling": "pool", "kernel": 9, "joint": "late", "n_layers": 0},
    ],
)
def test_a_snippet_sees_no_further_than_context(model):
    network = net(**model)
    x = bags([40])
    base = network(x).joint_logit
    x.x["inertial"][:, :16] += 5.0  # the first hop
    moved = (network(x).joint_logit - base).abs().sum((0, 2))
    assert moved[0] > 0
    assert network.context is not None
    assert moved[network.context + 1 :].max() == 0


def test_smoothed_logits_are_means_of_real_neighbours():
    logit = torch.arange(6.0).reshape(1, 6, 1)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0]]).bool()
    got = smooth_logits(logit, mask, 3)[0, :4, 0]
    torch.testing.assert_close(got, torch.tensor([0.5, 1.0, 2.0, 2.5]))


@pytest.mark.parametrize("n", [1, 3, 5])
def test_smoothed_probabilities_equal_a_loop(n):
    """Of real neighbours, by a triangle; in float64 the plain formula is exact enough."""
    torch.manual_seed(0)
    logit = (4 * torch.randn(3, 7, 2)).requires_grad_()
    mask = torch.arange(7) < torch.tensor([7, 4, 1])[:, None]
    got = smooth_probabilities(logit, mask, n)
    assert got.isfinite().all()
    for b in range(3):
        for t in range(int(mask[b].sum())):
            near = [s for s in range(t - n // 2, t + n // 2 + 1) if 0 <= s < mask[b].sum()]
            weight = torch.tensor([n // 2 + 1 - abs(s - t) for s in near], dtype=torch.float64)
            p = (weight[:, None] * logit[b, near].double().sigmoid()).sum(0) / weight.sum()
            torch.testing.assert_close(got[b, t].double(), p.logit(), rtol=1e-4, atol=1e-4)
    got[mask].sum().backward()
    assert logit.grad is not None
    assert logit.grad.isfinite().all()


def test_smoothed_probabilities_of_extreme_logits_are_finite():
    logit = torch.tensor([[[-200.0], [200.0], [-200.0], [-200.0]]])
    got = smooth_probabilities(logit, torch.ones(1, 4, dtype=torch.bool), 3)
    torch.testing.assert_close(got.sigmoid().flatten(), torch.tensor([1 / 3, 0.5, 0.25, 0.0]))
    assert got[0, 3] == pytest.approx(-200.0, abs=2)


def test_attention_within_its_window_equals_a_loop():
    torch.manual_seed(0)
    layer = AttentionLayer(8, 2, attention_window=2).double()
    q, k, v = (torch.randn(1, 9, 8, dtype=torch.float64) for _ in range(3))
    got = layer.attend(q, k, v, torch.ones(1, 9, dtype=torch.bool))
    for t in range(9):
        near = range(max(t - 2, 0), min(t + 3, 9))
        for h in range(2):
            part = slice(4 * h, 4 * h + 4)
            weight = torch.stack([q[0, t, part] @ k[0, s, part] / 2 for s in near]).softmax(0)
            want = sum(w * v[0, s, part] for w, s in zip(weight, near, strict=True))
            torch.testing.assert_close(got[0, t, part], want)


@pytest.mark.parametrize("name", ["utd-mhad-streams", "utd-mhad"])
def test_every_parameter_of_the_teacher_has_its_pair(name):
    config = recipe(name)
    student, teacher = (network_of(config, 1, m) for m in (None, ("skeleton",)))
    modules = teacher_modules("skeleton", config.model)
    pairs = parameter_pairs(student, teacher, modules)
    assert len(pairs) == sum(len(list(teacher.get_submodule(m).parameters())) for m in modules)


def test_a_pooled_window_is_its_mean_and_maximum():
    torch.manual_seed(0)
    window = PooledWindow(3, 5, 6)
    x = torch.randn(2, 3, 12)
    got = window(x)
    assert got.shape == (2, 5, 4)
    for snippet in range(4):
        seen = x[:, :, 2 * snippet : 2 * snippet + 6]
        both = torch.cat([seen.mean(-1), seen.amax(-1)], 1)
        torch.testing.assert_close(got[:, :, snippet], both @ window.project.weight[..., 0].T + window.project.bias)


def test_late_fusion_has_no_attention_between_modalities():
    network = net(joint="late")
    assert not [name for name, _ in network.named_parameters() if name.startswith("fusion")]
    x = bags()
    base = network(x)
    x.x["inertial"][:] = 0
    moved = network(x)
    torch.testing.assert_close(moved.logit["skeleton"], base.logit["skeleton"])
    assert (moved.joint_logit - base.joint_logit).abs().max() > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_runs_under_autocast(dtype):
    network = net().train()
    with torch.autocast("cpu", dtype=dtype):
        output = network(bags())
        loss = output.joint_logit.float().square().mean() + sum(
            z.float().square().mean() for z in output.projection.values()
        )
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def test_refusals():
    with pytest.raises(InputError, match="frames_per_hop"):
        InertialEncoder(frames_per_hop=15)
    x = bags()
    with pytest.raises(InputError, match="expected modalities skeleton, inertial, got thermal"):
        net()(Bags({"thermal": x.x["skeleton"]}, x.mask, x.label, x.index))
    with pytest.raises(InputError, match="whole number of hops"):
        grid_of(override(recipe("utd-mhad-streams"), {"snippets.window_s": 0.7}))


def test_velocity_is_in_units_a_hop_and_zero_at_the_ends():
    encoder = SkeletonEncoder(dim=8)
    x = torch.arange(24.0)[None, :, None, None].expand(1, 24, 20, 3) / 8  # one unit a hop
    real = torch.ones(1, 24)
    v = encoder.velocity(x, real)
    torch.testing.assert_close(v[0, 1:-1], torch.ones(22, 20, 3))
    assert v[0, 0].abs().max() == v[0, -1].abs().max() == 0


@pytest.mark.parametrize("training", [False, True])
def test_a_missing_modality_is_never_read(training):
    """A bag that lacks a modality has one result, whatever lies in its place and whatever the other bags have."""
    torch.manual_seed(0)
    network = net().train(training)
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout | torch.nn.Dropout1d):
            module.p = 0.0
    complete = bags()
    n = len(complete.mask)
    present = torch.arange(n) % 2 == 0
    results = []
    for filling in (0.0, 7.0):
        x = dict(complete.x)
        shape = (-1, *[1] * (x["inertial"].ndim - 1))
        x["inertial"] = torch.where(present.view(shape), x["inertial"], filling)
        results.append(network(Bags(x, complete.mask, complete.label, complete.index, {"inertial": present})))
    for a, b in (
        (results[0].joint_logit, results[1].joint_logit),
        *zip(*(r.logit.values() for r in results)),
    ):
        torch.testing.assert_close(a, b)
    if training:
        return  # batch norm sees the other bags
    odd = slice(1, None, 2)
    alone = Bags(
        {"skeleton": complete.x["skeleton"][odd]}, complete.mask[odd], complete.label[odd], complete.index[odd]
    )
    without = network(alone)
    torch.testing.assert_close(without.joint_logit, results[0].joint_logit[odd], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(without.logit["inertial"], without.logit["skeleton"])
    both = network(complete)
    torch.testing.assert_close(both.joint_logit[::2], results[0].joint_logit[::2], atol=1e-5, rtol=1e-5)


def test_smoothing_that_is_switched_off_changes_nothing():
    torch.manual_seed(0)
    logit, mask = 5 * torch.randn(2, 9, 3), torch.ones(2, 9, dtype=torch.bool)
    torch.testing.assert_close(smooth_probabilities(logit, mask, 3, torch.zeros(())), logit)
    torch.testing.assert_close(
        smooth_probabilities(logit, mask, 3, torch.ones(())), smooth_probabilities(logit, mask, 3)
    )
