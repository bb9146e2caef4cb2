"""Jobs of a server: a video each, scored one after the other in a thread; a job's files are in its own folder."""

from __future__ import annotations

import queue
import secrets
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmcl.api.model import Model
from mmcl.errors import InputError
from mmcl.evaluation.events import EventRule
from mmcl.io import describe_failure, printable
from mmcl.media.find import MediaFile, has_media_ending
from mmcl.media.snippets import probe_file
from mmcl.reporting.score_files import ScoreFiles
from mmcl.serve.limits import Limits, fetch_checked

ENDED = ("done", "failed", "cancelled")


class Stopped(Exception):
    """The job is cancelled, or the server stops."""


@dataclass
class Job:
    """A video and what became of it.

    Attributes:
        id: Cannot be guessed.
        name: Of the video, as the client has it.
        folder: Of its files.
        url: Where it is fetched from, if it was not uploaded.
        state: uploading, queued, running, done, failed or cancelled.
        error: Why it failed.
        seconds: Length of the video, once it is known.
        done_s: Scored so far.
        curve: Joint scores so far, the highest class of each snippet.
        summary: A line on the result.
        notes: What the user should know.
        changed: Counts changes, for those who wait for them.
    """

    id: str
    name: str
    folder: Path
    url: str = ""
    state: str = "uploading"
    error: str = ""
    seconds: float | None = None
    done_s: float = 0.0
    curve: list[float] = field(default_factory=list)
    summary: str = ""
    notes: tuple[str, ...] = ()
    created: float = field(default_factory=time.time)
    changed: int = 0
    is_cancelled: bool = False

    @property
    def media(self) -> Path:
        """The video."""
        return self.folder / self.name

    def to_dict(self) -> dict[str, Any]:
        """What clients see."""
        seen = ("id", "name", "state", "error", "seconds", "done_s", "curve", "summary", "created")
        return {**{k: getattr(self, k) for k in seen}, "notes": list(self.notes)}


class Jobs:
    """Takes videos and scores them.

    Args:
        model: That scores.
        folder: For the jobs' folders.
        limits: Of the server.
        rule: What an event is.
    """

    def __init__(self, model: Model, folder: Path, limits: Limits, rule: EventRule):
        self.model, self.folder, self.limits, self.rule = model, folder, limits, rule
        self.jobs: dict[str, Job] = {}
        self.waiting: queue.Queue[Job] = queue.Queue()
        self.lock, self.is_stopped = threading.Lock(), threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True, name="jobs")
        self.thread.start()

    def create(self, name: str, url: str = "") -> Job:
        """A job that waits for its video, or for its turn to fetch it.

        Args:
            name: Of the video.
            url: Where it is.

        Raises:
            InputError: The name is none of a video or sound file.
            queue.Full: Too many wait.
        """
        plain = check_name(name)
        with self.lock:
            if sum(job.state in ("uploading", "queued") for job in self.jobs.values()) >= self.limits.max_queue:
                raise queue.Full
            ended = [j for j in self.jobs.values() if j.state in ENDED]
            for old in sorted(ended, key=lambda j: j.created)[: max(len(self.jobs) + 1 - self.limits.max_jobs, 0)]:
                self._forget(old)
            job = Job(secrets.token_urlsafe(16), plain, self.folder, url)
            job.folder = self.folder / job.id
            job.folder.mkdir(parents=True)
            self.jobs[job.id] = job
        if url:
            self.start(job)
        return job

    def start(self, job: Job) -> None:
        """The video is there: wait for its turn."""
        job.state = "queued"
        job.changed += 1
        self.waiting.put(job)

    def remove(self, job: Job) -> None:
        """Cancel a job, and remove its files."""
        job.is_cancelled = True
        with self.lock:
            if job.state != "running":
                self._forget(job)

    def stop(self) -> None:
        """End the thread, after the snippet that it is at, and remove all files."""
        self.is_stopped.set()
        self.thread.join(30)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _forget(self, job: Job) -> None:
        self.jobs.pop(job.id, None)
        job.state = "cancelled" if job.state not in ENDED else job.state
        job.changed += 1
        shutil.rmtree(job.folder, ignore_errors=True)

    def _run(self) -> None:
        while not self.is_stopped.is_set():
            try:
                job = self.waiting.get(timeout=0.2)
            except queue.Empty:
                continue
            if job.is_cancelled:
                continue
            job.state = "running"
            job.changed += 1
            try:
                self._score(job)
                job.state = "done"
            except Stopped:
                job.state = "cancelled"
            except Exception as error:  # whatever it is, the server goes on
                text = describe_failure(job.name, error)
                job.error = printable(text.replace(str(job.folder) + "/", ""))
                job.state = "failed"
            job.changed += 1
            job.media.unlink(missing_ok=True)
            if job.is_cancelled:
                with self.lock:
                    self._forget(job)

    def _score(self, job: Job) -> None:
        if job.url:
            fetch_checked(job.url, job.media, self.limits, lambda: self._is_over(job))
        media = probe_file(job.media)
        job.seconds = media.duration_s
        if media.duration_s is not None and media.duration_s > 60 * self.limits.max_minutes:
            what = f"{job.name}: lasts {media.duration_s / 60:.0f} minutes"
            raise InputError(f"{what}; this server takes {self.limits.max_minutes:g} at most")

        def show(scores: np.ndarray) -> None:
            if self._is_over(job):
                raise Stopped
            job.curve = [round(float(v), 3) for v in scores.max(1)]
            job.done_s = len(scores) * self.model.predictor.grid.hop_s
            job.changed += 1

        file = MediaFile(job.media, Path(job.name).stem)
        scored = self.model.video_scorer.score(file, show)
        writer = ScoreFiles(job.folder / "result", self.rule, multiclass=self.model.predictor.multiclass)
        writer.prepare()
        job.summary = writer.write(scored)
        job.curve = [round(float(v), 3) for v in scored.scores.score.max(1)]
        job.done_s = float(scored.scores.end_s[-1])
        job.notes = tuple(printable(n.replace(str(job.folder) + "/", "")) for n in scored.notes)

    def _is_over(self, job: Job) -> bool:
        return job.is_cancelled or self.is_stopped.is_set()


def check_name(name: str) -> str:
    """A file's name without folders, of a video or sound file.

    Raises:
        InputError: It is none.

    Example:
        >>> check_name("C:/videos/clip 1.mp4")
        'clip 1.mp4'
    """
    plain = "".join(c for c in name.replace("\\", "/").split("/")[-1] if c.isprintable()).strip().lstrip(".")
    if len(plain.encode("utf-8", "surrogatepass")) > 100:
        plain = plain[:20] + plain[-10:]  # of at most four bytes each
    if not has_media_ending(plain) or Path(plain).stem in ("", "index"):
        raise InputError("name: expected that of a video or sound file, such as clip.mp4")
    return plain
