# %% [markdown]
# # read_a_run

# %%
print(1)
