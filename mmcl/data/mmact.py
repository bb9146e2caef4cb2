"""MMAct: four inertial sensors and 2-D skeletons of 20 people, in the layout in which it is published.

Source: Kong et al., "MMAct: a large-scale dataset for cross modal human action understanding", ICCV 2019.
By request from its authors; layout of the trimmed sensors and poses::

    DIR/acc_phone_clip/subject1/scene1/session1/carrying.csv     time, x, y, z without a header, 100 Hz
    DIR/acc_watch_clip/...                                       the same
    DIR/gyro_clip/...            DIR/orientation_clip/...        the same, 50 Hz
    DIR/pose/**/subject1/cam1/scene1/session1/carrying.json      {frame: {person: 17 x (x, y, confidence)}}
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmcl.data.clock import resample
from mmcl.errors import FileError
from mmcl.types import Recording

CLASSES = (
    "carrying", "checking_time", "closing", "crouching", "entering", "exiting", "fall", "jumping", "kicking",
    "loitering", "looking_around", "opening", "picking_up", "pointing", "pulling", "pushing", "running",
    "setting_down", "standing", "talking", "talking_on_phone", "throwing", "transferring_object",
    "using_phone", "walking", "waving_hand", "drinking", "pocket_in", "pocket_out", "sitting",
    "sitting_down", "standing_up", "using_pc", "using_phone_desk", "carrying_heavy", "carrying_light",
)  # fmt: skip
SAME = {"talking_on_phone_desk": "talking_on_phone"}  # of the 37 names that some copies have
SENSORS = {"acc_phone_clip": 100.0, "acc_watch_clip": 100.0, "gyro_clip": 50.0, "orientation_clip": 50.0}
INERTIAL_HZ, POSE_HZ = 50.0, 30.0
N_JOINTS = 17
SUBJECTS = tuple(range(1, 21))
PLACE = re.compile(r"subject(\d+)/(?:cam(\d+)/)?scene(\d+)/session(\d+)/([A-Za-z_]+)\.(csv|json)")


@dataclass(frozen=True)
class Clip:
    """Where the files of one recording are."""

    action: str
    subject: int
    scene: int
    session: int
    sensors: dict[str, Path]
    pose: Path

    @property
    def name(self) -> str:
        return f"{self.action}_subject{self.subject}_scene{self.scene}_session{self.session}"


def part_of(subject: int, scene: int, protocol: str) -> str:
    """train, validation, test or "" (in neither), by the published protocols.

    cross-subject: train 1 to 12, validation 13 to 15, test 17 to 20. cross-scene: train scenes 1, 3, 4 of
    subjects 1 to 16, test scene 2; validation is that of the former, scenes 1, 3, 4 of subjects 13 to 15.
    """
    if protocol == "cross-subject":
        if subject <= 12:
            return "train"
        return "validation" if subject <= 15 else "test" if subject >= 17 else ""
    if scene == 2:
        return "test"
    return "" if subject > 16 else "validation" if 13 <= subject <= 15 else "train"


def find_clips(folder: Path, camera: int = 1) -> tuple[list[Clip], list[str]]:
    """All whole recordings, sorted, and what the others lack (the published set has such): one line each.

    camera: whose poses. Raises FileError on a missing folder, an unknown action or subject.
    """
    folder = Path(folder)
    found: dict[tuple[int, int, int, str], dict[str, Path]] = {}
    for source in (*SENSORS, "pose"):
        if not (folder / source).is_dir():
            raise FileError(
                folder / source, "no such folder", "unpack MMAct's trimmed sensors and poses here"
            )
        files = [*(folder / source).rglob("*.csv" if source != "pose" else "*.json")]
        if not files:
            raise FileError(
                folder / source, "holds no recordings", "expected subjectN/sceneN/sessionN/ACTION"
            )
        for path in sorted(files):
            match = PLACE.search(path.as_posix())
            if match is None:
                raise FileError(path, "is in no subjectN/sceneN/sessionN", "unpack the archives as they are")
            subject, seen_by, scene, session = (int(v) if v else 0 for v in match.groups()[:4])
            action = SAME.get(match[5].lower(), match[5].lower())
            if action not in CLASSES:
                raise FileError(path, f"unknown action '{action}'", "expected one of MMAct's 36 classes")
            if subject not in SUBJECTS:
                raise FileError(path, f"unknown subject {subject}", "subjects are numbered 1 to 20")
            if source == "pose" and seen_by != camera:
                continue
            found.setdefault((subject, scene, session, action), {})[source] = path
    clips, lacking = [], []
    for (subject, scene, session, action), files_of in sorted(found.items()):
        missing = [s for s in (*SENSORS, "pose") if s not in files_of]
        if missing:
            lacking.append(
                f"subject{subject}/scene{scene}/session{session}/{action}: no {', '.join(missing)}"
            )
            continue
        pose = files_of.pop("pose")
        clips.append(Clip(action, subject, scene, session, files_of, pose))
    if not clips:
        raise FileError(folder, f"holds no whole recording ({lacking[0]})", "copy all sensors and poses")
    return clips, lacking


def read_clip(clip: Clip) -> Recording:
    """Inertial ``(frame, 12)``: accelerations of phone and watch, angular rate, orientation, at 50 Hz;
    skeleton ``(frame, 17, 2)``, COCO's joints, in pixels. Both are taken to last equally long.

    Raises FileError on an unreadable or empty file, NaN, a person without 17 joints.
    """
    parts = {source: _read_sensor(path) for source, path in clip.sensors.items()}
    lasts_s = min(len(x) / SENSORS[source] for source, x in parts.items())
    n_frames = max(round(lasts_s * INERTIAL_HZ), 2)
    inertial = np.concatenate([resample(parts[s], SENSORS[s], INERTIAL_HZ, n_frames) for s in SENSORS], 1)
    skeleton = _read_pose(clip.pose)
    label = np.zeros(len(CLASSES), np.float32)
    label[CLASSES.index(clip.action)] = 1
    duration_s = n_frames / INERTIAL_HZ
    rate = {"skeleton": len(skeleton) / duration_s, "inertial": INERTIAL_HZ}
    return Recording(clip.name, {"skeleton": skeleton, "inertial": inertial}, rate, label, str(clip.subject))


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


def _read_pose(path: Path) -> np.ndarray:
    """``(frame, 17, 2)`` of the person who acts: the second, where two were found. Frames in which nobody was found
    are interpolated; FileError when that is all of them."""
    try:
        frames = json.loads(path.read_text())
        people = [frame.get("person2") or frame.get("person1") for frame in frames.values()]
    except (OSError, ValueError, AttributeError) as error:
        raise FileError(path, f"not a readable pose file ({error})", "copy it again") from error
    seen = [i for i, person in enumerate(people) if person]
    if not seen:
        raise FileError(path, "shows nobody in any frame", "leave this recording out: remove all its files")
    try:
        poses = np.array([np.asarray(people[i], np.float32).reshape(N_JOINTS, 3)[:, :2] for i in seen])
    except ValueError:
        raise FileError(path, "has a person without 17 joints", "expected x, y, confidence of each") from None
    at = np.arange(len(people))
    flat = poses.reshape(len(seen), -1)
    return (
        np.stack([np.interp(at, seen, v) for v in flat.T], 1).reshape(len(at), N_JOINTS, 2).astype(np.float32)
    )
