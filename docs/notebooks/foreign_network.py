# %% [markdown]
# # foreign_network

# %%
print(1)
