"""Mono sound at 16 kHz and the window that ends with each snippet."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from mmcl.media.claims import check_duration, check_timestamps
from mmcl.media.completeness import Unreadable
from mmcl.media.probe import Media, describe_av_error
from mmcl.media.timing import AUDIO_HZ, AUDIO_WINDOW_S, FPS, SNIPPET_S

MAX_SAMPLE = 30.0  # 1 = full scale; what codecs overshoot stays far below
AUDIO_GAP_S = 0.05  # a jump of the sound's clock by more than this is a gap, less is rounding


def decode_audio(path: str, media: Media) -> Iterator[np.ndarray]:
    """Pieces of mono float32 at 16 kHz from time 0 on, gaps silent; several tracks are averaged."""
    assert media.audio is not None
    if media.audio.mixed:
        return mix([decode_track(path, media, index) for index in media.audio.mixed])
    return decode_track(path, media, media.audio.index)


def mix(tracks: Sequence[Iterator[np.ndarray]]) -> Iterator[np.ndarray]:
    """The mean of tracks; one that has ended is silent.

    Args:
        tracks: Pieces of each.

    Example:
        >>> a, b = iter([np.ones(2), np.ones(2)]), iter([np.zeros(3)])
        >>> np.concatenate(list(mix([a, b]))).tolist()
        [0.5, 0.5, 0.5, 0.5]
    """
    held = [np.zeros(0, np.float32) for _ in tracks]
    ended = [False for _ in tracks]
    while not all(ended) or any(map(len, held)):
        for i, track in enumerate(tracks):
            while not ended[i] and not len(held[i]):
                piece = next(track, None)
                ended[i] = piece is None
                held[i] = held[i] if piece is None else piece
        n = min((len(x) for x in held if len(x)), default=0)
        if n:
            yield np.sum([x[:n] for x in held if len(x)], 0) / len(tracks)
            held = [x[n:] for x in held]


def decode_track(path: str, media: Media, index: int) -> Iterator[np.ndarray]:
    """The pieces of one track of a file."""
    import av

    with av.open(path) as container:
        stream = container.streams[index]
        assert isinstance(stream, av.AudioStream)
        yield from place_sound(container.decode(stream), media)


def place_sound(frames: Iterator, media: Media, has_end: bool = True) -> Iterator[np.ndarray]:
    """Pieces of mono float32 at 16 kHz from time 0 on, gaps silent.

    Args:
        frames: PyAV's, in order.
        media: What the file or stream holds; its begin is time 0.
        has_end: It is a file, whose end is checked against what it claims.

    Raises:
        Unreadable: The sound is damaged, or its time is wrong.
    """
    import av

    given = 0  # samples given out so far
    at: float | None = None  # the time up to which sound was decoded
    early = 0  # samples before time 0 still to be dropped
    resampler = layout = None

    def placed(pieces: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        nonlocal given, early
        for piece in pieces:
            dropped, early = min(early, len(piece)), max(early - len(piece), 0)
            if len(piece) > dropped:
                given += len(piece) - dropped
                yield piece[dropped:]

    try:
        for frame in frames:
            stamp = at if frame.time is None else frame.time - media.start_s
            stamp = 0.0 if stamp is None else stamp
            check_timestamps("sound", at or 0.0, stamp, media)
            if at is not None and at - stamp > AUDIO_GAP_S:  # more sound than time: drop the surplus
                early += round((at - stamp) * AUDIO_HZ)
                at = stamp
            is_gap = at is None or stamp - at > AUDIO_GAP_S
            kind = (frame.layout.name, frame.sample_rate, frame.format.name)
            if is_gap or kind != layout:
                yield from placed(_pieces(resampler, None))
                resampler = av.AudioResampler(format="flt", layout="mono", rate=AUDIO_HZ)
                layout = kind
            if is_gap:
                early = max(round(-stamp * AUDIO_HZ), 0)
                while (left := round(stamp * AUDIO_HZ) - given) > 0:
                    given += min(left, AUDIO_HZ)
                    yield np.zeros(min(left, AUDIO_HZ), np.float32)
                at = stamp
            assert at is not None
            at += frame.samples / frame.sample_rate
            frame.pts = None
            yield from placed(_pieces(resampler, frame))
        yield from placed(_pieces(resampler, None))
        if media.video is None and has_end:
            check_duration(media, at or 0.0)
    except (av.FFmpegError, OSError) as error:
        raise Unreadable(f"its sound cannot be decoded after {at or 0:.2f} s ({describe_av_error(error)})") from error


def _pieces(resampler, frame) -> Iterator[np.ndarray]:
    if resampler is not None:
        for out in resampler.resample(frame):
            x = out.to_ndarray()[0].astype(np.float32)
            if len(x):
                if not np.abs(x).max() <= MAX_SAMPLE:  # also of NaN
                    raise Unreadable(
                        f"its sound holds samples of {np.abs(x).max():.3g}, 1 is full scale", "scale it to -1 to 1"
                    )
                yield x


def audio_windows(pieces: Iterator[np.ndarray]) -> Iterator[tuple[np.ndarray, float]]:
    """For each snippet the second of sound that ends with it, silence before the start and after the
    end, and how many seconds of sound are known to follow (negative: they lack)."""
    n_window, beyond = round(AUDIO_WINDOW_S * AUDIO_HZ), round(AUDIO_HZ / FPS)
    held, end = np.zeros(n_window, np.float32), 0  # the latest sound, and the sample it ends with
    for i in itertools.count(1):
        stop = round(i * SNIPPET_S * AUDIO_HZ)
        while end < stop + beyond and (piece := next(pieces, None)) is not None:
            held, end = np.concatenate([held, piece]), end + len(piece)
        silence = np.zeros(max(stop - end, 0), np.float32)
        at = len(held) - max(end - stop, 0)
        yield np.concatenate([held[:at], silence])[-n_window:], (end - stop) / AUDIO_HZ
        held = held[max(at - n_window, 0) :]
