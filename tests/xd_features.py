"""Features in XD-Violence's layout, made for the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

CODES = ["B1-0-0", "B2-B6-0", "G-0-0", "B4", "A", "A", "A", "A"]


SMALL = [
    "--optim.epochs", "3", "--loader.batch-size", "8", "--model.dim", "16", "--snippets.max-snippets", "24",
    "--data.validation-share", "0.25", "--data.crops", "2", "--optim.decay-epochs", "4",
]  # fmt: skip


def make_features(
    folder: Path, seed: int = 0, n_each: int = 2, widths: tuple[int, int] = (12, 6), n_crops: int = 2
) -> None:
    """Videos of noise; a violent one has a stretch that both modalities show. Names hold #, = and dots."""
    rng = np.random.default_rng(seed)
    lines = []
    for part, rgb, vggish in (("train", "RGB", "vggish/train"), ("test", "RGBTest", "vggish/test")):
        for place in (rgb, vggish):
            (folder / place).mkdir(parents=True, exist_ok=True)
        for i, codes in enumerate(CODES * n_each):
            n = int(rng.integers(8, 40))
            name = f"v={part}.{i}__#00-0{i % 9}_label_{codes}"
            visual, audio = (
                rng.standard_normal((n_crops, n, widths[0])),
                rng.standard_normal((n, widths[1])),
            )
            if codes != "A":
                start = int(rng.integers(0, n - 4))
                visual[:, start : start + 4, 0] += 6
                audio[start : start + 4, 0] += 6
                lines.append(f"{name}.mp4 {16 * start} {16 * (start + 4) + 40 * (i == 0)}")
            for crop in range(n_crops):
                np.save(folder / rgb / f"{name}__{crop}.npy", visual[crop].astype(np.float32))
            trimmed = audio[: n - 1] if i == 3 else audio
            np.save(folder / vggish / f"{name}__vggish.npy", trimmed.astype(np.float16))
        if part == "train":
            lines.clear()
    (folder / "annotations.txt").write_text("\n".join(lines))
