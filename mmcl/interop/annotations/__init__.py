"""Formats of annotation programs: a file a format, named as its module. Other packages add formats by the entry points
``mmcl.annotation_formats``."""

from __future__ import annotations

from mmcl.config.registry import Registry
from mmcl.interop.annotations._base import AnnotatedRecording, Annotation, AnnotationFormat

REGISTRY = Registry("mmcl.interop.annotations", "mmcl.annotation_formats", "annotation format")

__all__ = ["REGISTRY", "AnnotatedRecording", "Annotation", "AnnotationFormat", "get_format"]


def get_format(name: str) -> AnnotationFormat:
    """The format of that name.

    Raises:
        InputError: The name is unknown.

    Example:
        >>> get_format("webvtt").ending
        '.vtt'
    """
    chosen: AnnotationFormat = REGISTRY.resolve(name)()
    return chosen
