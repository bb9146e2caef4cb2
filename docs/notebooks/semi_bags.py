# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
# ---

# %% [markdown]
# # What semi-bags do
#
# A weak label says that a recording holds an event, not where. The network's own scores cluster each recording's snippets:
# high-scored snippets of event recordings are *event*, high-scored ones of others are *normal* (hard negatives, for the network
# takes them for events), low-scored ones are *background*. Then event snippets of one modality attract those of the other, and
# repel background and normal snippets.

# %%
import matplotlib.pyplot as plt
import torch

from mmcl.losses import info_nce_objective, semi_bags, semibag_contrast

torch.manual_seed(0)
n_bags, n_snippets = 2, 60
at = torch.arange(n_snippets)
bump = torch.exp(-(((at - 35) / 6.0) ** 2))
score = torch.stack([0.15 + 0.75 * bump, 0.2 + 0.35 * torch.exp(-(((at - 15) / 4.0) ** 2))])
score = (score + 0.05 * torch.randn(n_bags, n_snippets)).clamp(0, 1)
mask = torch.ones(n_bags, n_snippets, dtype=torch.bool)
is_event = torch.tensor([True, False])

# %% [markdown]
# ## Two ways to cluster
#
# `topk`, MACIL-SD's: as many snippets as the pooling takes, one in sixteen. `2-means`: an exact one-dimensional k-means of each
# recording's scores, which follows how long the event is.

# %%
figure, axes = plt.subplots(2, 2, figsize=(10, 5), sharex=True, sharey=True, layout="constrained")
colors = {"event": "#c0504d", "normal": "#e0a33e", "background": "#5b8db8"}
for column, clustering in enumerate(("topk", "2-means")):
    parts = semi_bags({"audio": score}, mask, is_event, clustering=clustering)
    for bag in range(n_bags):
        ax = axes[bag][column]
        ax.plot(at, score[bag], color="#9aa5b1", zorder=1)
        for kind, color in colors.items():
            selection = getattr(parts, kind)["audio"]
            chosen = selection.idx[bag][selection.mask[bag]]
            ax.scatter(chosen, score[bag, chosen], s=18, color=color, label=kind, zorder=2)
        ax.set_title(f"{clustering}, {'event' if is_event[bag] else 'normal'} recording")
axes[0][0].legend()
figure.supxlabel("snippet")
figure.supylabel("score")
plt.show()

# %% [markdown]
# ## What the contrast moves
#
# Embeddings of two modalities on a circle, in bags of which half hold an event. Gradient steps on the semi-bag contrast alone bring the
# event snippets of both modalities together, away from the rest.

# %%
n_bags = 8
event = torch.arange(n_bags) % 2 == 0
truth = event[:, None] & (at >= 30) & (at < 42)
score = {m: (0.2 + 0.6 * truth + 0.08 * torch.randn(n_bags, n_snippets)).clamp(0, 1) for m in ("audio", "video")}
parts = semi_bags(score, torch.ones(n_bags, n_snippets, dtype=torch.bool), event, clustering="2-means")
z = {m: torch.randn(n_bags, n_snippets, 2, requires_grad=True) for m in score}
before = {m: torch.nn.functional.normalize(v, dim=-1).detach().clone() for m, v in z.items()}
objective = info_nce_objective(0.2, beta=1.0)
optimizer = torch.optim.Adam(z.values(), 0.05)
for _ in range(80):
    terms = semibag_contrast(z, parts, objective=objective, against=("background", "normal"))
    loss = torch.stack(list(terms.values())).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
after = {m: torch.nn.functional.normalize(v, dim=-1).detach() for m, v in z.items()}

figure, axes = plt.subplots(1, 2, figsize=(9, 4.5), layout="constrained")
for ax, points, title in zip(axes, (before, after), ("before", "after 80 steps"), strict=True):
    for m, radius in (("audio", 1.0), ("video", 0.85)):
        for is_true, color in ((False, colors["background"]), (True, colors["event"])):
            x = radius * points[m][truth == is_true]
            ax.scatter(*x.T, s=8, alpha=0.5, color=color, label=f"{m}, {'event' if is_true else 'other'}")
    ax.set_title(title)
    ax.set_aspect("equal")
axes[0].legend(fontsize=8)
plt.show()
print(f"loss {loss.item():.3f}")

# %% [markdown]
# Bags whose recordings are padded, lack a modality or hold a single snippet take part as far as they can; nothing that is padded
# is ever selected.
