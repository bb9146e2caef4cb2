"""A clip as live sources send it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from clips import write_clip

SECONDS = int(os.environ.get("LIVE_SECONDS", "8"))  # 600 for ten minutes of HTTP, HLS and RTSP


def write_live_clip(folder: Path) -> Path:
    """8 s as a camera sends them: no B frames, a key frame a second; MPEG-TS, in which clocks are exact."""
    clicks_s = tuple(np.arange(0.3, SECONDS, 0.7))
    options = {"bf": "0", "tune": "zerolatency"}
    return write_clip(folder / "clip.ts", 24 * SECONDS, gop=24, click_s=clicks_s, options=options)
