"""UTD-MHAD: skeleton + inertial recordings of 27 actions, read straight from its ``.mat`` folders.

Source: Chen, Jafari and Kehtarnavaz, "UTD-MHAD: a multimodal dataset for human action recognition
utilizing a depth camera and a wearable inertial sensor", ICIP 2015. Layout::

    DIR/Inertial/aA_sS_tT_inertial.mat   d_iner (frame, 6): acceleration [g], angular rate [deg/s]
    DIR/Skeleton/aA_sS_tT_skeleton.mat   d_skel (joint 20, 3, frame): positions [m]
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import scipy.io

from mmcl.errors import FileError, InputError
from mmcl.types import Recording

ACTIONS = (
    "swipe left", "swipe right", "wave", "clap", "throw", "arm cross", "basketball shoot",
    "draw x", "draw circle clockwise", "draw circle counter-clockwise", "draw triangle", "bowling",
    "boxing", "baseball swing", "tennis swing", "arm curl", "tennis serve", "push", "knock",
    "catch", "pick up and throw", "jog", "walk", "sit to stand", "stand to sit", "lunge", "squat",
)  # fmt: skip
SUBJECTS = tuple(range(1, 9))
INERTIAL_HZ = 50.0
N_JOINTS = 20

NAME = re.compile(r"a(\d+)_s(\d+)_t(\d+)_(inertial|skeleton)\.mat")
VARIABLE = {"inertial": "d_iner", "skeleton": "d_skel"}
LAYOUT = "expected DIR/Inertial/a1_s1_t1_inertial.mat and DIR/Skeleton/a1_s1_t1_skeleton.mat"


def read_signal(path: Path, modality: str) -> np.ndarray:
    """One ``.mat`` file as float32: inertial ``(frame, 6)``, skeleton ``(frame, 20, 3)``.

    Raises FileError on an unreadable file, a missing variable, a wrong shape, NaN or infinity.
    """
    path, variable = Path(path), VARIABLE[modality]
    if not path.is_file():
        raise FileError(path, "no such file", "check the path")
    try:
        content = scipy.io.loadmat(path, variable_names=[variable])
    except Exception as error:  # scipy raises many kinds on damaged files
        raise FileError(
            path, f"not a readable .mat file ({error})", "copy or download the file again"
        ) from error
    if variable not in content:
        raise FileError(path, f"holds no variable '{variable}'", f"is it really a {modality} recording?")
    x = content[variable]
    shape = {"inertial": "(frames, 6)", "skeleton": "(20, 3, frames)"}[modality]
    fits = (
        x.ndim == 2 and x.shape[1] == 6
        if modality == "inertial"
        else x.ndim == 3 and x.shape[:2] == (N_JOINTS, 3)
    )
    if not fits or x.size == 0 or not np.issubdtype(x.dtype, np.number) or np.iscomplexobj(x):
        raise FileError(path, f"'{variable}' has shape {x.shape}, expected {shape}", "check the file")
    x = np.asarray(x, np.float32)
    if not np.isfinite(x).all():
        frame = np.argwhere(~np.isfinite(x))[0][0 if modality == "inertial" else 2]
        raise FileError(
            path, f"NaN or infinity at frame {frame} of '{variable}'", "repair or remove the pair"
        )
    return x if modality == "inertial" else np.ascontiguousarray(x.transpose(2, 0, 1))


def read_pair(
    inertial: Path, skeleton: Path, name: str, label: np.ndarray | None = None, group: str = ""
) -> Recording:
    """One recording from its two files, aligned by normalised time.

    The nominal rates do not align the two streams (the camera dropped frames), so both are taken
    to last as long as the inertial one does at its 50 Hz.
    """
    x = {"skeleton": read_signal(skeleton, "skeleton"), "inertial": read_signal(inertial, "inertial")}
    duration_s = len(x["inertial"]) / INERTIAL_HZ
    rate = {m: len(v) / duration_s for m, v in x.items()}
    return Recording(name, x, rate, label, group)


def read_utd_mhad(folder: Path | str, subjects: tuple[int, ...] = SUBJECTS) -> list[Recording]:
    """All recordings of the subjects, sorted by (action, subject, trial), labels one-hot (27,).

    Files are paired by (action, subject, trial), never by order.

    Raises FileError on a missing folder, an odd name, half a pair, or a bad file.
    """
    folder = Path(folder)
    found: dict[str, dict[tuple[int, int, int], Path]] = {"inertial": {}, "skeleton": {}}
    for modality, files in found.items():
        place = folder / modality.capitalize()
        if not place.is_dir():
            raise FileError(place, "no such folder", LAYOUT)
        for path in sorted(place.glob("*.mat")):
            match = NAME.fullmatch(path.name)
            if match is None or match[4] != modality:
                raise FileError(
                    path, "not a UTD-MHAD file name", f"expected aA_sS_tT_{modality}.mat; rename or remove it"
                )
            action, subject, trial = map(int, match.groups()[:3])
            if not 1 <= action <= len(ACTIONS):
                raise FileError(path, f"unknown action {action}", "actions are numbered 1 to 27")
            if subject not in SUBJECTS:
                raise FileError(path, f"unknown subject {subject}", "subjects are numbered 1 to 8")
            key = (action, subject, trial)
            if key in files:
                raise FileError(path, f"the same recording as {files[key].name}", "keep one of the two")
            files[key] = path
        if not files:
            raise FileError(place, "holds no .mat files", LAYOUT)
    for here, there in (("inertial", "skeleton"), ("skeleton", "inertial")):
        for key in sorted(found[here].keys() - found[there].keys()):
            raise FileError(
                found[here][key],
                f"its {there} half is missing",
                "add a{}_s{}_t{}_{}.mat or remove this file".format(*key, there),
            )
    recordings = []
    for key in sorted(found["inertial"]):
        action, subject, trial = key
        if subject in subjects:
            label = np.zeros(len(ACTIONS), np.float32)
            label[action - 1] = 1
            recordings.append(
                read_pair(
                    found["inertial"][key],
                    found["skeleton"][key],
                    f"a{action}_s{subject}_t{trial}",
                    label,
                    str(subject),
                )
            )
    if not recordings:
        raise InputError(
            f"{folder}: no recordings of subjects {', '.join(map(str, subjects))}; check --data and the subjects"
        )
    return recordings


def action_of(recording: Recording) -> int:
    """The recording's action, 1 to 27."""
    assert recording.label is not None
    return int(recording.label.argmax()) + 1
