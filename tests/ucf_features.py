"""Features and lists of UCF-Crime, made up for the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

NAMES = [("Abuse001_x264", "Abuse"), ("Normal_Videos_003_x264", "Normal"), ("Fighting010_x264", "Fighting"),
         ("Normal_Videos944_x264", "Normal")]  # fmt: skip


def make(folder: Path, layout: str, n_each=3, rows=30, per_row=16, audio=False) -> Path:
    """Noise, in which anomalous videos have rows that stand out; ``layout``: "files" a crop a file, or "axis"."""
    rng = np.random.default_rng(0)
    (folder / "features").mkdir(parents=True)
    lists: dict[str, list[str]] = {"train": [], "test": []}
    annotations = []
    for split in lists:
        for i in range(n_each):
            for name, label in NAMES:
                name = f"{name[:-8]}{i}{7 if split == 'test' else 1}_x264"
                x = rng.standard_normal((rows, 2, 8)).astype(np.float32)
                if label != "Normal":
                    x[10:15, :, 0] += 4
                    if split == "test":
                        annotations.append(f"{name}.mp4  {label}  {10 * per_row}  {15 * per_row}  -1  -1")
                elif split == "test":
                    annotations.append(f"{name}.mp4  Normal  -1  -1  -1  -1")
                if layout == "axis":
                    np.save(folder / "features" / f"{name}_i3d.npy", x)
                    lists[split].append(f"/somewhere/else/{name}_i3d.npy")
                    continue
                if audio:
                    np.save(folder / "features" / f"{name}_sound.npy", x[:, 0, :3])
                for c in range(2):
                    np.save(folder / "features" / f"{name}__{c}.npy", x[:, c])
                    sound = f",D:\\sound\\{name}_sound.npy" if audio else ""
                    lists[split].append(f"/home/{label}/{name}__{c}.npy{sound},{label}")
    header = "" if layout == "axis" else "path,audio_path,label\n" if audio else "path,label\n"
    ending = "list" if layout == "axis" else "csv"
    for split, lines in lists.items():
        (folder / f"ucf_{split}.{ending}").write_text(header + "\n".join(lines) + "\n")
    (folder / "Temporal_Anomaly_Annotation.txt").write_text("\n".join(annotations))
    return folder
