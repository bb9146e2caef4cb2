"""Snippets of a picture and sound that are arrays already."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from mmcl.errors import InputError
from mmcl.media.assemble import assemble_snippets
from mmcl.media.audio import place_sound
from mmcl.media.completeness import Unreadable
from mmcl.media.probe import AudioStream, Media, VideoStream
from mmcl.media.pyav_frames import Scaler, frames_at_24
from mmcl.media.snippets import Snippet
from mmcl.media.timing import SNIPPET_S


class MediaArrays:
    """Frames and samples, both from time 0 on.

    Args:
        frames: ``(frame, height, width, 3)`` uint8 RGB, None without picture.
        fps: Frames a second, 1 to 1000.
        samples: ``(sample,)`` or ``(sample, channel)``, floats of -1 to 1, or int8, int16 or int32 of full scale; None
            without sound.
        samples_hz: Samples a second of a channel, 1000 to 384,000 [Hz].

    Raises:
        InputError: An array or a rate is not as expected.

    Example:
        >>> arrays = MediaArrays(np.zeros((50, 32, 48, 3), np.uint8), 25.0)
        >>> media, snippets = arrays.read(16)
        >>> media.duration_s, next(snippets).frames.shape
        (2.0, (16, 16, 24, 3))
    """

    def __init__(
        self,
        frames: np.ndarray | None,
        fps: float | None = None,
        samples: np.ndarray | None = None,
        samples_hz: float | None = None,
    ):
        video = audio = None
        if frames is not None:
            if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not frames.size:
                raise InputError(
                    f"frames: expected (frame, height, width, 3) of uint8, got {frames.shape} of {frames.dtype}"
                )
            if fps is None or not 1 <= fps <= 1000:
                raise InputError(f"rate_hz of the frames: expected 1 to 1000 a second, got {fps}")
            n, height, width, _ = frames.shape
            video = VideoStream("raw", width, height, fps, 0.0, n / fps, 0, False, 0, True)
        if samples is not None:
            if samples.ndim not in (1, 2) or not len(samples) or samples.dtype.kind not in "fi":
                raise InputError(
                    f"samples: expected numbers, (sample,) or (sample, channel), got {samples.shape} of {samples.dtype}"
                )
            if samples.dtype.kind == "i" and samples.dtype.itemsize > 2:
                largest = max(abs(int(samples.max())), abs(int(samples.min())))
                if samples.dtype.itemsize > 4 or 0 < largest <= 1 << 16:
                    raise InputError(
                        f"samples: {samples.dtype} up to {largest} does not tell its full scale; give int16, or floats "
                        "of -1 to 1"
                    )
            if samples.ndim == 2 and samples.shape[1] > min(len(samples), 64):
                raise InputError(f"samples: expected (sample, channel), got {samples.shape}; transpose them")
            if samples_hz is None or not 1000 <= samples_hz <= 384_000 or samples_hz != int(samples_hz):
                raise InputError(f"rate_hz of the samples: expected 1000 to 384000 Hz, got {samples_hz}")
            n_channels = 1 if samples.ndim == 1 else samples.shape[1]
            audio = AudioStream("raw", int(samples_hz), n_channels, 0.0, 1, len(samples) / samples_hz)
        if video is None and audio is None:
            raise InputError("expected frames, samples or both, got neither")
        seconds = video.duration_s if video is not None else audio.duration_s if audio is not None else None
        self.media, self.frames, self.samples = Media("arrays", seconds, video, audio), frames, samples

    def read(self, short_side: int, has_sound: bool = True) -> tuple[Media, Iterator[Snippet]]:
        """What they hold and their snippets, as ``snippets.read_snippets`` has them of a file.

        Args:
            short_side: Pixels of the shorter side that frames are scaled to.
            has_sound: Read the sound too, where there is a picture.

        Raises:
            InputError: They are shorter than a snippet; while snippets are read.
        """
        return self.media, self._snippets(short_side, has_sound)

    def _snippets(self, short_side: int, has_sound: bool) -> Iterator[Snippet]:
        v, a = self.media.video, self.media.audio
        pictures = None
        if v is not None:
            scale = Scaler(v, short_side)
            pictures = (scale(frame) for frame in frames_at_24(self._frames(v.fps), self.media, has_end=False))
        hears = a is not None and (has_sound or v is None)
        pieces = place_sound(self._sound(a.rate_hz), self.media, has_end=False) if a is not None and hears else None
        n = 0
        try:
            for frames, sound in assemble_snippets(pictures, pieces):
                n += 1
                yield Snippet(None if frames is None else np.stack(frames), sound)
        except Unreadable as error:
            raise InputError(f"arrays: {error}; {error.remedy}") from error
        if n == 0:
            raise InputError(f"expected more than one snippet of {SNIPPET_S:.2f} s, got {self.media.duration_s:.2f} s")

    def _frames(self, fps: float) -> Iterator:
        import av

        assert self.frames is not None
        for k, x in enumerate(self.frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(x), format="rgb24")
            frame.pts, frame.time_base = k, 1 / Fraction(fps).limit_denominator(100_000)
            yield frame

    def _sound(self, rate_hz: int) -> Iterator:
        import av

        assert self.samples is not None
        for start in range(0, len(self.samples), rate_hz):
            x = self.samples[start : start + rate_hz]
            full_scale = float(-np.iinfo(x.dtype).min) if x.dtype.kind == "i" else 1.0
            mono = (x if x.ndim == 1 else x.mean(1, dtype=np.float64)).astype(np.float32) / np.float32(full_scale)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(mono[None]), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, start, Fraction(1, rate_hz)
            yield frame
