"""Exponential moving average of a model's weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class ModelEMA(nn.Module):
    """The EMA of a network, in evaluation mode.

    The decay grows with the steps made, ``min(decay, (1 + n) / (10 + n))``, so that the random start is soon forgotten.
    Buffers of floats (running statistics) are averaged too, others copied.

    Args:
        network: The network; a copy of it is averaged.
        decay: Of a step, in [0, 1).

    Reference:
        Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017.

    Example:
        >>> network = nn.Linear(2, 2)
        >>> ema = ModelEMA(network, 0.99)
        >>> ema.update(network)
        >>> torch.equal(ema.network.weight, network.weight)
        True
    """

    n_steps: Tensor

    def __init__(self, network: nn.Module, decay: float):
        super().__init__()
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.register_buffer("n_steps", torch.zeros((), dtype=torch.long))
        self._n = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """One step towards the network's weights."""
        n = int(self.n_steps) if self._n == 0 else self._n  # read the buffer once after loading
        decay = min(self.decay, (1 + n) / (10 + n))
        torch._foreach_lerp_(list(self.network.parameters()), list(network.parameters()), 1 - decay)
        for ours, theirs in zip(self.network.buffers(), network.buffers(), strict=True):
            if ours.is_floating_point():
                ours.lerp_(theirs, 1 - decay)
            else:
                ours.copy_(theirs)
        self._n = n + 1
        self.n_steps.fill_(self._n)

    def forward(self, *args, **kwargs):
        """The averaged network's output."""
        return self.network(*args, **kwargs)
