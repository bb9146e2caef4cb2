"""UTD-MHAD's ``.mat`` files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmcl.errors import FileError
from mmcl.readers.mat_file import read_mat_arrays

INERTIAL_HZ = 50.0
N_JOINTS = 20
VARIABLE = {"inertial": "d_iner", "skeleton": "d_skel"}


def read_mat(path: Path, modality: str) -> np.ndarray:
    """One file as float32.

    Args:
        path: ``aA_sS_tT_inertial.mat`` or ``aA_sS_tT_skeleton.mat``.
        modality: "inertial" or "skeleton".

    Returns:
        Inertial ``(frame, 6)``: acceleration [g] and angular rate [deg/s]; skeleton ``(frame, 20, 3)`` [m].

    Raises:
        FileError: The file is unreadable, lacks its variable, or holds another shape, NaN or infinity.
    """
    path, variable = Path(path), VARIABLE[modality]
    content = read_mat_arrays(path)
    x = content.get(variable)
    if x is None:
        raise FileError(path, f"holds no variable '{variable}'", f"is it really a {modality} recording?")
    if isinstance(x, str):
        raise FileError(path, f"'{variable}' is no array but a {x}", "check the file")
    if modality == "inertial":
        shape, fits = "(frames, 6)", x.ndim == 2 and x.shape[1] == 6
    else:
        shape, fits = "(20, 3, frames)", x.ndim == 3 and x.shape[:2] == (N_JOINTS, 3)
    if not fits or x.size == 0:
        raise FileError(path, f"'{variable}' has shape {x.shape}, expected {shape}", "check the file")
    x = np.asarray(x, np.float32)
    if not np.isfinite(x).all():
        frame = np.argwhere(~np.isfinite(x))[0][0 if modality == "inertial" else 2]
        raise FileError(path, f"NaN or infinity at frame {frame} of '{variable}'", "repair or remove the pair")
    return x if modality == "inertial" else np.ascontiguousarray(x.transpose(2, 0, 1))
