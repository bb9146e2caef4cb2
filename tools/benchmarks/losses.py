"""Training steps, forward passes and contrasts against the loop version; what grows with what."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.measure import Benchmark, Row, compare, in_turns, peak_memory, slope
from mmcl.config import RunConfig, override
from mmcl.data.snippet_grid import create_grid
from mmcl.datasets import get_dataset
from mmcl.losses import contrastive_loss, semi_bags, semibag_contrast, topk_pool
from mmcl.models.build import create_model
from mmcl.models.packing import pack_by_length
from mmcl.training.cuda_graphs import Gradients, GraphedGradients
from mmcl.training.step_state import StepState
from mmcl.training.task import TrainingTask
from mmcl.types import Bags, InputSpec, SnippetGrid

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
import reference  # type: ignore[import-not-found]

WIDTHS = {"visual": 1024, "audio": 128}
N_BAGS, LONGEST, SHORTEST = 128, 200, 20


def grid_of(config: RunConfig) -> SnippetGrid:
    """The grid of features."""
    return create_grid(config.snippets, dict.fromkeys(WIDTHS, "features"))


def network_of(config: RunConfig, widths: Mapping[str, int]) -> nn.Module:
    """A network on features of these widths."""
    inputs = {m: InputSpec("features", (n,)) for m, n in widths.items()}
    return create_model(config.model, grid_of(config), 1, inputs)


def settings(dropout: float = 0.1, bucket_size: int = 8) -> RunConfig:
    return override(
        get_dataset("xd-violence").default_config(),
        {
            "loader.bucket_size": bucket_size,
            "model.dropout": dropout,
            "loss.semibag.bag_weight": "snippets",  # as the authors' code
        },
    )


def make_bags(seed: int, n_bags: int = N_BAGS, longest: int = LONGEST, bucket_size: int = 8) -> Bags:
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(min(SHORTEST, longest // 10), longest + 1, (n_bags,), generator=g)
    mask = torch.arange(longest) < lengths[:, None]
    x = {m: torch.randn(n_bags, longest, n, generator=g) * mask[..., None] for m, n in WIDTHS.items()}
    label = (torch.arange(n_bags) % 2).float()[:, None]
    packing = pack_by_length(lengths.tolist(), bucket_size, longest)
    return Bags(x, mask, label, torch.arange(n_bags), {}, packing)


def make_task(config: RunConfig, bags: Bags) -> TrainingTask:
    """Student and teacher; half of the bags are predicted violent, so that no term is empty."""
    torch.manual_seed(0)
    student = network_of(config, WIDTHS)
    teacher = network_of(config, {"visual": WIDTHS["visual"]})
    bias = student.get_parameter("classifier.bias")
    with torch.no_grad():
        bias.sub_(topk_pool(student(bags).joint_logit, bags.mask).median() / 2)
    return TrainingTask(student, teacher, config.loss)


def make_loop(task: TrainingTask, dropout: float, device: str) -> tuple[nn.Module, nn.Module]:
    student = reference.LoopMacilSd(WIDTHS, dropout=dropout).take_weights(task.student)
    teacher = reference.LoopMacilSd({"visual": WIDTHS["visual"]}, dropout=dropout)
    return student.to(device), teacher.take_weights(task.teacher).to(device)


def our_step(
    task: TrainingTask, bags: Bags, device: str, half: bool = False, compiled: bool = False, graphs: bool = False
) -> Callable[[], object]:
    task, bags = copy.deepcopy(task).to(device), bags.to(device)
    if compiled:
        for network in task.children():
            network.compile(dynamic=True)
    optimizer = torch.optim.AdamW(task.parameters(), 1e-4, fused=True)

    def compute(bags: Bags, state: StepState) -> dict[str, Tensor]:
        with torch.autocast(device.split(":")[0], torch.bfloat16) if half else nullcontext():
            losses = task(bags, state)
        losses["total"].backward()
        return {k: v.detach() for k, v in losses.items()}

    gradients: Gradients = compute
    if graphs:
        gradients = GraphedGradients(compute, list(task.parameters()), torch.device(device))

    def step() -> None:
        gradients(replace(bags), StepState(semibag_weight=1.0))  # as new: nothing is packed yet
        optimizer.step()
        optimizer.zero_grad()

    return step


def loop_step(task: TrainingTask, bags: Bags, device: str) -> Callable[[], object]:
    student, teacher = make_loop(task, 0.1, device)
    bags = bags.to(device)
    optimizers = [torch.optim.Adam(student.parameters(), 1e-4), torch.optim.Adam(teacher.parameters(), 2e-5)]

    def step() -> None:
        losses = reference.loop_losses(student, teacher, bags.x, bags.mask, bags.label[:, 0], 1.0)
        sum(losses.values()).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()

    return step


def step(b: Benchmark) -> None:
    """A training step: losses of student and teacher, gradients, optimizer."""
    packed, padded = make_bags(b.seed), make_bags(b.seed, bucket_size=0)
    exact = make_task(settings(dropout=0.0), packed)
    ours = exact(packed, StepState(semibag_weight=1.0))["total"].item()
    theirs = reference.loop_losses(*make_loop(exact, 0.0, "cpu"), packed.x, packed.mask, packed.label[:, 0], 1.0)
    gap = abs(ours - sum(v.item() for v in theirs.values()))
    print(f"without dropout the loop version's loss differs from ours by {gap:.1e}", flush=True)
    if gap > 1e-4:
        sys.exit("the two do not compute the same; nothing to compare")
    task = make_task(settings(), packed)
    variants = {
        "loop version, fp32": loop_step(task, padded, b.device),
        "padded, fp32": our_step(task, padded, b.device),
        "packed, fp32": our_step(task, packed, b.device),
        "padded, bf16": our_step(task, padded, b.device, half=True),
        "packed, bf16": our_step(task, packed, b.device, half=True),
    }
    if b.device.startswith("cuda"):
        variants |= {
            "padded, fp32, CUDA graphs": our_step(task, padded, b.device, graphs=True),
            "padded, bf16, CUDA graphs": our_step(task, padded, b.device, half=True, graphs=True),
        }
    if b.compiled:
        variants |= {
            "padded, fp32, compiled": our_step(task, padded, b.device, compiled=True),
            "padded, bf16, compiled": our_step(task, padded, b.device, half=True, compiled=True),
        }
    compare(b, "step", variants)


def forward(b: Benchmark) -> None:
    """The student alone, dropout on, no gradient."""
    packed, padded = make_bags(b.seed), make_bags(b.seed, bucket_size=0)
    task = make_task(settings(), packed)
    loop, _ = make_loop(task, 0.1, b.device)
    student = task.student.to(b.device)
    batches = {"packed, fp32": packed.to(b.device), "padded, fp32": padded.to(b.device)}
    x, mask = batches["padded, fp32"].x, batches["padded, fp32"].mask
    with torch.no_grad():
        ours = {name: lambda bags=bags: student(replace(bags)) for name, bags in batches.items()}
        compare(b, "forward", {"loop version, fp32": lambda: loop(x, mask), **ours})


def contrastive(b: Benchmark) -> None:
    """Semi-bags and all four terms from given embeddings and scores, with gradient."""
    bags = make_bags(b.seed).to(b.device)
    g = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> Tensor:
        return torch.randn(N_BAGS, LONGEST, *shape, generator=g).to(b.device)

    embedding = {m: draw(128).requires_grad_() for m in WIDTHS}
    logit = {m: draw() for m in WIDTHS}
    is_event = torch.arange(N_BAGS, device=b.device) % 2 == 0
    lengths = bags.mask.sum(1)

    def ours() -> None:
        semibags = semi_bags({m: v.sigmoid() for m, v in logit.items()}, bags.mask, is_event, clustering="topk")
        terms = semibag_contrast(embedding, semibags, against=("background", "normal"), bag_weight="snippets")
        torch.stack(list(terms.values())).sum().backward()

    def loop() -> None:
        sum(reference.loop_contrast(embedding, logit, is_event.float(), lengths, 0.1).values()).backward()

    compare(b, "contrast", {"loop version, fp32": loop, "vectorized, fp32": ours})


def growth(b: Benchmark) -> None:
    """What grows with snippets, bags and negatives, and how fast."""
    few = min(b.repeats, 3)

    def sweep(what: str, sizes: list[int], make: Callable[[int], Callable[[], object]]) -> None:
        seconds = [np.median(in_turns({"": make(n)}, few, b.device)[""]) for n in sizes]
        for n, s in zip(sizes, seconds, strict=True):
            b.report(Row("growth", f"{what} {n}", s * 1e3, s * 1e3, s * 1e3, "ms"))
        exponent = slope(sizes[-3:], [float(s) for s in seconds[-3:]])
        b.report(Row("growth", f"{what}: exponent of the last three", exponent, exponent, exponent, ""))

    on_gpu = b.device.startswith("cuda")

    def training(bags: Bags) -> Callable[[], object]:
        """As trained: packed on a CPU, padded and recorded on a GPU."""
        bags = replace(bags, packing=None) if on_gpu else bags
        return our_step(make_task(settings(), bags), bags, b.device, graphs=on_gpu)

    sweep("step, snippets up to", [50, 100, 200, 400], lambda n: training(make_bags(b.seed, longest=n)))
    sweep("step, bags", [32, 64, 128, 256], lambda n: training(make_bags(b.seed, n_bags=n)))

    def against(n_queries: int, n_negatives: int) -> Callable[[], object]:
        torch.manual_seed(0)
        q, p = (torch.randn(n_queries, 128, device=b.device, requires_grad=True) for _ in range(2))
        n = torch.randn(n_negatives, 128, device=b.device, requires_grad=True)
        return lambda: contrastive_loss(q, p, n, temperature=0.1, beta=1.0, tau_plus=0.01).sum().backward()

    sizes = [4096, 16384, 65536]
    sweep("contrast of 1,024 queries, negatives", sizes, lambda n: against(1024, n))
    big = against(4096, 65536)
    peak = peak_memory(big, b.device)
    (spent,) = in_turns({"": big}, 1, b.device)[""]
    b.report(Row("growth", "contrast, 4,096 x 65,536", spent * 1e3, spent * 1e3, spent * 1e3, "ms", None, peak))
