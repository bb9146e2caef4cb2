"""Tensors have the shapes that are documented; what broadcasts by accident would give a wrong loss without a word."""

from __future__ import annotations

from torch import Tensor

from mmcl.errors import InputError


def check_shape(name: str, x: Tensor, shape: tuple[int | str, ...], *, is_bool: bool = False) -> None:
    """Nothing of the tensor's content is read, so that a GPU is not waited for.

    Args:
        name: Of the argument.
        x: The argument.
        shape: Sizes; a word stands for any size.
        is_bool: It is of True and False.

    Raises:
        InputError: It has another shape or type.

    Example:
        >>> import torch
        >>> check_shape("mask", torch.ones(2, 5, dtype=torch.bool), ("bag", 5), is_bool=True)
        >>> check_shape("label", torch.ones(2), (2, 1))
        Traceback (most recent call last):
        mmcl.errors.InputError: label: expected shape (2, 1), got (2,)
    """
    fits = x.ndim == len(shape) and all(isinstance(n, str) or n == s for n, s in zip(shape, x.shape, strict=True))
    if fits and (not is_bool or str(x.dtype) == "torch.bool"):
        return
    expected = "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
    of = (" of torch.bool", f" of {x.dtype}") if is_bool else ("", "")
    raise InputError(f"{name}: expected shape {expected}{of[0]}, got {tuple(x.shape)}{of[1]}")
