"""Two processes give the losses and the gradients of one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

from mmcl.config import ObjectiveConfig
from mmcl.losses.objective import mean_of_rows
from mmcl.losses.pairs import About
from mmcl.losses.parts import HOOKS, build_objective, make, parse
from mmcl.models.linear import LinearEncoder
from mmcl.models.network import MultimodalNetwork
from mmcl.models.sensor import InertialEncoder
from mmcl.training.step import Learner
from mmcl.types import Bags

LENGTHS = [7, 3, 12, 5, 1, 9, 4, 6]
PER_HOP = 16  # samples of stream b, which goes through convolutions and batch norm


def learner() -> Learner:
    torch.manual_seed(0)
    student = MultimodalNetwork(
        {"a": LinearEncoder(5, 8), "b": InertialEncoder(6, 8, widths=(8, 8, 8), dropout=0.0)},
        8,
        1,
        dropout=0.0,
        projection=6,
    )
    o = ObjectiveConfig(divisor=4, contrast=1.0, instance=1.0, instances_per_bag=64, beta=1.0, tau=0.02)
    return Learner(student, None, o).double()


def bags(part: slice) -> Bags:
    g = torch.Generator().manual_seed(1)
    draw = lambda *shape: torch.randn(8, *shape, generator=g, dtype=torch.float64)
    x = {"a": draw(12, 5), "b": draw(13 * PER_HOP, 6)}
    lengths = torch.tensor(LENGTHS)
    mask = torch.arange(12) < lengths[:, None]
    label = torch.tensor([1, 0, 1, 1, 0, 0, 1, 0]).double()[:, None]
    longest = int(lengths[part].max())  # each process pads to its own longest bag
    n_frames = {"a": longest, "b": (longest + 1) * PER_HOP}
    cut = {m: v[part, : n_frames[m]] for m, v in x.items()}
    return Bags(cut, mask[part, :longest], label[part], torch.arange(8)[part])


def result(part: slice) -> dict[str, torch.Tensor]:
    learn = learner()
    guide = learn.student(bags(part))
    losses = learn(bags(part), 1.0, 1.0, 0.5, guide)
    losses["total"].backward()
    statistics = {k: b.clone() for k, b in learn.named_buffers() if "running" in k}
    grads = {f"grad {k}": p.grad for k, p in learn.named_parameters() if p.grad is not None}
    pretraining = pairs_alone(part) | with_every_part(part) | with_every_sequence_term(part)
    return {k: v.detach() for k, v in losses.items()} | grads | statistics | pretraining


def pairs_alone(part: slice) -> dict[str, torch.Tensor]:
    """Two steps without labels, with a memory, neighbours and clusters (a cluster a row, so that the start
    does not matter)."""
    found = {}
    for same, size in (("neighbours", 2), ("clusters", 14)):
        torch.manual_seed(0)
        encoders = {"a": LinearEncoder(5, 8), "b": InertialEncoder(6, 8, widths=(8, 8, 8), dropout=0.0)}
        student = MultimodalNetwork(encoders, 8, 1, dropout=0.0, projection=6)
        o = ObjectiveConfig(
            supervised=0.0, contrast=0.0, instance=0.0, pair=1.0, memory=6, same=same, same_size=size, mined=0.3,
            instance_beta=1.0, instance_tau=0.02,
        )  # fmt: skip
        learn = Learner(student, None, o).double()
        for _ in range(2):
            learn.zero_grad()
            losses = learn(bags(part), 0.0, 0.0, 0.0, learn.student(bags(part)), True)
            losses["total"].backward()
        assert learn.memory is not None
        found |= {
            f"{same} {k}": v.detach() for k, v in losses.items() if not k.startswith(("watched", "histogram"))
        }
        grads = {k: p.grad for k, p in learn.named_parameters() if p.grad is not None}
        found |= {f"{same} grad {k}": v for k, v in grads.items()}
        found[f"{same} memory"] = learn.memory.z["a"].double()
    return found


# parts whose random draws are of the rows of one process alone are told to draw nothing
STILL = {
    "bottleneck": "eval",
    "neighbour-positive": "(dropout=0.0)",
    "learned-view": "eval",
    "masked-prediction": "(share=1.0)",  # all is hidden
    "overlap-prediction": "(share=1.0)",  # the stretch is the whole bag
}


def with_every_part(part: slice) -> dict[str, torch.Tensor]:
    """Losses of the rows and gradients of an objective with each part in turn."""
    g = torch.Generator().manual_seed(3)
    draw = lambda n, d: torch.randn(n, d, generator=g, dtype=torch.float64)
    query, positive, key = draw(8, 6), draw(8, 6), draw(16, 6)
    label, group, domain = (torch.randint(0, n, (24,), generator=g) for n in (3, 2, 3))
    auxiliary, teacher, value = draw(24, 5), draw(24, 6), torch.rand(24, generator=g, dtype=torch.float64)
    of = lambda rows: About(
        label[rows],
        torch.arange(24)[rows],
        group[rows],
        domain[rows],
        auxiliary[rows],
        teacher[rows],
        value[rows],
    )
    mask = (torch.rand(8, 16, generator=g) < 0.7)[part]
    found = {}
    for hook, known in HOOKS.items():
        for name in known:
            if hook == "sequences":  # on bags of snippets instead of rows
                continue
            torch.manual_seed(0)
            text = name + (STILL[name] if STILL.get(name, "").startswith("(") else "")
            named = {hook: text} if hook in ("similarity", "target", "row") else {hook: (text,)}
            made = build_objective(
                0.3, 0.0, 1.0, False, dim=6, n_classes=3, n_recordings=30, **named
            ).double()
            made.train(STILL.get(name) != "eval")
            a, b = (x.clone().requires_grad_() for x in (query, positive))
            own = of(slice(0, 8)).map(lambda x: x[part])
            real = torch.ones(8, dtype=torch.bool)[part]
            torch.manual_seed(1)
            contrast = made(
                a[part], b[part], key, mask, real=real, about=own, about_positive=own, about_key=of(slice(8, 24)),
                progress=0.9,
            )  # fmt: skip
            terms = mean_of_rows(contrast, real, "row")
            torch.stack(list(terms.values())).sum().backward()
            found |= {f"{hook} {name} {k}": v.detach() for k, v in terms.items()}
            for side, x in (("query", a), ("positive", b)):
                if x.grad is not None:
                    found[f"{hook} {name} grad {side}"] = x.grad
            for k, p in made.named_parameters():
                found[f"{hook} {name} grad {k}"] = torch.zeros_like(p) if p.grad is None else p.grad
    return found


def with_every_sequence_term(part: slice) -> dict[str, torch.Tensor]:
    """Value and gradients of each term on whole sequences, bags of unequal lengths padded to each process's longest."""
    g = torch.Generator().manual_seed(4)
    own = {m: torch.randn(8, 12, 6, generator=g, dtype=torch.float64).requires_grad_() for m in "ab"}
    teacher = {m: torch.randn(8, 12, 6, generator=g, dtype=torch.float64) for m in "ab"}
    lengths = torch.tensor(LENGTHS)[part]
    longest = int(lengths.max())
    mask = torch.arange(longest) < lengths[:, None]
    found = {}
    for name in HOOKS["sequences"]:
        torch.manual_seed(0)
        spec = parse(name + STILL.get(name, ""), "sequences")
        term = make("sequences", spec, {"dim": 6})
        parameters = dict(term.double().named_parameters()) if isinstance(term, torch.nn.Module) else {}
        for p in parameters.values():  # some begin at zero, where nothing would show
            torch.nn.init.normal_(p, std=0.3)
        cut = lambda z: {m: v[part, :longest] for m, v in z.items()}
        value = term(cut(own), cut(teacher), mask)
        inputs = {**own, **parameters}
        grads = torch.autograd.grad(value, list(inputs.values()), allow_unused=True)
        found[f"sequences {name}"] = value.detach()
        for (k, p), grad in zip(inputs.items(), grads, strict=True):
            found[f"sequences {name} grad {k}"] = torch.zeros_like(p) if grad is None else grad
    return found


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


def torchrun(*args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *args]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def test_two_processes_equal_one(tmp_path: Path):
    done = torchrun(__file__, str(tmp_path / "two.pt"))
    assert done.returncode == 0, done.stderr[-2000:]
    two, one = torch.load(tmp_path / "two.pt", weights_only=True), result(slice(0, 8))
    assert one.keys() == two.keys()
    for part in ("grad student.project", "grad student.encoder.b.time.blocks.0.norm"):
        assert any(k.startswith(part) for k in one)
    assert any(k.endswith("running_var") for k in one)
    for k in one:
        torch.testing.assert_close(two[k], one[k], atol=1e-6, rtol=0, msg=lambda text, k=k: f"{k}: {text}")


if __name__ == "__main__":
    child(sys.argv[1])
