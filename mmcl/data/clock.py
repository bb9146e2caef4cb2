"""Put raw signals on the clock's grid: every modality gets the same hops, whatever its rate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmcl.errors import InputError
from mmcl.types import Clock, Recording

# Joints of UTD-MHAD's skeleton (Kinect v1 order).
SPINE, SHOULDER_CENTRE, HIP_CENTRE = 2, 1, 3


def resample(x: np.ndarray, rate_hz: float, to_hz: float, n_frames: int) -> np.ndarray:
    """Linear interpolation of ``x (frame, ...)`` to ``n_frames`` samples at ``to_hz``.

    Sample k of a signal stands for the moment (k + 1/2) / rate, so that two rates share their
    start and end. Beyond the ends the nearest sample is held.
    """
    at = (np.arange(n_frames) + 0.5) / to_hz * rate_hz - 0.5
    at = np.clip(at, 0, len(x) - 1)
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, len(x) - 1)
    part = (at - low).astype(np.float32).reshape(-1, *[1] * (x.ndim - 1))
    return x[low] * (1 - part) + x[high] * part


def body_frame(skeleton: np.ndarray) -> np.ndarray:
    """Skeleton ``(frame, joint, 3)`` centred on the spine, in torso lengths.

    The torso is shoulder centre to hip centre, its median over the recording, so that one badly
    tracked frame changes nothing.
    """
    torso = np.linalg.norm(skeleton[:, SHOULDER_CENTRE] - skeleton[:, HIP_CENTRE], axis=-1)
    length = float(np.median(torso))
    if length <= 0:
        raise InputError(
            "skeleton: shoulder centre and hip centre coincide in most frames; expected 20 joints in metres"
        )
    return (skeleton - skeleton[:, SPINE : SPINE + 1]) / length


def on_grid(recording: Recording, clock: Clock) -> Mapping[str, np.ndarray]:
    """The recording's signals with ``frames_per_hop`` samples a hop, all of the same hops.

    The last hop may reach past the end of the recording by less than half a hop.
    """
    duration_s = clock.stretch_s or recording.duration_s
    n_hops = max(round(duration_s / clock.hop_s), clock.hops_per_window)
    grid = {}
    for m, x in recording.signal.items():
        if m not in clock.frames_per_hop:
            raise InputError(
                f"{recording.name}: modality '{m}' is unknown to this model, which takes {', '.join(clock.frames_per_hop)}"
            )
        if m == "skeleton":
            try:
                x = body_frame(x)
            except InputError as error:
                raise InputError(f"{recording.name}: {error}") from error
        n_frames = n_hops * clock.frames_per_hop[m]
        if clock.frames_per_hop[m] == 1 and len(x) == n_frames:
            grid[m] = x  # features are on the grid already, and may lie on the disk
            continue
        rate_hz = len(x) / clock.stretch_s if clock.stretch_s else recording.rate_hz[m]
        grid[m] = resample(x, rate_hz, clock.rate_hz(m), n_frames).astype(np.float32)
    return grid
