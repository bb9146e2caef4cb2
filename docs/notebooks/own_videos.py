# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
# ---

# %% [markdown]
# # Own videos in ten minutes
#
# From a folder of clips to scores, events and a page. The clips here are made up, so that this page can be executed
# anywhere; with your own, let `CLIPS` be a folder that holds a folder for each class, and leave out the lines that make clips.

# %%
import tempfile
from pathlib import Path

from mmcl.datasets.sources.synthetic_videos import make_clips

work = Path(tempfile.mkdtemp())
CLIPS = work / "clips"
make_clips(work / "made", 30, 10.0)
for clip in sorted((work / "made").glob("*.mp4")):  # the name says the class: A = nothing happens
    kind = "normal" if "label_A" in clip.name else "flash"
    place = CLIPS / kind / f"camera-{int(clip.name[5:9]) // 5}"
    place.mkdir(parents=True, exist_ok=True)
    clip.rename(place / clip.name)
print(*(f"{kind.name}: {len(list(kind.rglob('*.mp4')))} clips" for kind in CLIPS.iterdir()), sep="\n")

# %% [markdown]
# ## Train
#
# One label a clip. Folders below a class are groups (a camera each), which are never split between training and test.
# `descriptors` and `log-mel` need no weights; `mmcl[pretrained]` brings EfficientNet-Lite0, `mmcl[hf]` any model of the hub.

# %%
import mmcl
from mmcl.config import override

config = override(
    mmcl.get_dataset("events").default_config(CLIPS),
    {
        "features.visual": ("descriptors",),
        "features.audio": ("log-mel",),
        "optim.epochs": 8,
        "trainer.tracker": "none",
    },
)
metrics = mmcl.train(config, data=CLIPS, out=work / "run", device="cpu")

# %% [markdown]
# The test metrics are of groups that training never saw. A linear model of the same features is fitted in every run; use the
# network only where it wins.

# %%
import json

everything = json.loads((work / "run" / "metrics.json").read_text())
{name: round(value, 3) for name, value in everything.items() if "bag average precision" in name}

# %% [markdown]
# ## Score
#
# Any video, any length. `scores.events` finds stretches by a threshold with hysteresis, `scores.save` writes a page where the video
# plays above its curves.

# %%
model = mmcl.load(work / "run", device="cpu")
scores = model.score(next((CLIPS / "flash").rglob("*.mp4")))
scores

# %%
print(scores.events(threshold=0.5))
scores.to_pandas().head()

# %%
scores.save(work / "scored")
sorted(path.name for path in (work / "scored").iterdir())
