"""From a trained network and recordings to snippet scores and embeddings."""

from mmcl.inference.embeddings import Embeddings, embed
from mmcl.inference.predictor import Predictor, load_predictor

__all__ = ["Embeddings", "Predictor", "embed", "load_predictor"]
