"""The memory bank."""

from __future__ import annotations

import torch

from mmcl.losses import MemoryBank


def test_memory_is_newest_first_and_travels_with_the_state():
    memory = MemoryBank(5, {"a": 2})
    for start in (0, 3):
        memory.push({"a": torch.arange(start, start + 3.0)[:, None].expand(3, 2)}, torch.arange(start, start + 3))
    assert memory.index.tolist() == [3, 4, 5, 0, 1]
    assert memory.z["a"][:, 0].tolist() == [3, 4, 5, 0, 1]
    again = MemoryBank(5, {"a": 2})
    assert again.index.tolist() == [-1] * 5
    again.load_state_dict(memory.state_dict())
    assert again.index.tolist() == [3, 4, 5, 0, 1]
