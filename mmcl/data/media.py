"""Video and audio files, cut to one clock: the only file that opens them.

A snippet is 16 frames at 24 fps (2/3 s), whatever rate the file has, with the second of sound that
ends where the snippet ends, mono at 16 kHz. Time 0 is where the earliest of picture and sound
begins, so that a late start of either shifts nothing. A video of n frames at 24 fps has
(n - 1) // 16 snippets, as XD-Violence counts them.

Decoding runs in a child process (``python -m mmcl.data.media``) that is killed when it makes no
progress: decoders hang and crash on some files. PyAV probes everything and decodes all sound; decord
decodes the frames where it is known to be right, PyAV elsewhere and whenever decord fails.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mmcl.errors import FileError, InputError

FRAMES_PER_SNIPPET, FPS = 16, 24
SNIPPET_S = FRAMES_PER_SNIPPET / FPS
AUDIO_HZ = 16_000
AUDIO_WINDOW_S = 1.0
SOUND_LEAD_S = 0.1  # encoders begin with some silence of their own before the picture
CLOCK_BACK_S, CLOCK_AHEAD_S = 1.0, 600.0  # leaps of a stream's clock beyond these are not believed
MOST_ASPECT = 8
SOUND_GAP_S = 0.05  # a jump of the sound's clock by more than this is a gap, less is rounding
LOST_S, LOST_SHARE = 1.0, 0.02  # what may be missing at the end before a file counts as truncated
ROUNDING_S = 1e-3  # Matroska counts milliseconds
TIMEOUT_S = 60.0

# Where decord 0.6 was found frame-exact; elsewhere PyAV decodes.
DECORD_LONGEST_S = 1800.0  # it keeps an index of the whole file in memory, half a gigabyte for two hours
DECORD_FORMATS = ("mov", "matroska", "webm")
DECORD_CODECS = ("h264", "hevc", "mpeg4", "vp9")


@dataclass(frozen=True)
class VideoStream:
    codec: str
    width: int
    height: int
    fps: float
    start_s: float
    duration_s: float | None
    rotation: int
    is_cut: bool
    """Frames before the start are to be thrown away, as in a stream-copied cut."""
    index: int
    """Which stream of the file it is."""
    is_alone: bool
    """No other stream of the file is a picture."""


@dataclass(frozen=True)
class AudioStream:
    codec: str
    rate_hz: int
    n_channels: int
    start_s: float
    index: int


@dataclass(frozen=True)
class Media:
    """What a file holds. ``duration_s`` is what it claims, None where it claims nothing."""

    format: str
    duration_s: float | None
    video: VideoStream | None
    audio: AudioStream | None

    @property
    def start_s(self) -> float:
        """Time 0: the picture's begin, or the sound's where that is earlier by more than its
        encoder's lead."""
        if self.video is None or self.audio is None:
            return min(s.start_s for s in (self.video, self.audio) if s is not None)
        lead = self.video.start_s - self.audio.start_s
        return self.audio.start_s if lead > SOUND_LEAD_S else self.video.start_s

    @property
    def decord_is_right(self) -> bool:
        v = self.video
        return (
            v is not None
            and any(f in self.format.split(",") for f in DECORD_FORMATS)
            and v.codec in DECORD_CODECS
            and v.rotation == 0
            and not v.is_cut
            and v.is_alone
            and v.start_s == self.start_s == 0
            and (self.duration_s or 0) <= DECORD_LONGEST_S
        )


@dataclass(frozen=True)
class Snippet:
    """``frames`` (16, height, width, 3) uint8 RGB, None without picture; ``audio`` (16000,) float32,
    the second that ends where the snippet ends, None without sound."""

    frames: np.ndarray | None
    audio: np.ndarray | None


# --- the parent's side -------------------------------------------------------------------------


def read_snippets(
    path: Path, short_side: int = 256, *, timeout_s: float = TIMEOUT_S, reader: str = "auto"
) -> tuple[Media, Iterator[Snippet]]:
    """What the file holds and its snippets, in order; a few at a time are in memory.

    short_side: pixels of the shorter side that frames are scaled to. timeout_s: seconds without
    progress after which the decoder is killed. reader: "auto", "decord" or "pyav".

    Raises FileError, here or while iterating, on a file that cannot be opened or decoded to its end,
    that holds neither picture nor sound, or that is shorter than one snippet.
    """
    if not timeout_s > 0:
        raise InputError(f"--timeout-s: expected more than 0 seconds, got {timeout_s:g}")
    if not path.is_file():
        found = "is no regular file" if path.exists() else "no such file"
        raise FileError(path, found, "check the path")
    child = _Child(path, short_side, reader, timeout_s)
    try:
        media = _media(child.header())
    except BaseException:
        child.stop()
        raise
    return media, _iterate(child, path, short_side, timeout_s)


def _iterate(child: _Child, path: Path, short_side: int, timeout_s: float) -> Iterator[Snippet]:
    n = 0
    try:
        while True:
            try:
                snippet = child.snippet()
            except _DecordFailed:
                child.stop()
                child = _Child(path, short_side, "pyav", timeout_s, skip=n)
                child.header()
                continue
            if snippet is None:
                break
            n += 1
            yield snippet
    finally:
        child.stop()
    if n == 0:
        raise FileError(path, f"shorter than one snippet of {SNIPPET_S:.2f} s", "leave it out")


class _DecordFailed(Exception):
    """decord hung, crashed or complained; PyAV is to say whether the file is at fault."""


class _Child:
    """A decoding process, read by a thread so that waiting for it can end."""

    def __init__(self, path: Path, short_side: int, reader: str, timeout_s: float, skip: int = 0):
        self.path, self.timeout_s = path, timeout_s
        self.reader = reader
        self.log = tempfile.TemporaryFile()  # noqa: SIM115, closed in stop
        command = [
            sys.executable,
            "-m",
            "mmcl.data.media",
            os.path.abspath(path),  # so that no colon in a name is taken for a protocol
            str(short_side),
            reader,
            str(skip),
        ]
        folder = str(Path(__file__).resolve().parents[2])
        old = os.environ.get("PYTHONPATH")
        env = {**os.environ, "PYTHONPATH": folder + (os.pathsep + old if old else "")}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env=env
        )
        self.messages: queue.Queue = queue.Queue(maxsize=4)
        self.stopped = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        pipe = self.process.stdout
        assert pipe is not None
        with contextlib.suppress(OSError, ValueError):
            while line := pipe.readline():
                message = json.loads(line)
                sizes = message.pop("sizes", [])
                self._put((message, [pipe.read(size) for size in sizes]))
        self._put(None)

    def _put(self, message: Any) -> None:
        while not self.stopped:
            with contextlib.suppress(queue.Full):
                self.messages.put(message, timeout=0.2)
                return

    def _next(self) -> tuple[dict[str, Any], list[bytes]]:
        try:
            message = self.messages.get(timeout=self.timeout_s)
        except queue.Empty:
            if self.reader == "decord":
                raise _DecordFailed from None
            raise FileError(
                self.path, f"its decoder made no progress for {self.timeout_s:g} s", "repair or leave it out"
            ) from None
        if message is None:
            if self.reader == "decord":
                raise _DecordFailed
            code = self.process.wait()
            raise FileError(self.path, f"its decoder crashed (exit {code})", "repair or leave it out")
        if "error" in message[0]:
            raise FileError(self.path, message[0]["error"], message[0]["do"])
        if message[0].get("end") and self.reader == "decord" and self._complained():
            raise _DecordFailed
        return message

    def _complained(self) -> bool:
        """decord hides what is wrong with a frame, but its decoder writes it to its log."""
        self.log.seek(0, os.SEEK_END)
        return self.log.tell() > 0

    def header(self) -> dict[str, Any]:
        message, _ = self._next()
        self.reader = message["reader"]
        return message["media"]

    def snippet(self) -> Snippet | None:
        message, parts = self._next()
        if message.get("end"):
            return None
        frames = audio = None
        if message["shape"] is not None:
            frames = np.frombuffer(parts.pop(0), np.uint8).reshape(message["shape"])
        if parts:
            audio = np.frombuffer(parts.pop(0), np.float32)
        return Snippet(frames, audio)

    def stop(self) -> None:
        self.stopped = True
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.log.close()


def _media(header: dict[str, Any]) -> Media:
    video, audio = header.pop("video"), header.pop("audio")
    return Media(
        **header,
        video=None if video is None else VideoStream(**video),
        audio=None if audio is None else AudioStream(**audio),
    )


# --- the child's side --------------------------------------------------------------------------


class Unreadable(Exception):
    """What is wrong with the file, and what to do."""

    def __init__(self, found: str, do: str = "repair or leave it out"):
        super().__init__(found)
        self.do = do


def inspect(path: str) -> Media:
    """Probe with PyAV; raises Unreadable."""
    import av

    if os.path.getsize(path) == 0:
        raise Unreadable("is empty", "copy or download it again")
    try:
        with av.open(path) as container:
            video = next((s for s in container.streams.video if s.codec_context and not _is_cover(s)), None)
            audio = next((s for s in container.streams.audio if s.codec_context), None)
            if video is None and audio is None:
                raise Unreadable("holds neither picture nor sound", "expected a video or audio file")
            seconds = container.duration / av.time_base if container.duration else None
            name = container.format.name
            sound = None
            if audio is not None:
                sound = AudioStream(
                    audio.codec_context.name,
                    audio.codec_context.sample_rate,
                    audio.codec_context.channels,
                    _start(audio),
                    audio.index,
                )
            if video is None:
                return Media(name, seconds, None, sound)
            c = video.codec_context
            fps = float(video.guessed_rate or video.average_rate or 0)
            length = float(video.duration * (video.time_base or 0)) if video.duration else None
            start = _start(video)
            is_cut, rotation = _first_frame(container, video)
            seen = VideoStream(
                c.name,
                c.width,
                c.height,
                fps,
                start,
                length,
                rotation,
                is_cut,
                video.index,
                is_alone=len(container.streams.video) == 1,
            )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise Unreadable(
            f"not a readable video or audio file ({_say(error)})", "copy or download it again"
        ) from error
    if not seen.width or not seen.height:
        raise Unreadable("its picture has no size")
    if max(seen.width, seen.height) > MOST_ASPECT * min(seen.width, seen.height):
        raise Unreadable(f"its picture of {seen.width} x {seen.height} is narrower than 1 : {MOST_ASPECT}")
    return Media(name, seconds, seen, sound)


def _is_cover(stream) -> bool:
    """A cover picture is a video stream of one frame."""
    return bool(int(stream.disposition) & 0x400)


def _start(stream) -> float:
    return float(stream.start_time * stream.time_base) if stream.start_time else 0.0


def _first_frame(container, stream) -> tuple[bool, int]:
    """Are there frames to throw away before the start; by how many degrees is the picture turned."""
    import av

    is_cut = False
    for packet in container.demux(stream):
        is_cut = (
            is_cut or packet.is_discard or (packet.pts is not None and packet.pts < (stream.start_time or 0))
        )
        try:
            for frame in packet.decode():
                return is_cut, frame.rotation
        except av.FFmpegError:
            continue  # decoding proper tells what is wrong
    return is_cut, 0


def _say(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]


def _scaled(width: int, height: int, short_side: int) -> tuple[int, int]:
    ratio = short_side / min(width, height)
    return max(round(width * ratio), short_side), max(round(height * ratio), short_side)


def sampled_by_pyav(path: str, media: Media, short_side: int) -> Iterator[np.ndarray]:
    """The frame that is seen at k / 24 s, for k = 0, 1, ... to the end; scaled, upright, RGB."""
    import av

    v = media.video
    assert v is not None
    width, height = _scaled(v.width, v.height, short_side)
    turns = round(v.rotation / 90) % 4

    reformatter = av.video.reformatter.VideoReformatter()

    def picture(frame) -> np.ndarray:
        x = reformatter.reformat(
            frame, width=width, height=height, format="rgb24", interpolation="BICUBIC"
        ).to_ndarray()
        return np.ascontiguousarray(np.rot90(x, turns)) if turns else x

    frame, end_s, k = None, 0.0, 0
    with av.open(path) as container:
        stream = container.streams[v.index]
        assert isinstance(stream, av.VideoStream)
        stream.thread_type = "AUTO"
        try:
            for new in container.decode(stream):
                if new.is_corrupt:
                    raise Unreadable(f"a frame at {_at(new, media, end_s):.2f} s is damaged")
                at_s = _at(new, media, end_s)
                _check_clock("picture", end_s, at_s)
                if frame is None:
                    frame = new  # held back to 0 where the picture begins after the sound
                if (k / FPS) < at_s - ROUNDING_S:
                    shown = picture(frame)
                    while (k / FPS) < at_s - ROUNDING_S:
                        yield shown
                        k += 1
                frame = new
                end_s = at_s + _lasts(new, v)
        except (av.FFmpegError, OSError) as error:
            raise Unreadable(f"its picture cannot be decoded after {end_s:.2f} s ({_say(error)})") from error
    if frame is None:
        raise Unreadable("its picture holds no frame that can be decoded")
    _check_end(media, end_s)
    shown = picture(frame)
    while k < round(end_s * FPS):
        yield shown
        k += 1


def _check_clock(what: str, expected_s: float, at_s: float) -> None:
    """Joined files begin their clocks anew, damaged ones leap: neither says when what is seen was."""
    if at_s < expected_s - CLOCK_BACK_S or at_s > expected_s + CLOCK_AHEAD_S:
        raise Unreadable(
            f"the clock of its {what} leaps from {expected_s:.1f} to {at_s:.1f} s",
            "write it anew with a video tool, joined files one by one",
        )


def _at(frame, media: Media, otherwise: float) -> float:
    return otherwise if frame.time is None else frame.time - media.start_s


def _lasts(frame, stream: VideoStream) -> float:
    if frame.duration and frame.time_base:
        return float(frame.duration * frame.time_base)
    return 1 / stream.fps if stream.fps else 1 / FPS


def _check_end(media: Media, end_s: float) -> None:
    v = media.video
    claimed = v.duration_s if v is not None and v.duration_s else None
    if claimed is None:
        return
    if end_s < claimed - max(LOST_S, LOST_SHARE * claimed):
        raise Unreadable(
            f"ends after {end_s:.1f} of {claimed:.1f} s: it is truncated", "copy or download it again"
        )


def sampled_by_decord(path: str, media: Media, short_side: int) -> Iterator[np.ndarray]:
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
    _check_end(media, end_s)
    width, height = _scaled(v.width, v.height, short_side)
    reader = decord.VideoReader(path, ctx=decord.cpu(0), width=width, height=height, num_threads=1)
    if len(reader) != len(pts):
        raise RuntimeError(f"decord counts {len(reader)} frames, PyAV {len(pts)}")
    n = round(end_s * FPS)
    index = np.searchsorted(pts, np.arange(n) / FPS + ROUNDING_S, side="right") - 1
    index = index.clip(0)
    for first in range(0, n, FRAMES_PER_SNIPPET):
        part = index[first : first + FRAMES_PER_SNIPPET]
        wanted, back = np.unique(part, return_inverse=True)
        yield from reader.get_batch(wanted.tolist()).asnumpy()[back]


def sound(path: str, media: Media) -> Iterator[np.ndarray]:
    """Pieces of mono float32 at 16 kHz from time 0 on, gaps silent."""
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

    with av.open(path) as container:
        assert media.audio is not None
        stream = container.streams[media.audio.index]
        assert isinstance(stream, av.AudioStream)
        try:
            for frame in container.decode(stream):
                stamp = at if frame.time is None else frame.time - media.start_s
                stamp = 0.0 if stamp is None else stamp
                _check_clock("sound", at or 0.0, stamp)
                if at is not None and at - stamp > SOUND_GAP_S:  # more sound than time: drop the surplus
                    early += round((at - stamp) * AUDIO_HZ)
                    at = stamp
                is_gap = at is None or stamp - at > SOUND_GAP_S
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
        except (av.FFmpegError, OSError) as error:
            raise Unreadable(f"its sound cannot be decoded after {at or 0:.2f} s ({_say(error)})") from error


def _pieces(resampler, frame) -> Iterator[np.ndarray]:
    if resampler is not None:
        for out in resampler.resample(frame):
            x = out.to_ndarray()[0].astype(np.float32)
            if len(x):
                yield x


def windows(pieces: Iterator[np.ndarray]) -> Iterator[tuple[np.ndarray, float]]:
    """For each snippet the second of sound that ends with it, silence before the start and after the
    end, and how many seconds of sound are known to follow (negative: they lack)."""
    n_window, beyond = round(AUDIO_WINDOW_S * AUDIO_HZ), round(AUDIO_HZ / FPS)
    held, end = np.zeros(n_window, np.float32), 0  # the latest sound, and the sample it ends with
    for i in itertools.count(1):
        stop = round(i * SNIPPET_S * AUDIO_HZ)
        while end < stop + beyond and (piece := next(pieces, None)) is not None:
            held, end = np.concatenate([held, piece]), end + len(piece)
        lacking = np.zeros(max(stop - end, 0), np.float32)
        at = len(held) - max(end - stop, 0)
        yield np.concatenate([held[:at], lacking])[-n_window:], (end - stop) / AUDIO_HZ
        held = held[max(at - n_window, 0) :]


def snippets(
    path: str, media: Media, short_side: int, reader: str
) -> Iterator[tuple[np.ndarray | None, np.ndarray | None]]:
    """Frames and sound of each snippet. The picture says how long a video is."""
    heard = windows(sound(path, media)) if media.audio is not None else None
    if media.video is None:
        assert heard is not None
        for window, follow_s in heard:
            if follow_s < 1 / FPS - ROUNDING_S:
                return
            yield None, window
    sample = sampled_by_decord if reader == "decord" else sampled_by_pyav
    frames: list[np.ndarray] = []
    for frame in sample(path, media, short_side):
        if len(frames) == FRAMES_PER_SNIPPET:  # only now is it known not to be the last frame
            yield np.stack(frames), None if heard is None else next(heard)[0]
            frames = []
        frames.append(frame)


def main(args: list[str]) -> int:
    path, short_side, reader, skip = args[0], int(args[1]), args[2], int(args[3])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the messages

    def send(message: dict[str, Any], *parts: bytes | memoryview) -> None:
        sizes = [len(p) if isinstance(p, bytes) else p.nbytes for p in parts]
        out.write(json.dumps({**message, "sizes": sizes}).encode() + b"\n")
        for part in parts:
            out.write(part)
        out.flush()

    try:
        media = inspect(path)
        chosen = choose(media, reader)
        send({"media": asdict(media), "reader": chosen})
        for i, (frames, audio) in enumerate(snippets(path, media, short_side, chosen)):
            if i >= skip:
                parts = [np.ascontiguousarray(x).data.cast("B") for x in (frames, audio) if x is not None]
                send({"shape": None if frames is None else frames.shape}, *parts)
        send({"end": True})
    except Unreadable as error:
        send({"error": str(error), "do": error.do})
    except BrokenPipeError:
        return 1  # nobody reads on
    return 0


def _end_with_parent() -> None:
    """A hanging decoder is not to outlive a parent that was killed: its pipe ends then."""
    while os.read(0, 1):
        pass
    os._exit(1)


def choose(media: Media, reader: str) -> str:
    if reader != "auto":
        return reader
    if not media.decord_is_right:
        return "pyav"
    try:
        import decord

        decord.logging.set_level(decord.logging.ERROR)
        return "decord"
    except ImportError:
        return "pyav"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
