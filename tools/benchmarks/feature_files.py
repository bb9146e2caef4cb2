"""Feature files of noise, in XD-Violence's layout, and models without training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from benchmarks.losses import LONGEST, SHORTEST, WIDTHS, network_of
from mmcl.config import SCHEMA_VERSION, RunConfig, to_dict
from mmcl.io import write_json
from mmcl.runs.weights import save_weights


def write_store(folder: Path, lengths: dict[str, int], n_crops: int, dtype: type, seed: int) -> None:
    """Features of noise under names that XD-Violence's reader takes."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    noise: dict[str, np.ndarray]
    noise = {m: rng.standard_normal((max(lengths.values()), n)).astype(dtype) for m, n in WIDTHS.items()}
    for name, n in lengths.items():
        for crop in range(n_crops):
            np.save(folder / f"{name}__{crop}.npy", np.roll(noise["visual"][:n], crop, axis=1))
        np.save(folder / f"{name}__vggish.npy", noise["audio"][:n])


def video_names(n: int, split: str) -> list[str]:
    return [f"{split}{i:05d}_label_{'B1-0-0' if i % 2 == 0 else 'A'}" for i in range(n)]


def small_store(folder: Path, n: int, dtype: type, seed: int) -> Path:
    """n training videos of one crop, and two to test on."""
    rng = np.random.default_rng(seed)
    train, test = video_names(n, "v"), video_names(2, "t")
    write_store(folder, {name: int(rng.integers(SHORTEST, LONGEST + 1)) for name in train + test}, 1, dtype, seed)
    for split, names in (("train", train), ("test", test)):
        (folder / f"visual_{split}.list").write_text("".join(f"{name}__0.npy\n" for name in names))
    return folder


def untrained(run: Path, config: RunConfig, widths: dict[str, int], extractors: dict | None = None) -> Path:
    """A model folder as a training would leave it, its weights random."""
    torch.manual_seed(0)
    save_weights(run / "best.safetensors", network_of(config, widths))
    content = {
        "schema_version": SCHEMA_VERSION,
        "data": "",
        "classes": ["violence"],
        "inputs": {m: {"kind": "features", "shape": [n]} for m, n in widths.items()},
        "extractors": extractors or {},
        "config": to_dict(config),
    }
    write_json(run / "config.json", content)
    return run
