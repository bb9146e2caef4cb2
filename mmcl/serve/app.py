"""The server's addresses."""

from __future__ import annotations

import asyncio
import json
import queue
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, Response, StreamingResponse
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect

import mmcl
from mmcl.api.model import Model
from mmcl.errors import InputError
from mmcl.evaluation.events import EventRule
from mmcl.media.find import has_media_ending
from mmcl.serve.access import Access, protect
from mmcl.serve.jobs import ENDED, Job, Jobs
from mmcl.serve.limits import Limits, Rate
from mmcl.serve.live import LiveJob, LiveJobs
from mmcl.serve.live_page import live_page, stream_messages

RESULTS = {"json": "application/json", "csv": "text/csv", "html": "text/html", "png": "image/png"}
POLL_S, PATIENCE_S = 0.2, 3600.0


class Address(BaseModel):
    """Of a video."""

    url: str = Field(max_length=2000)


class Source(BaseModel):
    """Of a stream."""

    source: str = Field(max_length=2000)


def create_app(model: Model, token: str, folder: Path, limits: Limits, rule: EventRule | None = None) -> FastAPI:
    """The server of a model.

    Args:
        model: That scores.
        token: Whoever has it may ask.
        folder: For the jobs' folders; removed at the end.
        limits: Of the server.
        rule: What an event is.
    """
    jobs = Jobs(model, folder, limits, rule or EventRule())
    live = LiveJobs(model, limits, jobs.rule)
    rate = Rate(limits.max_per_minute)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(live.stop)
        await asyncio.to_thread(jobs.stop)

    app = FastAPI(title="mmcl", version=mmcl.__version__, lifespan=lifespan, redoc_url=None)
    protect(app)
    access = Access(token)

    def find(job_id: str) -> Job:
        job = jobs.jobs.get(job_id)
        if job is None:
            raise HTTPException(404, "no such job")
        return job

    def create(request: Request, name: str, url: str = "") -> Job:
        if not rate.allows(request.client.host if request.client else ""):
            text = f"more than {limits.max_per_minute} videos a minute"
            raise HTTPException(429, text, {"Retry-After": "60"})
        try:
            return jobs.create(name, url)
        except queue.Full:
            raise HTTPException(503, f"{limits.max_queue} videos wait already", {"Retry-After": "30"}) from None
        except InputError as error:
            raise HTTPException(415, str(error)) from None

    @app.get("/", include_in_schema=False)
    async def page(request: Request, token: str = "") -> Response:
        return access.answer(request, token, (Path(__file__).parent / "page.html").read_text(encoding="utf-8"))

    @app.get("/api/model", dependencies=[Depends(access.check)])
    async def describe() -> dict[str, Any]:
        """What the model is, and what the server takes."""
        grid = model.predictor.grid
        taken = {"modalities": list(model.modalities), "classes": list(model.classes), "snippet_s": grid.hop_s}
        return {**taken, "limits": vars(limits), "rule": vars(jobs.rule), "version": mmcl.__version__}

    @app.get("/api/jobs", dependencies=[Depends(access.check)])
    async def list_jobs() -> list[dict[str, Any]]:
        """All jobs, the latest first."""
        return [job.to_dict() for job in sorted(jobs.jobs.values(), key=lambda j: -j.created)]

    @app.post("/api/jobs", status_code=201, dependencies=[Depends(access.check)])
    async def upload(request: Request, name: str) -> dict[str, Any]:
        """Score a video: its bytes are the request's body, its file's name the parameter ``name``."""
        most = limits.max_mb * 1e6
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > most:
            raise HTTPException(413, f"larger than {limits.max_mb:g} MB")
        job = create(request, name)
        try:
            n = 0
            with open(job.media, "wb") as file:
                async for block in request.stream():
                    n += len(block)
                    if n > most:
                        raise HTTPException(413, f"larger than {limits.max_mb:g} MB")
                    if jobs.is_stopped.is_set():
                        raise HTTPException(503, "the server stops")
                    await asyncio.to_thread(file.write, block)
        except ClientDisconnect:
            jobs.remove(job)
            raise HTTPException(400, "the upload broke off") from None
        except BaseException:
            jobs.remove(job)
            raise
        jobs.start(job)
        return job.to_dict()

    @app.post("/api/jobs/url", status_code=201, dependencies=[Depends(access.check)])
    async def fetch(request: Request, address: Address) -> dict[str, Any]:
        """Score the video at an address, which the server fetches."""
        parts = urlsplit(address.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise HTTPException(422, "url: expected http:// or https://")
        name = PurePosixPath(unquote(parts.path)).name or "video"
        return create(request, name if has_media_ending(name) else f"{name[:80]}.mp4", address.url).to_dict()

    @app.get("/api/jobs/{job_id}", dependencies=[Depends(access.check)])
    async def show(job_id: str) -> dict[str, Any]:
        """State, progress, curve so far, summary or error."""
        return find(job_id).to_dict()

    @app.delete("/api/jobs/{job_id}", status_code=204, dependencies=[Depends(access.check)])
    async def remove(job_id: str) -> None:
        """Cancel a job, and remove its files."""
        await asyncio.to_thread(jobs.remove, find(job_id))

    @app.get("/api/jobs/{job_id}/progress", dependencies=[Depends(access.check)])
    async def progress(request: Request, job_id: str) -> StreamingResponse:
        """Server-sent events: the job, whenever it has changed, until it has ended."""
        job = find(job_id)

        async def changes() -> AsyncIterator[str]:
            seen, waited = -1, 0.0
            while not jobs.is_stopped.is_set() and waited < PATIENCE_S and not await request.is_disconnected():
                if job.changed != seen:
                    seen, waited = job.changed, 0.0
                    yield f"data: {json.dumps(job.to_dict())}\n\n"
                    if job.state in ENDED:
                        return
                await asyncio.sleep(POLL_S)
                waited += POLL_S

        return StreamingResponse(changes(), media_type="text/event-stream")

    @app.get("/api/jobs/{job_id}/result.{ending}", dependencies=[Depends(access.check)])
    async def result(job_id: str, ending: str) -> FileResponse:
        """Scores and events: json, csv, html (the page) or png."""
        job = find(job_id)
        if ending not in RESULTS:
            raise HTTPException(404, f"expected one of {', '.join(RESULTS)}")
        path = job.folder / "result" / f"{Path(job.name).stem}.{ending}"
        if job.state != "done" or not path.is_file():
            raise HTTPException(409, f"the job is {job.state}" + f": {job.error}" * bool(job.error))
        return FileResponse(path, media_type=RESULTS[ending])

    def find_live(live_id: str) -> LiveJob:
        if live_id not in live.jobs:
            raise HTTPException(404, "no such live source")
        return live.jobs[live_id]

    @app.get("/api/live", dependencies=[Depends(access.check)])
    async def list_live() -> list[dict[str, Any]]:
        """Live sources."""
        return [job.to_dict() for job in live.jobs.values()]

    @app.post("/api/live", status_code=201, dependencies=[Depends(access.check)])
    async def watch(source: Source) -> dict[str, Any]:
        """Watch a stream (rtsp, http, https, rtmp)."""
        try:
            return (await asyncio.to_thread(live.create, source.source)).to_dict()
        except InputError as error:
            raise HTTPException(422, str(error)) from None

    @app.get("/api/live/{live_id}/messages", dependencies=[Depends(access.check)])
    async def messages(request: Request, live_id: str) -> StreamingResponse:
        """Server-sent events: the latest snippets, events and gaps, and those that come, until the source ends."""
        job = find_live(live_id)

        async def is_gone() -> bool:
            return jobs.is_stopped.is_set() or await request.is_disconnected()

        return stream_messages(job, is_gone, lambda: {"type": "state", **job.to_dict()})

    @app.get("/live/{live_id}", include_in_schema=False)
    async def show_live(request: Request, live_id: str, token: str = "") -> Response:
        return access.answer(request, token, live_page(f"/api/live/{find_live(live_id).id}/messages"))

    @app.delete("/api/live/{live_id}", status_code=204, dependencies=[Depends(access.check)])
    async def end_live(live_id: str) -> None:
        """Stop watching."""
        await asyncio.to_thread(find_live(live_id).stop)
        live.jobs.pop(live_id, None)

    return app
