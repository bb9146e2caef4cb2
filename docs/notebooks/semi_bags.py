# %% [markdown]
# # semi_bags

# %%
print(1)
