"""Where live scores and events go: a file an output."""

from mmcl.live.outputs._base import Message, Output

__all__ = ["Message", "Output"]
