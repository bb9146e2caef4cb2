"""Two processes give the losses and the gradients of one."""

from __future__ import annotations

from pathlib import Path

import torch
from forked import run_pair

from mmcl.config import LossConfig, override
from mmcl.config.specs import parse_spec
from mmcl.losses.contrastive.components import OPTION_SLOTS, build, build_objective, registry
from mmcl.losses.contrastive.context import PairMetadata
from mmcl.losses.contrastive.objective import mean_anchor_loss
from mmcl.models.encoders.inertial import InertialEncoder
from mmcl.models.encoders.linear import LinearEncoder
from mmcl.models.network import MultimodalNetwork
from mmcl.training.step_state import StepState
from mmcl.training.task import TrainingTask
from mmcl.types import Bags

LENGTHS = [7, 3, 12, 5, 1, 9, 4, 6]
PER_HOP = 16  # samples of modality b, which goes through convolutions and batch norm


def training_task() -> TrainingTask:
    torch.manual_seed(0)
    student = MultimodalNetwork(
        {"a": LinearEncoder(5, 8), "b": InertialEncoder(6, 8, widths=(8, 8, 8), dropout=0.0)},
        8,
        1,
        dropout=0.0,
        projection=6,
    )
    loss = override(
        LossConfig(),
        {
            "mil.topk_divisor": 4,
            "semibag.weight": 1.0,
            "semibag.beta": 1.0,
            "semibag.tau_plus": 0.02,
            "snippet.weight": 1.0,
            "snippet.per_bag": 64,
        },
    )
    return TrainingTask(student, None, loss).double()


def bags(part: slice) -> Bags:
    g = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(8, *shape, generator=g, dtype=torch.float64)

    x = {"a": draw(12, 5), "b": draw(13 * PER_HOP, 6)}
    lengths = torch.tensor(LENGTHS)
    mask = torch.arange(12) < lengths[:, None]
    label = torch.tensor([1, 0, 1, 1, 0, 0, 1, 0]).double()[:, None]
    longest = int(lengths[part].max())  # each process pads to its own longest bag
    n_frames = {"a": longest, "b": (longest + 1) * PER_HOP}
    cut = {m: v[part, : n_frames[m]] for m, v in x.items()}
    return Bags(cut, mask[part, :longest], label[part], torch.arange(8)[part])


def result(part: slice) -> dict[str, torch.Tensor]:
    learn = training_task()
    teacher = learn.student(bags(part))
    losses = learn(bags(part), StepState(1.0, 1.0, 0.5), teacher)
    losses["total"].backward()
    statistics = {k: b.clone() for k, b in learn.named_buffers() if "running" in k}
    grads = {f"grad {k}": p.grad for k, p in learn.named_parameters() if p.grad is not None}
    pretraining = without_labels(part) | with_every_component(part) | with_every_sequence_term(part)
    return {k: v.detach() for k, v in losses.items()} | grads | statistics | pretraining


def without_labels(part: slice) -> dict[str, torch.Tensor]:
    """Two steps without labels, with a memory bank, neighbours and clusters (a cluster an embedding, so that the start
    does not matter)."""
    results = {}
    for same, size in (("neighbours", 2), ("clusters", 14)):
        torch.manual_seed(0)
        encoders = {"a": LinearEncoder(5, 8), "b": InertialEncoder(6, 8, widths=(8, 8, 8), dropout=0.0)}
        student = MultimodalNetwork(encoders, 8, 1, dropout=0.0, projection=6)
        loss = override(
            LossConfig(),
            {
                "mil.weight": 0.0, "semibag.weight": 0.0, "snippet.weight": 0.0, "recording.weight": 1.0,
                "recording.memory_size": 6, "recording.false_negatives": same, "recording.false_negatives_k": size,
                "recording.pseudo_positives": 0.3, "recording.beta": 1.0, "recording.tau_plus": 0.02,
            },
        )  # fmt: skip
        learn = TrainingTask(student, None, loss).double()
        for _ in range(2):
            learn.zero_grad()
            losses = learn(bags(part), StepState(find_false_negatives=True), learn.student(bags(part)))
            losses["total"].backward()
        assert learn.memory_bank is not None
        results |= {
            f"{same} {k}": v.detach() for k, v in losses.items() if not k.startswith(("monitored", "histogram"))
        }
        grads = {k: p.grad for k, p in learn.named_parameters() if p.grad is not None}
        results |= {f"{same} grad {k}": v for k, v in grads.items()}
        results[f"{same} memory"] = learn.memory_bank.z["a"].double()
    return results


# components whose random draws are of the samples of one process alone draw nothing
DETERMINISTIC = {
    "bottleneck": "eval",
    "neighbour-positive": "(dropout=0.0)",
    "learned-view": "eval",
    "masked-prediction": "(share=1.0)",  # all is hidden
    "overlap-prediction": "(share=1.0)",  # the stretch is the whole bag
}


def with_every_component(part: slice) -> dict[str, torch.Tensor]:
    """Losses and gradients of an objective with each component in turn."""
    g = torch.Generator().manual_seed(3)

    def draw(n, d):
        return torch.randn(n, d, generator=g, dtype=torch.float64)

    query, positive, negatives = draw(8, 6), draw(8, 6), draw(16, 6)
    label, group, domain = (torch.randint(0, n, (24,), generator=g) for n in (3, 2, 3))
    auxiliary, teacher, value = draw(24, 5), draw(24, 6), torch.rand(24, generator=g, dtype=torch.float64)

    def metadata(chosen: slice) -> PairMetadata:
        return PairMetadata(
            label[chosen],
            torch.arange(24)[chosen],
            group[chosen],
            domain[chosen],
            auxiliary[chosen],
            teacher[chosen],
            value[chosen],
        )

    mask = (torch.rand(8, 16, generator=g) < 0.7)[part]
    results = {}
    for option, slot in OPTION_SLOTS.items():
        for name in registry(slot).names():
            torch.manual_seed(0)
            text = name + (DETERMINISTIC[name] if DETERMINISTIC.get(name, "").startswith("(") else "")
            named = {option: text if option in ("similarity", "target", "pair_loss") else (text,)}
            objective = build_objective(0.3, 0.0, 1.0, False, dim=6, n_classes=3, n_recordings=30, **named).double()
            objective.train(DETERMINISTIC.get(name) != "eval")
            a, b = (x.clone().requires_grad_() for x in (query, positive))
            own = metadata(slice(0, 8)).map(lambda x: x[part])
            real = torch.ones(8, dtype=torch.bool)[part]
            torch.manual_seed(1)
            contrast = objective(
                a[part], b[part], negatives, mask, valid=real, metadata=own, positive_metadata=own,
                negative_metadata=metadata(slice(8, 24)),
                progress=0.9,
            )  # fmt: skip
            terms = mean_anchor_loss(contrast, real, "anchor")
            torch.stack(list(terms.values())).sum().backward()
            results |= {f"{slot} {name} {k}": v.detach() for k, v in terms.items()}
            for side, x in (("query", a), ("positive", b)):
                if x.grad is not None:
                    results[f"{slot} {name} grad {side}"] = x.grad
            for k, p in objective.named_parameters():
                results[f"{slot} {name} grad {k}"] = torch.zeros_like(p) if p.grad is None else p.grad
    return results


def with_every_sequence_term(part: slice) -> dict[str, torch.Tensor]:
    """Value and gradients of each term on whole sequences, bags of unequal lengths padded to each process's longest."""
    g = torch.Generator().manual_seed(4)
    own = {m: torch.randn(8, 12, 6, generator=g, dtype=torch.float64).requires_grad_() for m in "ab"}
    teacher = {m: torch.randn(8, 12, 6, generator=g, dtype=torch.float64) for m in "ab"}
    lengths = torch.tensor(LENGTHS)[part]
    longest = int(lengths.max())
    mask = torch.arange(longest) < lengths[:, None]
    results = {}
    for name in registry("sequence_terms").names():
        torch.manual_seed(0)
        spec = parse_spec(name + DETERMINISTIC.get(name, ""))
        term = build("sequence_terms", spec, {"dim": 6})
        parameters = dict(term.double().named_parameters()) if isinstance(term, torch.nn.Module) else {}
        for p in parameters.values():  # some begin at zero, where nothing would show
            torch.nn.init.normal_(p, std=0.3)

        def cut(z):
            return {m: v[part, :longest] for m, v in z.items()}

        value = term(cut(own), cut(teacher), mask)
        inputs = {**own, **parameters}
        grads = torch.autograd.grad(value, list(inputs.values()), allow_unused=True)
        results[f"sequences {name}"] = value.detach()
        for (k, p), grad in zip(inputs.items(), grads, strict=True):
            results[f"sequences {name} grad {k}"] = torch.zeros_like(p) if grad is None else grad
    return results


def child(out: str) -> None:
    import torch.distributed as dist

    dist.init_process_group("gloo")
    assert dist.get_world_size() == 2
    rank = dist.get_rank()
    values = result(slice(4 * rank, 4 * rank + 4))
    for v in values.values():
        dist.all_reduce(v)
        v /= 2  # what data-parallel training does with gradients
    if rank == 0:
        torch.save(values, out)
    dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path: Path):
    done = run_pair([str(tmp_path / "two.pt")], "import sys; from test_distributed import child; child(sys.argv[1])")
    assert done.returncode == 0, done.stderr[-2000:]
    two, one = torch.load(tmp_path / "two.pt", weights_only=True), result(slice(0, 8))
    assert one.keys() == two.keys()
    for part in ("grad student.project", "grad student.encoder.b.time.blocks.0.norm"):
        assert any(k.startswith(part) for k in one)
    assert any(k.endswith("running_var") for k in one)
    for k in one:
        torch.testing.assert_close(two[k], one[k], atol=1e-6, rtol=0, msg=lambda text, k=k: f"{k}: {text}")
