"""Training: the losses of a batch, the trainer, teachers, and what an earlier run gives a new one."""

from mmcl.training.evaluation import evaluate
from mmcl.training.run import train

__all__ = ["evaluate", "train"]
