"""Do mmcl's contrast and teacher help networks that are not mmcl's? Three hosts, with and without, on two data sets.

    python examples/plug_in/train.py --streams UTD-MHAD --clips demo/features --out runs/plug-in

streams: UTD-MHAD's untrimmed streams, each window of 1 s as raw numbers; clips: the features that `mmcl demo` extracted.
The ten lines that a host gains are marked in ``plug``, beside an averaged copy of it that teaches; the rest is any
training loop. Figures: snippet average precision on the test part, mean and spread over seeds, and the gain seed by seed.
Both ways share seed, first weights and order of the bags, and take weights from mmcl's recipe for the data: of clips, where
no stream alone can tell, neither streams' own heads nor simultaneous snippets are asked to agree with the label. Stopped, it goes on where it was.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from hosts import HOSTS, MagnitudeNetwork, Scored
from torch import Tensor, nn

from mmcl.config import Config, ObjectiveConfig
from mmcl.data.clock import on_grid
from mmcl.data.streams import snippet_truth
from mmcl.losses import concentrated, instance_contrast, mil_loss, semi_bag_contrast, semi_bags
from mmcl.metrics import average_precision
from mmcl.models.build import clock_of
from mmcl.models.pooling import topk_pool
from mmcl.presets import changed, clips, utd_mhad_streams
from mmcl.storage import write_json
from mmcl.tasks import TASKS
from mmcl.training.teacher import Average


def plug(
    scored: Scored, taught: Scored, mask: Tensor, label: Tensor, done: float, o: ObjectiveConfig
) -> Tensor:
    """What mmcl adds to a host's loss. taught: the running average's view of the same bags; o: weights of mmcl's recipe for
    such data."""
    event = label[:, 0] > 0  # 1
    score = {m: v.sigmoid()[..., 0] for m, v in scored.own.items()}  # 2
    parts = semi_bags(score, mask, event, split="2-means", divisor=o.divisor)  # 3
    terms = semi_bag_contrast(
        scored.embedding, parts, None, concentrated(0.2, 1.0), against=("background", "normal")
    )  # 4
    moments = instance_contrast(scored.embedding, mask, concentrated(0.2), n_per_bag=32)  # 5
    loss = (
        o.contrast * torch.stack([*terms.values()]).sum()
        + o.instance * torch.stack([*moments.values()]).mean()
    )  # 6
    if done < 0.35:  # 7: first find the events, then teach
        return loss
    target, of = taught.logit.sigmoid(), (mask & event[:, None])[..., None]  # 8
    learn = lambda v: nn.functional.binary_cross_entropy_with_logits(v[of], target[of])  # 9
    return loss + torch.stack([learn(v) for v in scored.own.values()]).sum()  # 10


@dataclass(frozen=True)
class Set:
    """Bags of features: ``x[m]`` a list of ``(snippet, channel)``, label ``(bag,)``, truth a list of ``(snippet,)``."""

    x: dict[str, list[np.ndarray]]
    label: np.ndarray
    truth: list[np.ndarray]
    recipe: Config

    def batch(self, rows) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        n = max(len(self.truth[i]) for i in rows)
        pad = lambda v: np.pad(v, ((0, n - len(v)), (0, 0)))
        x = {m: torch.from_numpy(np.stack([pad(v[i]) for i in rows])) for m, v in self.x.items()}
        mask = torch.tensor([[t < len(self.truth[i]) for t in range(n)] for i in rows])
        return x, mask, torch.from_numpy(self.label[list(rows)])[:, None]


def read(task: str, data: Path, n_streams: tuple[int, int]) -> tuple[Set, Set]:
    """Training and test part. A sensor's window becomes one row of raw numbers, standardised."""
    streams = {"validation_subjects": (), "n_train_streams": n_streams[0], "n_test_streams": n_streams[1]}
    whole = {"validation_share": 0.0}
    config = changed(utd_mhad_streams(), bags=streams) if task == "streams" else changed(clips(), bags=whole)
    made = TASKS[config.task](data, config)
    clock = clock_of(config)
    sets = []
    for recordings in (made.train, made.test):
        x: dict[str, list[np.ndarray]] = {m: [] for m in config.bags.modalities}
        truth = []
        for recording in recordings:
            for m, v in on_grid(recording, clock).items():
                v = np.asarray(v, np.float32)
                flat = v.reshape(len(v), -1)
                f, h = clock.frames_per_hop[m], clock.hops_per_window
                windows = np.stack([flat[i * f : (i + h) * f].ravel() for i in range(len(flat) // f - h + 1)])
                x[m].append(windows)
            truth.append(snippet_truth(recording, clock, len(x[m][-1])))
        label = np.array([float(r.label is not None and r.label.any()) for r in recordings], np.float32)
        sets.append(Set(x, label, truth, config))
    for m, v in sets[0].x.items():
        mean, std = np.concatenate(v).mean(0), np.concatenate(v).std(0) + 1e-3
        for part in sets:
            part.x[m] = [((w - mean) / std).astype(np.float32) for w in part.x[m]]
    return sets[0], sets[1]


def train(
    host: str, train_set: Set, test_set: Set, plugged: bool, seed: int, epochs: int, batch_size: int = 16
) -> float:
    """Snippet average precision on the test set after the last epoch. epochs: 0 = as many as mmcl's recipe."""
    o = train_set.recipe.objective
    epochs = epochs or train_set.recipe.optim.epochs
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = HOSTS[host]({m: v[0].shape[1] for m, v in train_set.x.items()})
    average = Average(network, 0.99)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.01)
    n_steps, step = epochs * (len(train_set.label) // batch_size), 0
    for _ in range(epochs):
        order = rng.permutation(len(train_set.label))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            x, mask, label = train_set.batch(order[start : start + batch_size])
            scored = network(x, mask)
            loss = mil_loss(topk_pool(scored.logit, mask, o.divisor), label)
            for own in scored.own.values():
                loss = loss + o.unimodal * mil_loss(topk_pool(own, mask, o.divisor), label)
            if isinstance(network, MagnitudeNetwork):
                loss = loss + network.margin(scored, mask, label)
            if plugged:
                with torch.no_grad():
                    taught = average.network(x, mask)
                loss = loss + plug(scored, taught, mask, label, step / n_steps, o)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            average.update(network)
            step += 1
    scores = []
    with torch.no_grad():
        for i in range(len(test_set.label)):
            x, mask, _ = test_set.batch([i])
            scores.append(average.network(x, mask).logit[0, :, 0].numpy())
    return average_precision(np.concatenate(test_set.truth), np.concatenate(scores))


@dataclass(frozen=True)
class Options:
    """Train every host with and without mmcl's contrast and teacher."""

    streams: Path | None = None
    """UTD-MHAD's folder."""
    clips: Path | None = None
    """Features of clips, as `mmcl demo` leaves them in demo/features."""
    out: Path = Path("runs/plug-in")
    """Folder for results.json and results.md."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    hosts: tuple[str, ...] = tuple(HOSTS)
    epochs: int = 0
    """Passes over the training bags, 0 = as many as mmcl's own recipe for the data: 20 of streams, 40 of clips."""
    n_streams: tuple[int, int] = (400, 200)
    """Streams strung together to train and to test on."""


def table(results: Mapping[str, float], options: Options) -> str:
    lines = ["| data | host | without | with | gain | seed by seed |", "|---|---|---|---|---|---|"]
    say = lambda v: f"{np.mean(v):.3f} ± {np.std(v, ddof=1):.3f}" if len(v) > 1 else f"{np.mean(v):.3f}"
    for task in ("streams", "clips"):
        for host in options.hosts:
            keys = [tuple(f"{task}/{host}/{w}/{s}" for w in ("without", "with")) for s in options.seeds]
            if found := [[results[k] for k in pair] for pair in keys if all(k in results for k in pair)]:
                without, plugged = np.array(found).T
                gain = plugged - without
                each = ", ".join(f"{g:+.3f}" for g in gain)
                lines.append(f"| {task} | {host} | {say(without)} | {say(plugged)} | {say(gain)} | {each} |")
    return "\n".join(lines)


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "results.json"
    asked = {"epochs": options.epochs, "streams": list(options.n_streams)}
    asked |= {"data": [str(d.resolve()) if d else "" for d in (options.streams, options.clips)]}
    saved = json.loads(path.read_text()) if path.exists() else {"asked": asked, "results": {}}
    if saved["asked"] != asked:
        sys.exit(f"{path}: was made with {saved['asked']}, now {asked}; choose another --out")
    results: dict[str, float] = saved["results"]
    for task, data in (("streams", options.streams), ("clips", options.clips)):
        if data is None:
            continue
        sets = read(task, data, options.n_streams)
        for host in options.hosts:
            for seed in options.seeds:
                for way in ("without", "with"):
                    key = f"{task}/{host}/{way}/{seed}"
                    if key not in results:
                        results[key] = train(host, *sets, way == "with", seed, options.epochs)
                        write_json(path, saved)
                        print(f"{key}: {results[key]:.3f}", flush=True)
    (options.out / "results.md").write_text(table(results, options) + "\n")
    print(table(results, options))


if __name__ == "__main__":
    main()
