"""Do mmcl's contrast and teacher help networks that are not mmcl's? Three hosts, with and without, on three data sets.

    python examples/plug_in/train.py --streams UTD-MHAD --clips demo/features --out runs/plug-in

streams: UTD-MHAD's untrimmed streams, each window of 1 s as raw numbers; clips: the features that `mmcl demo`
extracted; fights (`--fights FIGHTS`): streams of surveillance clips, each seed another draw of sources.
The ten lines that a host gains are numbered in ``plug``, beside an EMA of it that teaches; the rest is any
training loop. Metrics: snippet average precision on the test split, mean and spread over seeds, and the gain seed by
seed. Both ways share seed, first weights and order of the bags, and take weights from mmcl's recipe for the data: of
clips, where no modality alone says what the label says, neither the modalities' own heads nor simultaneous snippets
learn to agree. A stopped run is resumed where it was.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from hosts import HOSTS, HostOutput, MagnitudeNetwork
from torch import Tensor, nn

from mmcl.config import LossConfig, RunConfig, override
from mmcl.data.snippet_grid import create_grid, resample_to_grid
from mmcl.datasets import get_dataset, load_splits
from mmcl.datasets.sources.recipes import clips_recipe
from mmcl.evaluation.metrics import average_precision
from mmcl.evaluation.snippet_truth import snippet_truth
from mmcl.io import write_json
from mmcl.losses import info_nce_objective, mil_loss, semi_bags, semibag_contrast, snippet_contrast, topk_pool
from mmcl.training.ema import ModelEMA


def plug(output: HostOutput, teacher: HostOutput, mask: Tensor, label: Tensor, done: float, loss: LossConfig) -> Tensor:
    """What mmcl adds to a host's loss.

    Args:
        output: Of the host.
        teacher: Of the host's EMA, for the same bags.
        mask: ``(bag, snippet)``.
        label: ``(bag, 1)``.
        done: Share of the training.
        loss: Weights of mmcl's recipe for such data.
    """
    event = label[:, 0] > 0  # 1
    score = {m: v.sigmoid()[..., 0] for m, v in output.unimodal.items()}  # 2
    semibags = semi_bags(score, mask, event, clustering="2-means", topk_divisor=loss.mil.topk_divisor)  # 3
    objective, plain = info_nce_objective(0.2, beta=1.0), info_nce_objective(0.2)  # 4
    of_bags = semibag_contrast(output.embedding, semibags, None, objective, against=("background", "normal"))  # 5
    of_snippets = snippet_contrast(output.embedding, mask, plain, n_per_bag=32)  # 6
    total = loss.semibag.weight * sum(of_bags.values()) + loss.snippet.weight * mean(of_snippets)  # 7
    if done < 0.35:  # 8: first find the events, then distill
        return total
    target, chosen = teacher.logit.sigmoid(), (mask & event[:, None])[..., None]  # 9
    return total + sum(bce(v[chosen], target[chosen]) for v in output.unimodal.values())  # 10


def mean(terms: Mapping[str, Tensor]) -> Tensor:
    """The mean of named losses."""
    return torch.stack([*terms.values()]).mean()


bce = nn.functional.binary_cross_entropy_with_logits


@dataclass(frozen=True)
class BagSet:
    """Bags of features: ``x[m]`` a list of ``(snippet, channel)``, label ``(bag,)``, truth a list of ``(snippet,)``."""

    x: dict[str, list[np.ndarray]]
    label: np.ndarray
    truth: list[np.ndarray]
    config: RunConfig

    def batch(self, indices: Sequence[int]) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        n = max(len(self.truth[i]) for i in indices)

        def pad(v: np.ndarray) -> np.ndarray:
            return np.pad(v, ((0, n - len(v)), (0, 0)))

        x = {m: torch.from_numpy(np.stack([pad(v[i]) for i in indices])) for m, v in self.x.items()}
        mask = torch.tensor([[t < len(self.truth[i]) for t in range(n)] for i in indices])
        return x, mask, torch.from_numpy(self.label[list(indices)])[:, None]


def read(
    name: str, data: Path, n_streams: tuple[int, int], seed: int, visual: Sequence[str] = ()
) -> tuple[BagSet, BagSet]:
    """Training and test split. A sensor's window becomes one vector of raw numbers, standardized."""
    dataset = get_dataset({"streams": "utd-mhad-streams", "fights": "fights-streams"}.get(name, "xd-violence"))
    changes: dict[str, Any] = {"data.validation_share": 0.0}
    config = override(clips_recipe(), {"dataset": "xd-violence", "data": dataset.default_config().data})
    if name == "streams":
        changes = {"data.validation_subjects": (), "data.n_train_streams": n_streams[0]}
        config = override(dataset.default_config(), {"data.n_test_streams": n_streams[1]})
    if name == "fights":
        changes |= {"data.split_seed": seed, "optim.epochs": 20}
        changes |= {"features.visual": tuple(visual)} if visual else {}
        config = dataset.default_config()
    config = override(config, changes)
    splits = load_splits(dataset, data, config.data, features=config.features)
    grid = create_grid(config.snippets, {m: spec.kind for m, spec in splits.inputs.items()})
    sets = []
    for recordings in (splits.train, splits.test):
        x: dict[str, list[np.ndarray]] = {m: [] for m in splits.inputs}
        truth = []
        for recording in recordings:
            for m, v in resample_to_grid(recording, grid).items():
                v = np.asarray(v, np.float32)
                flat = v.reshape(len(v), -1)
                f, h = grid.frames_per_hop[m], grid.hops_per_window
                windows = np.stack([flat[i * f : (i + h) * f].ravel() for i in range(len(flat) // f - h + 1)])
                x[m].append(windows)
            truth.append(snippet_truth(recording, grid, len(x[m][-1])))
        label = np.array([float(r.label is not None and r.label.any()) for r in recordings], np.float32)
        sets.append(BagSet(x, label, truth, config))
    for m, v in sets[0].x.items():
        mean, std = np.concatenate(v).mean(0), np.concatenate(v).std(0) + 1e-3
        for bag_set in sets:
            bag_set.x[m] = [((w - mean) / std).astype(np.float32) for w in bag_set.x[m]]
    return sets[0], sets[1]


def train(
    host: str,
    train_set: BagSet,
    test_set: BagSet,
    plugged: bool,
    seed: int,
    epochs: int,
    batch_size: int = 16,
) -> float:
    """Snippet average precision on the test set after the last epoch. epochs: 0 = as many as mmcl's recipe."""
    loss_config = train_set.config.loss
    mil = loss_config.mil
    epochs = epochs or train_set.config.optim.epochs
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = HOSTS[host]({m: v[0].shape[1] for m, v in train_set.x.items()})
    ema = ModelEMA(network, 0.99)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.01)
    n_steps, step = epochs * (len(train_set.label) // batch_size), 0
    for _ in range(epochs):
        order = rng.permutation(len(train_set.label))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            x, mask, label = train_set.batch(order[start : start + batch_size])
            output = network(x, mask)
            loss = mil_loss(topk_pool(output.logit, mask, mil.topk_divisor), label)
            for logit in output.unimodal.values():
                loss = loss + mil.unimodal * mil_loss(topk_pool(logit, mask, mil.topk_divisor), label)
            if isinstance(network, MagnitudeNetwork):
                loss = loss + network.margin(output, mask, label)
            if plugged:
                with torch.no_grad():
                    teacher = ema.network(x, mask)
                loss = loss + plug(output, teacher, mask, label, step / n_steps, loss_config)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            ema.update(network)
            step += 1
    scores = []
    with torch.no_grad():
        for i in range(len(test_set.label)):
            x, mask, _ = test_set.batch([i])
            scores.append(ema.network(x, mask).logit[0, :, 0].numpy())
    return average_precision(np.concatenate(test_set.truth), np.concatenate(scores))


@dataclass(frozen=True)
class Options:
    """Train every host with and without mmcl's contrast and teacher."""

    streams: Path | None = None
    """UTD-MHAD's folder."""
    clips: Path | None = None
    """Features of clips, as `mmcl demo` leaves them in demo/features."""
    fights: Path | None = None
    """Folder of the surveillance clips, with fights.csv."""
    visual: tuple[str, ...] = ()
    """Extractors of the surveillance clips' picture; those of mmcl's recipe by default."""
    out: Path = Path("runs/plug-in")
    """Folder for results.json and results.md."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    hosts: tuple[str, ...] = tuple(HOSTS)
    epochs: int = 0
    """Passes over the training bags, 0 = as many as mmcl's own recipe for the data: 20 of streams, 40 of clips."""
    n_streams: tuple[int, int] = (400, 200)
    """Streams to train and to test on."""


def table(results: Mapping[str, float], options: Options) -> str:
    lines = ["| data | host | without | with | gain | seed by seed |", "|---|---|---|---|---|---|"]

    def describe(v: np.ndarray) -> str:
        return f"{np.mean(v):.3f} ± {np.std(v, ddof=1):.3f}" if len(v) > 1 else f"{np.mean(v):.3f}"

    for name in ("streams", "clips", "fights"):
        for host in options.hosts:
            keys = [tuple(f"{name}/{host}/{w}/{s}" for w in ("without", "with")) for s in options.seeds]
            if paired := [[results[k] for k in pair] for pair in keys if all(k in results for k in pair)]:
                without, plugged = np.array(paired).T
                gain = plugged - without
                each = ", ".join(f"{g:+.3f}" for g in gain)
                lines.append(
                    f"| {name} | {host} | {describe(without)} | {describe(plugged)} | {describe(gain)} | {each} |"
                )
    return "\n".join(lines)


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "results.json"
    settings = {"epochs": options.epochs, "streams": list(options.n_streams)}
    settings |= {"visual": list(options.visual)} if options.visual else {}
    settings |= {"data": [str(d.resolve()) if d else "" for d in (options.streams, options.clips, options.fights)]}
    saved = json.loads(path.read_text()) if path.exists() else {"settings": settings, "results": {}}
    if saved["settings"] != settings:
        sys.exit(f"{path}: was made with {saved['settings']}, now {settings}; choose another --out")
    results: dict[str, float] = saved["results"]
    for name, data in (("streams", options.streams), ("clips", options.clips), ("fights", options.fights)):
        sets = None
        for seed in options.seeds:
            if data is None:
                continue
            if sets is None or name == "fights":
                sets = read(name, data, options.n_streams, seed, options.visual)
            for host in options.hosts:
                for way in ("without", "with"):
                    key = f"{name}/{host}/{way}/{seed}"
                    if key not in results:
                        results[key] = train(host, *sets, way == "with", seed, options.epochs)
                        write_json(path, saved)
                        print(f"{key}: {results[key]:.3f}", flush=True)
    (options.out / "results.md").write_text(table(results, options) + "\n")
    print(table(results, options))


if __name__ == "__main__":
    main()
