"""Made-up skeleton + inertial recordings in UTD-MHAD's layout, for the demo and the tests.

A stick figure performs ten of the 27 actions: arm angles and the body's height over time give the
joints by forward kinematics; the inertial sensor on the right wrist feels what follows from them,
gravity included. Eight people differ in size, speed, reach and how they wear the sensor. Nothing
here says anything about people: it shows that the machinery works.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.io
from scipy.spatial.transform import Rotation

Angles = tuple[np.ndarray, np.ndarray, np.ndarray]  # azimuth, elevation, elbow flexion [deg]
HZ = 50.0
FRAME_STEP = 2  # skeleton frames come at half the inertial rate


def _arms(action: int, t: np.ndarray, e: np.ndarray, hz: float) -> tuple[Angles, Angles, np.ndarray]:
    """Right arm, left arm, drop of the body [m]; t in 0..1, e the envelope, hz cycles over it."""
    still = np.zeros_like(t)
    rest: Angles = (still, still - 80, still + 10)
    wave = np.sin(2 * np.pi * hz * t)
    beat = (1 - np.cos(2 * np.pi * hz * t)) / 2

    def arm(az, el, flex) -> Angles:
        return e * az, -80 + e * (el + 80), 10 + e * (flex - 10)

    moves: dict[int, Callable[[], tuple[Angles, Angles, np.ndarray]]] = {
        1: lambda: (arm(70 - 140 * t, still, still + 5), rest, still),  # swipe left
        3: lambda: (arm(30 * wave, still + 40, still + 60), rest, still),  # wave
        4: lambda: (
            arm(-20 + 40 * beat, still - 15, still + 30),
            arm(-20 + 40 * beat, still - 15, still + 30),
            still,
        ),
        5: lambda: (arm(still + 10, 70 - 90 * t, 110 * (t < 0.5) + 5), rest, still),  # throw
        13: lambda: (
            arm(still, still - 15, 125 * beat),
            arm(still, still - 15, 125 * (1 - beat)),
            still,
        ),  # boxing
        16: lambda: (arm(still, still - 75, 130 * beat), rest, still),  # arm curl
        18: lambda: (
            arm(still, still - 5, 120 * (1 - beat)),
            arm(still, still - 5, 120 * (1 - beat)),
            still,
        ),  # push
        19: lambda: (arm(still + 10, still + 5, 85 + 25 * wave), rest, still),  # knock
        22: lambda: (
            arm(still, -80 + 40 * wave, still + 90),
            arm(still, -80 - 40 * wave, still + 90),
            0.04 * e * np.abs(wave),
        ),
        27: lambda: (arm(still, still, still + 5), arm(still, still, still + 5), 0.4 * e * beat),  # squat
    }
    return moves[action]()


CYCLES = {1: 1.0, 3: 4.0, 4: 4.0, 5: 1.0, 13: 4.0, 16: 3.0, 18: 2.0, 19: 6.0, 22: 6.0, 27: 1.0}
ACTIONS_MADE = tuple(CYCLES)


def _direction(az: np.ndarray, el: np.ndarray, side: int) -> np.ndarray:
    """Unit vectors: x to the figure's right (side +1), y up, z forward; angles in degrees."""
    a, b = np.radians(az), np.radians(el)
    return np.stack([side * np.cos(b) * np.sin(a), np.sin(b), np.cos(b) * np.cos(a)], -1)


def perform(
    action: int, rng: np.random.Generator, size: float, speed: float, reach: float, mount: Rotation
) -> tuple[np.ndarray, np.ndarray]:
    """One recording: inertial ``(frame, 6)`` [g, deg/s] and skeleton ``(20, 3, frame)`` [m]."""
    n = int(rng.uniform(130, 190) / speed)
    t = np.linspace(0, 1, n)
    e = np.clip(np.minimum(t, 1 - t) / 0.18, 0, 1)
    e = reach * rng.uniform(0.9, 1.1) * e * e * (3 - 2 * e)
    right, left, drop = _arms(action, t, e, CYCLES[action] * rng.uniform(0.85, 1.15))
    joints = np.zeros((n, 20, 3))
    hip = 0.95 * size - drop
    heights = {0: 0.70, 1: 0.50, 2: 0.20, 3: 0.0}
    for j, h in heights.items():
        joints[:, j, 1] = hip + h * size
    frames = {}
    for side, angles, first in ((-1, left, 4), (1, right, 8)):
        az, el, flex = angles
        shoulder = joints[:, 1] + np.array([0.18 * side, -0.05, 0]) * size
        upper, fore = _direction(az, el, side), _direction(az, el + flex, side)
        joints[:, first] = shoulder
        joints[:, first + 1] = shoulder + 0.28 * size * upper
        joints[:, first + 2] = joints[:, first + 1] + 0.25 * size * fore
        joints[:, first + 3] = joints[:, first + 2] + 0.08 * size * fore
        across = np.stack([np.cos(np.radians(az)), 0 * az, -side * np.sin(np.radians(az))], -1)
        frames[side] = np.stack([fore, across, np.cross(fore, across)], -1)
    for side, first in ((-1, 12), (1, 16)):
        joints[:, first] = joints[:, 3] + np.array([0.1 * side, -0.03, 0]) * size
        joints[:, first + 2, 0] = joints[:, first + 3, 0] = 0.1 * side * size
        joints[:, first + 3, 2] = 0.12 * size
        joints[:, first + 1] = (joints[:, first] + joints[:, first + 2]) / 2
        joints[:, first + 1, 2] += 0.7 * drop
    worn = Rotation.from_matrix(frames[1]) * mount
    acceleration = np.gradient(np.gradient(joints[:, 10], axis=0), axis=0) * HZ**2 / 9.81
    felt = worn.inv().apply(acceleration + np.array([0, 1.0, 0]))
    turn = (worn[:-1].inv() * worn[1:]).as_rotvec(degrees=True) * HZ
    turn = np.concatenate([turn, turn[-1:]])
    noise = rng.standard_normal((n, 6)) * np.array([0.03, 0.03, 0.03, 3, 3, 3])
    inertial = np.concatenate([felt, turn], 1) + noise
    skeleton = joints + rng.standard_normal(joints.shape) * 0.008 + np.array([rng.normal(0, 0.1), 0, 2.5])
    return inertial, skeleton[::FRAME_STEP].transpose(1, 2, 0)


def make_recordings(folder: Path, seed: int = 0, n_trials: int = 4, actions: tuple[int, ...] = ACTIONS_MADE) -> None:
    """Write recordings of eight people into ``folder/Inertial`` and ``folder/Skeleton``."""
    for kind in ("Inertial", "Skeleton"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for subject in range(1, 9):
        person = np.random.default_rng([seed, subject])
        size, speed, reach = person.uniform(0.85, 1.1), person.uniform(0.85, 1.15), person.uniform(0.85, 1.05)
        mount = Rotation.from_rotvec(person.normal(0, 12, 3), degrees=True)
        for action in actions:
            for trial in range(1, n_trials + 1):
                rng = np.random.default_rng([seed, subject, action, trial])
                inertial, skeleton = perform(action, rng, size, speed, reach, mount)
                name = f"a{action}_s{subject}_t{trial}"
                scipy.io.savemat(folder / "Inertial" / f"{name}_inertial.mat", {"d_iner": inertial})
                scipy.io.savemat(folder / "Skeleton" / f"{name}_skeleton.mat", {"d_skel": skeleton})
