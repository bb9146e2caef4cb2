# %% [markdown]
# # hard_negatives

# %%
print(1)
