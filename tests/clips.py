"""Real video files made for the tests: each frame shows its own number, clicks are heard at known times."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

N_BITS, BLOCK, HEIGHT = 10, 16, 64


def numbered(n: int) -> np.ndarray:
    """(64, 160, 3): the number in black and white bars, the first bar being the lowest bit."""
    bits = (n >> np.arange(N_BITS)) & 1
    row = np.repeat(bits * 215 + 20, BLOCK).astype(np.uint8)
    return np.broadcast_to(row[None, :, None], (HEIGHT, N_BITS * BLOCK, 3)).copy()


def number_of(frame: np.ndarray) -> int:
    width = frame.shape[1]
    middles = ((np.arange(N_BITS) + 0.5) * width / N_BITS).astype(int)
    return int((frame[frame.shape[0] // 2, middles].mean(-1) > 127) @ (1 << np.arange(N_BITS)))


def clicks(times_s, length_s: float, rate_hz: int = 44_100, n_channels: int = 1) -> np.ndarray:
    """(channel, sample) float32: 10 ms bursts of 2 kHz that begin at the given times."""
    x = np.zeros(round(length_s * rate_hz), np.float32)
    burst = 0.8 * np.sin(2 * np.pi * 2000 * np.arange(rate_hz // 100) / rate_hz)
    for t in times_s:
        at = round(t * rate_hz)
        x[at : at + len(burst)] += burst.astype(np.float32)[: len(x) - at]
    return np.broadcast_to(x, (n_channels, len(x))).copy()


def write_clip(
    path: Path,
    n_frames: int = 72,
    fps: float = 24,
    *,
    video: str | None = "libx264",
    audio: str | None = "aac",
    click_s=(0.5, 1.75),
    sound_s: float | None = None,
    delay_s: float = 0.0,
    times_s: np.ndarray | None = None,
    n_channels: int = 1,
    gop: int = 12,
    options: dict[str, str] | None = None,
) -> Path:
    """times_s: when each frame is shown, for a variable rate. delay_s: by how much the sound begins later;
    click_s counts from the beginning of the file all the same."""
    rate = Fraction(fps).limit_denominator(1001)
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[n_channels]
    container_options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=container_options) as out:
        streams = []
        if video:
            v = out.add_stream(video, rate=rate, options=options or {})
            v.width, v.height, v.pix_fmt = N_BITS * BLOCK, HEIGHT, "yuv420p"
            v.codec_context.gop_size = gop
            base = Fraction(1, 90_000)
            if times_s is not None:
                v.codec_context.time_base = base
        if audio:
            a = out.add_stream(audio, rate=48_000 if audio == "libopus" else 44_100, layout=layout)
        if video:
            for k in range(n_frames):
                frame = av.VideoFrame.from_ndarray(numbered(k), format="rgb24")
                if times_s is not None:
                    frame.pts, frame.time_base = round(times_s[k] / base), base
                else:
                    frame.pts, frame.time_base = k, 1 / rate
                streams += v.encode(frame)
            streams += v.encode(None)
        if audio:
            hz = a.rate
            length = (n_frames / fps if sound_s is None else sound_s) - delay_s
            x = clicks([t - delay_s for t in click_s], length, hz, n_channels)
            resampler = av.AudioResampler(a.format.name, layout, hz, frame_size=a.frame_size or 1024)
            frame = av.AudioFrame.from_ndarray(x, format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = hz, 0, Fraction(1, hz)
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                part.pts = (part.pts or 0) + round(delay_s * hz)
                part.time_base = Fraction(1, hz)
                streams += a.encode(part)
            streams += a.encode(None)
        streams.sort(key=lambda p: float((p.dts or 0) * p.time_base))
        for packet in streams:
            out.mux(packet)
    return path


def cut(source: Path, path: Path, from_s: float) -> Path:
    """A stream copy from a moment between two key frames, as fast cutters make it: it begins with the key
    frame before, and says that what lies before the moment is not to be shown."""
    with av.open(str(source)) as file, av.open(str(path), "w") as out:
        copies = {s.index: out.add_stream_from_template(s) for s in (*file.streams.video, *file.streams.audio)}
        file.seek(int(from_s * av.time_base), backward=True)
        for packet in file.demux(*(file.streams[i] for i in copies)):
            if packet.pts is None or (packet.stream.type == "audio" and packet.pts * packet.time_base < from_s):
                continue
            shift = round(from_s / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = copies[packet.stream.index]
            out.mux(packet)
    return path


def growing(extract):
    """``extract_file`` of a file that somebody writes to meanwhile."""

    def extract_and_write(source, *args, **options):
        extracted = extract(source, *args, **options)
        with open(source, "ab") as file:
            file.write(bytes(188))
        return extracted

    return extract_and_write


def turn(path: Path, out: Path) -> Path:
    """The same mp4, marked to be shown turned by 90 degrees clockwise (the matrix of its track header)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix begins 40 bytes into the box
    one = 0x10000
    matrix = (0, one, 0, -one, 0, 0, HEIGHT * one, 0, 0x40000000)
    assert int.from_bytes(data[at : at + 4], "big") == one
    data[at : at + 36] = b"".join(v.to_bytes(4, "big", signed=True) for v in matrix)
    out.write_bytes(data)
    return out


def damage(path: Path, out: Path, kind: str) -> Path:
    """Overwrite the payload of a packet in the middle of a stream with noise."""
    import av

    with av.open(str(path)) as file:
        stream = getattr(file.streams, kind)[0]
        packets = [p for p in file.demux(stream) if p.size > 40]
        middle = packets[len(packets) // 2]
        at, size = middle.pos, middle.size
    data = bytearray(path.read_bytes())
    data[at + 8 : at + size] = np.random.default_rng(0).bytes(size - 8)
    out.write_bytes(data)
    return out


def write_square(path: Path, is_wild: bool, seed: int, has_sound: bool = True, seconds: float = 2.1) -> Path:
    """A bright square before a grey ground: it glides, or it jumps about."""
    from mmcl.media.writer import write_video

    rng = np.random.default_rng([seed, is_wild])
    ground = np.full((64, 80, 3), int(rng.integers(60, 120)), np.uint8)
    n = round(seconds * 24)
    at = rng.integers(0, 40, (n, 2)) if is_wild else np.linspace((5, 5), rng.integers(10, 40, 2), n).astype(int)

    def frames():
        for y, x in at:
            frame = ground.copy()
            frame[y : y + 20, x : x + 20] = 220
            yield frame

    sound = iter([(0.1 * rng.standard_normal(round(seconds * 16_000))).astype(np.float32)])
    if has_sound:
        write_video(path, frames(), 24, sound, 16_000)
    else:
        write_video(path, frames(), 24)
    return path
