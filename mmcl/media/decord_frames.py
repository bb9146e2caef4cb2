"""Frames of a video at 24 fps, decoded by decord where it is frame-exact."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from mmcl.media.claims import check_duration, check_timestamps
from mmcl.media.probe import Media
from mmcl.media.pyav_frames import ROUNDING_S, scaled_size
from mmcl.media.timing import FPS, FRAMES_PER_SNIPPET


def frames_by_decord(path: str, media: Media, short_side: int) -> Iterator[np.ndarray]:
    """The same by decord, whose frames are found by PyAV's time stamps."""
    import av
    import decord

    v = media.video
    assert v is not None
    with av.open(path) as container:
        stream = container.streams[v.index]
        packets = [(p.pts, p.duration or 0) for p in container.demux(stream) if p.pts is not None]
        base = Fraction(stream.time_base or Fraction(1, FPS))
    packets.sort()
    pts = np.array([p for p, _ in packets], np.float64) * float(base) - media.start_s
    end_s = pts[-1] + (float(packets[-1][1] * base) or 1 / (v.fps or FPS))
    check_duration(media, end_s)
    before = 0.0
    for at_s in [*pts.tolist(), end_s]:
        check_timestamps("picture", before, at_s, media)
        before = at_s
    width, height = scaled_size(v, short_side)
    reader = decord.VideoReader(path, ctx=decord.cpu(0), width=width, height=height, num_threads=1)
    if len(reader) != len(pts):
        raise RuntimeError(f"decord counts {len(reader)} frames, PyAV {len(pts)}")
    n = round(end_s * FPS)
    index = np.searchsorted(pts, np.arange(n) / FPS + ROUNDING_S, side="right") - 1
    index = index.clip(0)
    for first in range(0, n, FRAMES_PER_SNIPPET):
        indices = index[first : first + FRAMES_PER_SNIPPET]
        unique, back = np.unique(indices, return_inverse=True)
        yield from reader.get_batch(unique.tolist()).asnumpy()[back]
