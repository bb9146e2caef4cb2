"""MMAct: recognition of 36 actions from four inertial sensors and 2-D skeletons of 20 people.

Source: Kong et al., "MMAct: a large-scale dataset for cross modal human action understanding", ICCV 2019. By request
from its authors; layout of the trimmed sensors and poses::

    DIR/acc_phone_clip/subject1/scene1/session1/carrying.csv     time, x, y, z without a header, 100 Hz
    DIR/acc_watch_clip/...                                       the same
    DIR/gyro_clip/...            DIR/orientation_clip/...        the same, 50 Hz
    DIR/pose/**/subject1/cam1/scene1/session1/carrying.json      {frame: {person: 17 x (x, y, confidence)}}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from mmcl.config import DataConfig, RunConfig, override
from mmcl.data.recording_index import RecordingIndex, RecordingRow, Source
from mmcl.datasets import Dataset
from mmcl.datasets.sources.recipes import recognition_recipe
from mmcl.errors import FileError, InputError
from mmcl.readers.resample import resample

__all__ = ["Mmact"]

CLASSES = (
    "carrying", "checking_time", "closing", "crouching", "entering", "exiting", "fall", "jumping", "kicking",
    "loitering", "looking_around", "opening", "picking_up", "pointing", "pulling", "pushing", "running",
    "setting_down", "standing", "talking", "talking_on_phone", "throwing", "transferring_object",
    "using_phone", "walking", "waving_hand", "drinking", "pocket_in", "pocket_out", "sitting",
    "sitting_down", "standing_up", "using_pc", "using_phone_desk", "carrying_heavy", "carrying_light",
)  # fmt: skip
SYNONYMS = {"talking_on_phone_desk": "talking_on_phone"}  # of the 37 names that some copies have
SENSORS = {"acc_phone_clip": 100.0, "acc_watch_clip": 100.0, "gyro_clip": 50.0, "orientation_clip": 50.0}
INERTIAL_HZ = 50.0
N_JOINTS = 17
SUBJECTS = tuple(range(1, 21))
CAMERA = 1  # whose poses
PLACE = re.compile(r"subject(\d+)/(?:cam(\d+)/)?scene(\d+)/session(\d+)/([A-Za-z_]+)\.(csv|json)")
Protocol = Literal["cross-subject", "cross-scene"]


@dataclass(frozen=True)
class MmactConfig(DataConfig):
    """Which recordings train, validate and test."""

    modalities: tuple[str, ...] = ("skeleton", "inertial")
    """Modalities to learn from; one alone trains a unimodal model."""
    protocol: Protocol = "cross-subject"
    """The published protocols: other subjects, or another scene, for the test."""


class Mmact(Dataset):
    """Recognition of trimmed recordings, selected and evaluated by macro F1.

    Example:
        >>> Mmact().primary_metric
        'macro F1'
    """

    summary = "recognize 36 actions in MMAct's trimmed recordings"
    data_help = "Folder with acc_phone_clip/, acc_watch_clip/, gyro_clip/, orientation_clip/ and pose/."
    task = "recognition"
    Config = MmactConfig
    primary_metric = "macro F1"

    def recipe(self) -> RunConfig:
        """See ``Dataset.recipe``."""
        return override(recognition_recipe(), {"data": MmactConfig()})

    def index(self, data: Path, options: DataConfig, seed: int = 0) -> RecordingIndex:
        """See ``Dataset.index``."""
        assert isinstance(options, MmactConfig)
        recordings, incomplete = find_recordings(data)
        if incomplete:
            print(
                f"{data}: {len(incomplete)} recordings lack a sensor and are left out; {incomplete[0]}",
                flush=True,
            )
        protocol = options.protocol
        rows = tuple(_row(key, files, protocol) for key, files in recordings.items())
        for split in ("train", "validation", "test"):
            if not any(row.split == split for row in rows):
                raise InputError(f"{data}: holds no recordings of the {split} split of the {protocol} protocol")
        return RecordingIndex(rows, CLASSES, data)


def split_of(subject: int, scene: int, protocol: Protocol) -> str:
    """train, validation, test or "" (in none), by the published protocols.

    cross-subject: train 1 to 12, validation 13 to 15, test 17 to 20. cross-scene: train scenes 1, 3, 4 of subjects 1 to
    16, test scene 2; validation is that of the former, scenes 1, 3, 4 of subjects 13 to 15.
    """
    if protocol == "cross-subject":
        if subject <= 12:
            return "train"
        return "validation" if subject <= 15 else "test" if subject >= 17 else ""
    if scene == 2:
        return "test"
    return "" if subject > 16 else "validation" if 13 <= subject <= 15 else "train"


Key = tuple[int, int, int, str]  # subject, scene, session, action


def find_recordings(folder: Path) -> tuple[dict[Key, dict[str, Path]], list[str]]:
    """The files of all complete recordings, sorted, and what the others lack (the published set has such), a line each.

    Raises:
        FileError: A folder is missing, or an action or a subject is unknown.
    """
    folder = Path(folder)
    recordings: dict[Key, dict[str, Path]] = {}
    for source in (*SENSORS, "pose"):
        if not (folder / source).is_dir():
            raise FileError(folder / source, "no such folder", "unpack MMAct's trimmed sensors and poses here")
        files = [*(folder / source).rglob("*.csv" if source != "pose" else "*.json")]
        if not files:
            raise FileError(folder / source, "holds no recordings", "expected subjectN/sceneN/sessionN/ACTION")
        for path in sorted(files):
            match = PLACE.search(path.as_posix())
            if match is None:
                raise FileError(path, "is in no subjectN/sceneN/sessionN", "unpack the archives as they are")
            subject, camera, scene, session = (int(v) if v else 0 for v in match.groups()[:4])
            action = SYNONYMS.get(match[5].lower(), match[5].lower())
            if action not in CLASSES:
                raise FileError(path, f"unknown action '{action}'", "expected one of MMAct's 36 classes")
            if subject not in SUBJECTS:
                raise FileError(path, f"unknown subject {subject}", "subjects are numbered 1 to 20")
            if source != "pose" or camera == CAMERA:
                recordings.setdefault((subject, scene, session, action), {})[source] = path
    complete, incomplete = {}, []
    for key, of_recording in sorted(recordings.items()):
        missing = [s for s in (*SENSORS, "pose") if s not in of_recording]
        if missing:
            subject, scene, session, action = key
            place = f"subject{subject}/scene{scene}/session{session}/{action}"
            incomplete.append(f"{place}: no {', '.join(missing)}")
        else:
            complete[key] = of_recording
    if not complete:
        raise FileError(folder, f"holds no whole recording ({incomplete[0]})", "copy all sensors and poses")
    return complete, incomplete


def _row(key: Key, files: Mapping[str, Path], protocol: Protocol) -> RecordingRow:
    """Both modalities are taken to last equally long."""
    subject, scene, session, action = key
    sensors = {s: files[s] for s in SENSORS}
    sources = {
        "skeleton": Source("skeleton", (files["pose"],), partial(_pose, files["pose"])),
        "inertial": Source("inertial", tuple(sensors.values()), partial(read_sensors, sensors)),
    }
    name = f"{action}_subject{subject}_scene{scene}_session{session}"
    split = split_of(subject, scene, protocol)
    return RecordingRow(name, split, (action,), str(subject), (), sources, "inertial", name)


def read_sensors(files: Mapping[str, Path]) -> tuple[np.ndarray, float]:
    """``(frame, 12)``: accelerations of phone and watch, angular rate, orientation, at 50 Hz; and that rate.

    Raises:
        FileError: A file is unreadable or empty, or holds NaN.
    """
    signal = {source: _read_sensor(path) for source, path in files.items()}
    lasts_s = min(len(x) / SENSORS[source] for source, x in signal.items())
    n_frames = max(round(lasts_s * INERTIAL_HZ), 2)
    resampled = [resample(signal[s], SENSORS[s], INERTIAL_HZ, n_frames) for s in SENSORS]
    return np.concatenate(resampled, 1), INERTIAL_HZ


def _read_sensor(path: Path) -> np.ndarray:
    """``(frame, 3)``; the first column, the time of day, is left out."""
    rows = []
    for n, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            rows.append([float(v) for v in line.split(",")[1:4]])
            if len(rows[-1]) != 3:
                raise ValueError("less than four columns")
        except ValueError as error:
            raise FileError(path, f"line {n}: {error}", "expected time, x, y, z") from None
    x = np.array(rows, np.float32).reshape(-1, 3)
    if len(x) < 2:
        raise FileError(path, f"holds {len(x)} samples", "leave this recording out: remove all its files")
    if not np.isfinite(x).all():
        raise FileError(path, "holds NaN or infinity", "repair or leave out the recording")
    return x


def _pose(path: Path) -> tuple[np.ndarray, float]:
    return read_pose(path), 30.0


def read_pose(path: Path) -> np.ndarray:
    """``(frame, 17, 2)``, COCO's joints in pixels, of the person who acts: the second, where two were found. Frames in
    which nobody was found are interpolated.

    Raises:
        FileError: The file is unreadable, shows nobody, or has a person without 17 joints.
    """
    try:
        frames = json.loads(path.read_text())
        people = [frame.get("person2") or frame.get("person1") for frame in frames.values()]
    except (OSError, ValueError, AttributeError) as error:
        raise FileError(path, f"not a readable pose file ({error})", "copy it again") from error
    visible = [i for i, person in enumerate(people) if person]
    if not visible:
        raise FileError(path, "shows nobody in any frame", "leave this recording out: remove all its files")
    try:
        poses = np.array([np.asarray(people[i], np.float32).reshape(N_JOINTS, 3)[:, :2] for i in visible])
    except ValueError:
        raise FileError(path, "has a person without 17 joints", "expected x, y, confidence of each") from None
    at = np.arange(len(people))
    columns = [np.interp(at, visible, v) for v in poses.reshape(len(visible), -1).T]
    return np.stack(columns, 1).reshape(len(at), N_JOINTS, 2).astype(np.float32)
