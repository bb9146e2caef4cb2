"""One frame of a video as a small JPEG image."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

SIDE = 320  # pixels of the longer side


def still(path: Path, at_s: float, side: int = SIDE) -> bytes | None:
    """The frame that is seen at a moment, upright.

    Args:
        path: A video that could be decoded.
        at_s: Seconds behind the picture's begin.
        side: Pixels of the longer side.

    Returns:
        JPEG, None where there is no such frame.
    """
    import av

    try:
        with av.open(str(path)) as container:
            stream = next((s for s in container.streams.video if not int(s.disposition) & 0x400), None)
            if stream is None or stream.time_base is None:
                return None
            at = (stream.start_time or 0) + round(at_s / stream.time_base)
            container.seek(at, stream=stream)
            shown = None
            for frame in container.decode(stream):
                if shown is not None and frame.pts is not None and frame.pts > at:
                    break
                shown = frame
            if shown is None:
                return None
            aspect = float(stream.sample_aspect_ratio or 1) or 1.0
            width, height = shown.width * aspect, shown.height
            scale = min(side / max(width, height), 1.0)
            size = {"width": max(round(width * scale / 2) * 2, 2), "height": max(round(height * scale / 2) * 2, 2)}
            return _jpeg(shown.reformat(**size, format="rgb24"), round(shown.rotation / 90) % 4)
    except (av.FFmpegError, OSError, ValueError):
        return None


def _jpeg(frame, turns: int) -> bytes:
    import av
    import numpy as np

    upright = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.rot90(frame.to_ndarray(), turns)), format="rgb24")
    codec = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt = upright.width, upright.height, "yuvj420p"
    codec.time_base = Fraction(1)
    codec.options = {"q": "6"}
    return b"".join(bytes(p) for p in [*codec.encode(upright.reformat(format="yuvj420p")), *codec.encode(None)])
