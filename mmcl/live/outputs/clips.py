"""Each event as a video file with what was before and behind it, of the stream's own packets."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmcl.errors import FileError
from mmcl.io import printable
from mmcl.live.outputs._base import Message, Output
from mmcl.live.reader import SegmentBegin
from mmcl.media.demux import seconds_of
from mmcl.media.packets import PacketWriter, StoredPacket, store_packet

MAX_BYTES = 512 << 20  # of the packets that are held
GROUP_S = 15.0  # longest group of pictures that is reckoned with


@dataclass
class _Clip:
    writer: PacketWriter
    end_s: float | None = None


class EventClips(Output):
    """Writes NUMBER-CLASS.mp4 (.mkv where mp4 cannot hold the codec) of each event; nothing is encoded anew.

    Packets are held as long as an event that is not yet known may need them: lead, delay of the scores, and a group of
    pictures, half a gigabyte at most.

    Args:
        folder: For the files.
        lead_s: Before the event [s]; the file begins with the key frame before.
        tail_s: Behind it [s].
        delay_s: Of the scores [s].
    """

    def __init__(self, folder: Path, lead_s: float, tail_s: float, delay_s: float):
        self.folder, self.lead_s, self.tail_s = folder, lead_s, tail_s
        self.held_s = lead_s + delay_s + GROUP_S
        self._held: deque[StoredPacket] = deque()
        self._bytes = 0
        self._segment: SegmentBegin | None = None
        self._templates: dict[int, Any] = {}
        self._clips: dict[int, _Clip] = {}
        self._lock = threading.Lock()
        self.files: list[Path] = []
        self.problem = ""

    def take(self, packet: Any, begin: SegmentBegin) -> None:
        """A packet of the stream, from the reader's thread.

        Args:
            packet: PyAV's.
            begin: Of its segment.
        """
        at = seconds_of(packet, begin.media)
        if at is None:  # the first packets of RTSP
            at = 0.0
            packet.pts = packet.dts = round(begin.media.start_s / packet.time_base)
        with self._lock:
            if begin is not self._segment:
                self._end_clips()
                self._held.clear()
                self._bytes, self._segment, self._templates = 0, begin, {}
            self._templates.setdefault(packet.stream.index, packet.stream)
            stored = store_packet(packet, begin.start_s + at)
            self._held.append(stored)
            self._bytes += len(stored.data)
            while self._held and (self._held[0].at_s < stored.at_s - self.held_s or self._bytes > MAX_BYTES):
                self._bytes -= len(self._held.popleft().data)
            for number in list(self._clips):
                self._write(number, stored)

    def send(self, message: Message) -> None:
        """See ``Output.send``: an event begins or ends."""
        with self._lock:
            if message["type"] == "end":
                self._end_clips()
            if message["type"] != "event":
                return
            if message["state"] == "begin":
                self._begin(message)
            elif message["id"] in self._clips:
                self._clips[message["id"]].end_s = message["end_s"] + self.tail_s

    def close(self) -> None:
        """See ``Output.close``."""
        with self._lock:
            self._end_clips()

    def describe(self) -> str:
        """See ``Output.describe``."""
        return f"clips: {self.problem}" if self.problem else ""

    def _begin(self, message: Message) -> None:
        packets, first = list(self._held), 0
        if not packets or self._segment is None:
            return
        begin_s = message["start_s"] - self.lead_s
        leading = {i for i, s in self._templates.items() if s.type == "video"} or set(self._templates)
        for i, p in enumerate(packets):  # the last key frame before the lead, else the first one
            if p.is_key and p.index in leading and (p.at_s <= begin_s or first == 0):
                first = i
        label = "".join(c if c.isalnum() or c in "-_" else "-" for c in message["label"])[:60]
        origin_s = packets[first].at_s - self._segment.start_s + self._segment.media.start_s
        try:
            writer = PacketWriter(self.folder / f"{message['id']:05d}-{label}", self._templates, origin_s)
        except FileError as error:
            self.problem = printable(str(error))
            return
        self._clips[message["id"]] = _Clip(writer)
        for packet in packets[first:]:
            if message["id"] in self._clips:
                self._write(message["id"], packet)

    def _write(self, number: int, stored: StoredPacket) -> None:
        clip = self._clips[number]
        if clip.end_s is not None and stored.at_s > clip.end_s:
            self._end_clip(number)
            return
        try:
            clip.writer.write(stored)
        except FileError as error:
            self.problem = printable(str(error))
            self._end_clip(number)

    def _end_clips(self) -> None:
        for number in list(self._clips):
            self._end_clip(number)

    def _end_clip(self, number: int) -> None:
        clip = self._clips.pop(number)
        try:
            clip.writer.close()
            self.files.append(clip.writer.path)
        except FileError as error:
            self.problem = printable(str(error))
