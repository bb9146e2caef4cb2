"""The command for live sources."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from mmcl.cli.options import Debug, Device
from mmcl.errors import InputError
from mmcl.inference.videos import ExtractorOptions

if TYPE_CHECKING:
    from mmcl.serve.live_page import LivePage


@dataclass(frozen=True)
class Watch:
    """Score a camera or a stream while it goes on, and tell events as they begin and end.

    SOURCE is a camera's number (0), an address (rtsp, http and https for HLS and MPEG-TS, udp, tcp, srt, rtmp), - for
    standard input, or a file that is being written (MPEG-TS, Matroska). Scores are those that mmcl score gives the
    recorded file, as far as the network's context is bounded; one that attends to whole recordings (MACIL-SD's) is
    given the last 32 s. A score is known a context behind its snippet: the delay is printed first, and measured.

    A camera or network stream that stalls or ends is opened again, and the gap is marked; where this machine is slower
    than the source, snippets are dropped and counted. With --out the folder gets live.jsonl and, with --clips, a video
    of each event. Ctrl-C ends it.
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """Folder that mmcl train, share or import-macil-sd made, or hub:OWNER/NAME."""
    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
    """A camera's number, an address, - or a file."""
    out: Path | None = None
    """Folder for live.jsonl and clips/."""
    json: Literal["", "-"] = ""
    """"-": every message as a line of JSON on standard output; the log goes to standard error."""
    webhook: str = ""
    """Address that events and gaps are posted to as JSON."""
    mqtt: str = ""
    """mqtt://USER:PASSWORD@HOST:PORT/TOPIC: messages are published to TOPIC/snippet, /event and /gap."""
    clips: bool = False
    """Write a video of each event below --out."""
    page: int | None = None
    """Port of a page with the curve and the events as they come, 0 = one that is free; its address is printed."""
    lead_s: float = 5.0
    """Of a clip before its event [s]."""
    tail_s: float = 5.0
    """Of a clip behind its event [s]."""
    threshold: float = 0.5
    """An event's highest joint score is at least this."""
    low: float = 0.3
    """An event goes on while the joint score is at least this."""
    min_s: float = 0.0
    """Shorter events are left out [s]."""
    stall_s: float = 10.0
    """Seconds without data after which a stream is opened again, and a file that grows has ended."""
    drop: bool = True
    """Where scoring is slower than a live source, drop snippets; --no-drop lets the source wait, if it can."""
    extractors: Annotated[ExtractorOptions, tyro.conf.OmitArgPrefixes] = ExtractorOptions()  # noqa: RUF009
    """Extractors, where the model does not know its own."""
    device: Device = "auto"
    debug: Debug = False

    def run(self) -> None:
        """Watch until it ends."""
        from mmcl.api.model import load
        from mmcl.evaluation.events import EventRule
        from mmcl.io import check_writable, printable
        from mmcl.live.outputs import Output
        from mmcl.live.outputs.clips import EventClips
        from mmcl.live.outputs.json_lines import JsonLines
        from mmcl.live.outputs.mqtt import Mqtt
        from mmcl.live.outputs.webhook import Webhook
        from mmcl.live.reader import StreamReader
        from mmcl.live.scores import LiveScores, sides_of
        from mmcl.live.watch import Watcher
        from mmcl.media.stream import LiveSource
        from mmcl.runs.run_dir import check_holds_no_run

        if self.clips and self.out is None:
            raise InputError("--clips: needs --out, the folder for them")
        if min(self.lead_s, self.tail_s) < 0 or self.lead_s > 600:
            raise InputError(f"--lead-s {self.lead_s:g}, --tail-s {self.tail_s:g}: expected 0 or more, lead up to 600")
        rule = EventRule(self.threshold, self.low, self.min_s)
        source = LiveSource(self.source, self.stall_s)
        model = load(self.model, self.device, options=self.extractors)
        extractors = model.video_scorer.extractors
        delay_s = LiveScores(model.predictor, extractors).delay_s
        outputs: list[Output] = [JsonLines(None)] if self.json else []
        clips = None
        if self.out is not None:
            check_holds_no_run(self.out)
            check_writable(self.out)
            outputs.append(JsonLines(self.out / "live.jsonl"))
            if self.clips:
                check_writable(self.out / "clips")
                clips = EventClips(self.out / "clips", self.lead_s, self.tail_s, delay_s)
                outputs.append(clips)
        if self.webhook:
            outputs.append(Webhook(self.webhook))
        if self.mqtt:
            outputs.append(Mqtt(self.mqtt))

        def log(text: str) -> None:
            print(printable(text), file=sys.stderr if self.json else sys.stdout, flush=True)

        reader = StreamReader(
            source, sides_of(extractors), tuple(extractors.parts), None if clips is None else clips.take, self.drop
        )
        watcher = Watcher(model.predictor, extractors, reader, rule, outputs, log)
        if self.page is not None:
            page = open_page(self.page)
            outputs.append(page)
            log(page.address)
        if watcher.scores.context is None:
            log("the network attends to whole recordings: it is given the last 32 s, and scores differ from a file's")
        else:
            log(f"a score is known {delay_s:.1f} s behind its snippet's end, the network's context, and computing")
        try:
            watcher.run()
        except KeyboardInterrupt:
            log("stopped")
            raise
        finally:
            watcher.end()
            for output in outputs:
                output.close()
                if lost := output.describe():
                    log(lost)
            if watcher.has_begun:
                log(watcher.summary())


def open_page(port: int) -> LivePage:
    """The page's server.

    Args:
        port: 0 = one that is free.

    Raises:
        InputError: The extra is not installed, or the port is taken.
    """
    try:
        from mmcl.serve.live_page import LivePage
    except ImportError as error:
        raise InputError(f"--page needs {error.name}; pip install 'mmcl[serve]'") from None
    return LivePage(port)
