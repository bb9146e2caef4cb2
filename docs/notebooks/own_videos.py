# %% [markdown]
# # own_videos

# %%
print(1)
