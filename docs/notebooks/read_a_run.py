# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
# ---

# %% [markdown]
# # Read a run's diagnostics
#
# A run's folder holds all that it was and measured. Here a small one on made-up sensor streams; the files are the same for any run.

# %%
import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import mmcl
from mmcl.config import override
from mmcl.datasets.sources.synthetic_sensors import make_recordings
from mmcl.experiments.diagnose import diagnose
from mmcl.reporting.run_report import write_report

work = Path(tempfile.mkdtemp())
make_recordings(work / "data", n_trials=2, actions=(1, 3, 13, 18))
config = override(
    mmcl.get_dataset("utd-mhad-streams").default_config(),
    {
        "data.n_train_streams": 24,
        "data.n_test_streams": 12,
        "data.targets": (13, 18),
        "data.actions_per_stream": (4, 6),
        "data.targets_per_stream": (1, 2),
        "model.dim": 32,
        "optim.epochs": 6,
        "trainer.tracker": "none",
    },
)
run = work / "run"
mmcl.train(config, data=work / "data", out=run, device="cpu")
sorted(path.name for path in run.iterdir())

# %% [markdown]
# ## metrics.json
#
# Test and validation metrics of the selected epoch. Beside average precision stand metrics of events, which users act on: F1 at a
# temporal overlap (IoU), and false alarms an hour at the threshold that finds half or four fifths of the events.

# %%
metrics = json.loads((run / "metrics.json").read_text())
pd.Series({k: v for k, v in metrics.items() if k.startswith("test ")}).round(3)

# %% [markdown]
# ## history.json
#
# Every loss and validation metric by epoch. A contrast that falls while MIL does not is one that the network satisfies without learning
# events; a validation metric that falls from the first epochs on is a network too large for the data.

# %%
history = pd.DataFrame(json.loads((run / "history.json").read_text()))
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
losses = [c for c in history if c.startswith("loss ") and c != "loss total"]
history.plot(x="epoch", y=losses, ax=axes[0], fontsize=8)
axes[0].legend(fontsize=6)
history.plot(x="epoch", y="validation snippet average precision", ax=axes[1], marker="o")
plt.show()

# %% [markdown]
# ## Embeddings
#
# Alignment: how far apart the two modalities of one snippet are (0 = the same). Uniformity: how evenly embeddings spread (the lower the
# better; near 0 is a collapse). Effective dimensions: how many directions are in use.

# %%
figures, sample = diagnose(run, device="cpu")
pd.Series(figures).round(3)

# %% [markdown]
# ## The report
#
# One page: metrics beside the linear baseline's, each class, the highest false alarms and misses, calibration, timelines.

# %%
report = write_report(run)
print(report.name, f"{report.stat().st_size / 1e3:.0f} kB")
