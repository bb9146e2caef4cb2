"""Frames of a stream's picture and sound, taken by turns from one container."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mmcl.media.completeness import ClockLeap, Unreadable
from mmcl.media.probe import AudioStream, Media, VideoStream, describe_av_error

MAX_APART_S = 5.0  # one of two streams that is so much behind the other has stopped
MAX_BACK_S = 1.0
FIRST_S = 2.0  # so long the other stream's first frame is waited for
FPS_ASSUMED = 30.0


class Demuxer:
    """Reads packets as frames are asked for; those of the other stream are held until it is asked for them.

    Args:
        container: PyAV's.
        on_packet: Is called with every packet of picture and sound.
        needs: "visual", "audio": other streams are not decoded.
        early: Frames that the demuxer before this one left (``leftover``).

    Attributes:
        media: What the stream holds, known once the first frames are there.
        n_damaged: Frames and packets that could not be decoded; the frame before is shown on.

    Raises:
        Unreadable: The stream holds neither picture nor sound that is needed.
    """

    def __init__(
        self,
        container: Any,
        on_packet: Callable[[Any], object],
        needs: tuple[str, ...],
        early: Mapping[str, Sequence[Any]] | None = None,
    ):
        import av

        self.on_packet, self.n_damaged, self._ended = on_packet, 0, False
        video = next((s for s in container.streams.video if s.codec_context), None) if "visual" in needs else None
        audio = next((s for s in container.streams.audio if s.codec_context), None) if "audio" in needs else None
        if video is None and audio is None:
            has = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
            raise Unreadable(f"holds {has}; the model takes {' and '.join(needs)}", "choose another source or model")
        self.streams = {k: s for k, s in (("visual", video), ("audio", audio)) if s is not None}
        if video is not None and not video.codec_context.is_open:
            video.thread_type = "AUTO"
        self._held: dict[str, deque[Any]] = {k: deque((early or {}).get(k, ())) for k in self.streams}
        self._last: dict[str, float] = {}  # time of the latest frame that was given out
        self._stamped: set[str] = set()
        self._unstamped: dict[str, list[Any]] = {}
        self._errors, self._any_error = (av.InvalidDataError, av.PatchWelcomeError), av.FFmpegError
        self._packets = container.demux(*self.streams.values())
        self.media = self._describe(container)

    def frames(self, kind: str) -> Iterator[Any]:
        """PyAV's frames of "visual" or "audio", in order.

        Raises:
            Unreadable: The other stream goes on without it, or the source breaks off.
            ClockLeap: The next frame is of another clock.
        """
        held = self._held[kind]
        while True:
            while not held and not self._ended:
                self._read()
                if self._lead(kind) > MAX_APART_S:
                    raise Unreadable(f"its {'picture' if kind == 'visual' else 'sound'} has stopped")
            if not held:
                return
            at, last = held[0].time, self._last.get(kind)
            if at is not None:
                if last is not None and _leaps(last, at):
                    what = "picture" if kind == "visual" else "sound"
                    raise ClockLeap(f"the clock of its {what} leaps from {last:.1f} to {at:.1f} s")
                self._last[kind] = at
            yield held.popleft()

    def leftover(self) -> dict[str, list[Any]]:
        """Behind a leap of the clock: the frames that are of the new clock."""
        rest = {}
        for kind, held in self._held.items():
            times = [self._last.get(kind), *(f.time for f in held)]
            leaps = [i for i in range(len(held)) if None not in times[i : i + 2] and _leaps(times[i], times[i + 1])]
            rest[kind] = list(held)[leaps[0] :] if leaps else []
        return rest

    def _read(self) -> None:
        try:
            packet = next(self._packets, None)
        except (self._any_error, OSError) as error:
            raise Unreadable(f"broke off ({describe_av_error(error)})") from error
        if packet is None:
            self._ended = True
            return
        kind = next((k for k, s in self.streams.items() if s is packet.stream), "")
        if not kind:  # it began too late, see ``_describe``
            return
        if packet.size:
            self.on_packet(packet)
        try:
            for frame in packet.decode():
                if getattr(frame, "is_corrupt", False):
                    self.n_damaged += 1
                else:
                    self._hold(kind, frame)
        except self._errors:
            self.n_damaged += 1

    def _hold(self, kind: str, frame: Any) -> None:
        """The first frames of RTSP may lack a time; it is that of the first that has one, less what they last."""
        if kind in self._stamped or frame.pts is not None:
            for n, early in enumerate(reversed(self._unstamped.pop(kind, [])), 1):
                stream = self.streams[kind]
                of_frame = early.samples / early.sample_rate if kind == "audio" else 1 / float(_fps(stream))
                early.pts, early.time_base = frame.pts - round(n * of_frame / frame.time_base), frame.time_base
                self._held[kind].appendleft(early)
            self._stamped.add(kind)
            self._held[kind].append(frame)
        else:
            self._unstamped.setdefault(kind, []).append(frame)

    def _lead(self, kind: str) -> float:
        """Seconds that are held of the other stream while this one has none."""
        others = [h for k, h in self._held.items() if k != kind and len(h) > 1]
        return max((float((h[-1].time or 0.0) - (h[0].time or 0.0)) for h in others), default=0.0)

    def _describe(self, container: Any) -> Media:
        while not self._ended and not all(self._held.values()):
            self._read()
            if max((self._lead(k) for k in self.streams), default=0.0) > FIRST_S:
                break
        for kind in [k for k, h in self._held.items() if not h]:
            del self.streams[kind], self._held[kind]
        if not self.streams:
            raise Unreadable("holds no frame that can be decoded")
        first = {k: h[0] for k, h in self._held.items()}
        start = {k: float(f.time or 0.0) for k, f in first.items()}
        video = audio = None
        if "visual" in first:
            stream, c = self.streams["visual"], self.streams["visual"].codec_context
            fps = _fps(stream)
            aspect = float(stream.sample_aspect_ratio or c.sample_aspect_ratio or 1) or 1.0
            rotation = first["visual"].rotation
            video = VideoStream(
                c.name, c.width, c.height, fps, start["visual"], None, rotation, False, stream.index, True, 1, aspect
            )
        if "audio" in first:
            stream, c = self.streams["audio"], self.streams["audio"].codec_context
            audio = AudioStream(c.name, c.sample_rate, c.channels, start["audio"], stream.index)
        return Media(container.format.name, None, video, audio)


def _leaps(last_s: float, at_s: float) -> bool:
    return at_s < last_s - MAX_BACK_S or at_s > last_s + MAX_APART_S


def _fps(stream: Any) -> float:
    return float(stream.guessed_rate or stream.average_rate or FPS_ASSUMED)


def seconds_of(packet: Any, media: Media) -> float | None:
    """When a packet is seen or heard, from the begin of its stream's segment [s].

    Args:
        packet: PyAV's.
        media: What the stream holds.
    """
    stamp = packet.pts if packet.pts is not None else packet.dts
    return None if stamp is None else float(stamp * packet.time_base) - media.start_s
