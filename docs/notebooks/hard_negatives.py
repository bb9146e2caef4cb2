# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
# ---

# %% [markdown]
# # Hard negatives, temperature, false negatives
#
# Pairs of sensors teach without labels: the skeleton and the inertial sensor of one recording attract each other and repel those of
# other recordings. Among these *negatives* are recordings of the same action: false negatives. Temperature and concentration
# (`beta`) both turn towards near negatives, of which most are the hardest and many are false.
#
# Set `UTD_MHAD` to the folder of the real recordings (`Inertial/`, `Skeleton/`); without it made-up recordings of the same layout are
# used, on which the figures mean nothing about people.

# %%
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import mmcl
from mmcl.config import override
from mmcl.datasets.sources.recipes import pretraining_recipe
from mmcl.datasets.sources.synthetic_sensors import make_recordings
from mmcl.experiments.diagnose import diagnose

work = Path(tempfile.mkdtemp())
data = Path(os.environ.get("UTD_MHAD", work / "made"))
if "UTD_MHAD" not in os.environ:
    make_recordings(data, n_trials=2, actions=(1, 3, 13, 18))
    print("made-up recordings")

# %% [markdown]
# ## What temperature and concentration do to negatives
#
# The share of a query's repulsion that its negatives get, by how near they are.

# %%
cosine = torch.linspace(-1, 1, 200)
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained", sharey=True)
for temperature in (0.5, 0.2, 0.1):
    axes[0].plot(cosine, (cosine / temperature).softmax(0) * len(cosine), label=f"temperature {temperature}")
for beta in (0.0, 0.5, 1.0):
    weight = ((1 + beta) * cosine / 0.2).softmax(0) * len(cosine)
    axes[1].plot(cosine, weight, label=f"temperature 0.2, beta {beta}")
for ax in axes:
    ax.set_xlabel("cosine with the query")
    ax.legend()
axes[0].set_ylabel("share of the repulsion, mean 1")
plt.show()

# %% [markdown]
# With weights exp(beta s), s already divided by the temperature, concentration acts as a lower temperature on the negatives alone: beta 1
# at 0.2 weighs them as 0.1 does, while the positive keeps its temperature.

# %% [markdown]
# ## Pre-train, and look at the negatives

# %%
base = override(
    pretraining_recipe(mmcl.get_dataset("utd-mhad").default_config()),
    {"optim.epochs": 6, "model.dim": 32, "loss.recording.memory_size": 64, "trainer.tracker": "none"},
)
variants = {
    "all recordings": {"loss.recording.negatives": ("concentration",)},
    "of the same person": {"loss.recording.negatives": ("within-group", "concentration")},
}
samples = {}
for name, changes in variants.items():
    run = work / name.replace(" ", "-")
    mmcl.train(override(base, changes), data=data, out=run, device="cpu")
    metrics, samples[name] = diagnose(run, device="cpu")
    print(name, {k: round(v, 3) for k, v in metrics.items() if "false" in k})

# %% [markdown]
# Of the 5 % hardest pairs of different recordings, how many are false negatives, that is, show the same action? At random it is about one
# over the number of actions. The histograms show where positives, false and true negatives lie.

# %%
figure, axes = plt.subplots(1, len(samples), figsize=(10, 3.6), layout="constrained", sharey=True)
for ax, (name, sample) in zip(axes, samples.items(), strict=True):
    a, b = (torch.nn.functional.normalize(sample.projection[m], dim=-1) for m in list(sample.projection)[:2])
    cosines = (a @ b.T).numpy()
    same = np.asarray(sample.label)[:, None] == np.asarray(sample.label)[None]
    pair = np.eye(len(cosines), dtype=bool)
    bins = np.linspace(-1, 1, 41)
    for chosen, label in ((pair, "positives"), (same & ~pair, "false negatives"), (~same, "true negatives")):
        ax.hist(cosines[chosen], bins, density=True, alpha=0.5, label=label)
    ax.set_title(f"negatives: {name}")
    ax.set_xlabel("cosine")
axes[0].legend()
plt.show()

# %% [markdown]
# On the real recordings, [what pre-training is worth](../results/few-labels.md) was measured over five seeds, with and without
# each way to handle false negatives.
