"""Train on sensor recordings in pandas tables, and score one: `python examples/sensors_from_a_dataframe.py OUT`.

The tables here are made up: a wrist sensor at 50 Hz and a pressure mat at 20 Hz; somebody waves, or rests.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

import mmcl
from mmcl.config import override


def record(label: str, seed: int) -> dict[str, pd.DataFrame]:
    """Eight seconds of both sensors, with the time as a column."""
    rng = np.random.default_rng(seed)
    tables = {}
    for sensor, rate, channels in (("wrist", 50, "xyz"), ("mat", 20, "ab")):
        time = np.arange(8 * rate) / rate
        signal = np.sin(2 * np.pi * time)[:, None] * (label == "waving")
        tables[sensor] = pd.DataFrame(signal + rng.normal(0, 0.3, (len(time), len(channels))), columns=list(channels))
        tables[sensor].insert(0, "time_s", time)
    return tables


def main(out: str, epochs: int = 10) -> None:
    """Write a file a sensor and a manifest, train, score a new recording."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(24):
        label, person = ("waving", "resting")[i % 2], i // 4
        row = {
            "name": f"r{i}",
            "labels": label,
            "group": f"person-{person}",
            "split": "test" if person == 5 else "train",
        }
        for sensor, table in record(label, i).items():
            row[sensor] = f"r{i}-{sensor}.csv"
            table.to_csv(folder / row[sensor], index=False)
        rows.append(row)
    manifest = folder / "recordings.csv"
    pd.DataFrame(rows).to_csv(manifest, index=False)
    recipe = mmcl.get_dataset("recordings").default_config(manifest)
    config = override(recipe, {"optim.epochs": epochs, "model.dim": 32, "trainer.tracker": "none"})
    metrics = mmcl.train(config, data=manifest, out=folder / "run")
    print(f"accuracy on a person who was not trained on: {metrics['accuracy']:.2f}")
    scores = mmcl.load(folder / "run").score(record("waving", 99))
    print(scores.recording)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
