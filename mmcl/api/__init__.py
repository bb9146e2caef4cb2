"""A trained model as a Python object: ``mmcl.load(MODEL).score(SOURCE)``."""

from mmcl.api.model import Model, load
from mmcl.api.scores import Scores

__all__ = ["Model", "Scores", "load"]
