"""Put raw signals on the clock's grid: every modality gets the same hops, whatever its rate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmcl.errors import InputError
from mmcl.types import Clock, Recording

# By the number of joints: the joints whose mean is the body's centre, and the two ends of the torso, each a mean.
# 20: UTD-MHAD's (Kinect v1): spine; shoulder centre, hip centre. 17: COCO's: hips; shoulders, hips.
BODIES: dict[int, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {
    20: ((2,), (1,), (3,)),
    17: ((11, 12), (5, 6), (11, 12)),
}


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
    """Skeleton ``(frame, joint, coordinate)`` centred on the body, in its own lengths.

    With 20 (UTD-MHAD) or 17 joints (COCO) that is the spine or the hips' middle, and the torso, its median over the
    recording, so that one badly tracked frame changes nothing. Of any other skeleton the mean of its joints, and
    their median distance from it.
    """
    known = BODIES.get(skeleton.shape[1])
    if known is None:
        centre = skeleton.mean(1, keepdims=True)
        lengths = np.linalg.norm(skeleton - centre, axis=-1).mean(1)
        what = "all joints coincide in most frames"
    else:
        middle, top, bottom = known
        centre = skeleton[:, middle].mean(1, keepdims=True)
        lengths = np.linalg.norm(skeleton[:, top].mean(1) - skeleton[:, bottom].mean(1), axis=-1)
        what = "shoulder centre and hip centre coincide in most frames"
    length = float(np.median(lengths))
    if length <= 0:
        raise InputError(f"skeleton: {what}; expected joints at different places")
    return (skeleton - centre) / length


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
        if clock.kind(m) == "skeleton":
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
