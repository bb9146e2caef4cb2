"""Live sources of a server, each scored in a thread."""

from __future__ import annotations

import secrets
import threading
from typing import Any
from urllib.parse import urlsplit

from mmcl.api.model import Model
from mmcl.errors import InputError
from mmcl.evaluation.events import EventRule
from mmcl.io import describe_failure, printable
from mmcl.live.reader import StreamReader
from mmcl.live.scores import sides_of
from mmcl.live.watch import Watcher
from mmcl.media.stream import LiveSource
from mmcl.serve.limits import Limits, check_address
from mmcl.serve.live_page import RecentMessages

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "rtmp": 1935}


class LiveJob(RecentMessages):
    """A source that is watched.

    Args:
        model: That scores.
        source: Where the stream comes from.
        rule: What an event is.

    Attributes:
        id: Cannot be guessed.
        state: running, ended or failed.
        error: Why it failed.
    """

    def __init__(self, model: Model, source: LiveSource, rule: EventRule):
        super().__init__()
        self.id, self.source, self.state, self.error = secrets.token_urlsafe(16), source, "running", ""
        extractors = model.video_scorer.extractors
        self.reader = StreamReader(source, sides_of(extractors), tuple(extractors.parts))
        self.watcher = Watcher(model.predictor, extractors, self.reader, rule, [self], log=lambda text: None)
        self.thread = threading.Thread(target=self._run, daemon=True, name="live")
        self.thread.start()

    def to_dict(self) -> dict[str, Any]:
        """What clients see."""
        events = self.watcher.events.n_events
        return {"id": self.id, "source": self.source.name, "state": self.state, "error": self.error, "events": events}

    def stop(self) -> None:
        """End it."""
        self.reader.stop()
        self.thread.join(5)

    def _run(self) -> None:
        try:
            self.watcher.run()
            self.watcher.end()
            self.state = "ended"
        except Exception as error:  # whatever it is, the server goes on
            self.error, self.state = printable(describe_failure(self.source.name, error)), "failed"
        self.is_over = True


class LiveJobs:
    """The live sources of a server.

    Args:
        model: That scores.
        limits: Of the server.
        rule: What an event is.
    """

    def __init__(self, model: Model, limits: Limits, rule: EventRule):
        self.model, self.limits, self.rule = model, limits, rule
        self.jobs: dict[str, LiveJob] = {}

    def create(self, address: str) -> LiveJob:
        """Watch a source.

        Args:
            address: Of a stream; no file and no camera of this machine.

        Raises:
            InputError: The address may not be read, or too many sources are watched.
        """
        source = LiveSource(address, leads_nowhere=not self.limits.allow_private)
        parts = urlsplit(address)
        if source.scheme not in PORTS or not parts.hostname:
            raise InputError(f"source: expected one of {', '.join(PORTS)}://HOST/...")
        check_address(parts.hostname, parts.port or PORTS[source.scheme], self.limits.allow_private)
        if sum(job.state == "running" for job in self.jobs.values()) >= self.limits.max_live:
            raise InputError(f"{self.limits.max_live} live sources are watched already; remove one")
        job = LiveJob(self.model, source, self.rule)
        self.jobs[job.id] = job
        return job

    def stop(self) -> None:
        """End all of them."""
        for job in self.jobs.values():
            job.reader.is_stopped.set()
        for job in self.jobs.values():
            job.stop()
