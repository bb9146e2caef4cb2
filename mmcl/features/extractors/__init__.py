"""Feature extractors: a file each, named as its module. Other packages add extractors by the entry points
``mmcl.extractors``."""

from mmcl.config.registry import Registry
from mmcl.features.extractors._base import AudioExtractor, Extractor, VisualExtractor

REGISTRY = Registry("mmcl.features.extractors", "mmcl.extractors", "feature extractor")

__all__ = ["REGISTRY", "AudioExtractor", "Extractor", "VisualExtractor", "names_of"]


def names_of(modality: str) -> list[str]:
    """The extractors of a modality, "visual" or "audio".

    Example:
        >>> names_of("audio")
        ['hf', 'log-mel', 'torchaudio', 'vggish']
    """
    return [n for n in REGISTRY.names() if getattr(REGISTRY.resolve(n), "modality", "") in (modality, "any")]
