"""The page of a live source, and the messages that it shows as they come."""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response, StreamingResponse

from mmcl.live.outputs import Message, Output
from mmcl.serve.access import Access, protect
from mmcl.serve.listener import listen

N_KEPT = 6000  # messages of a source: an hour of snippets
POLL_S = 0.2
END_S = 5.0  # for the page's server to end


class RecentMessages(Output):
    """Keeps the latest messages of a source for those who look.

    Attributes:
        n_sent: Messages so far.
        is_over: None comes any more.
    """

    def __init__(self) -> None:
        self.messages: deque[Message] = deque(maxlen=N_KEPT)
        self.n_sent, self.is_over = 0, False

    def send(self, message: Message) -> None:
        """See ``Output.send``."""
        self.messages.append(message)
        self.n_sent += 1

    def since(self, n: int) -> tuple[list[Message], int]:
        """Messages behind the ``n``-th that are still kept, and how many there were in all."""
        total, kept = self.n_sent, list(self.messages)
        return kept[len(kept) - min(total - n, len(kept)) :], total


def stream_messages(
    recent: RecentMessages,
    is_gone: Callable[[], Awaitable[bool]],
    last: Callable[[], Message] = lambda: {"type": "state", "state": "ended"},
) -> StreamingResponse:
    """Server-sent events: the latest messages and those that come, until the source ends.

    Args:
        recent: Of the source.
        is_gone: Does nobody wait for them any more?
        last: The message behind all others.
    """

    async def stream() -> AsyncIterator[str]:
        seen = 0
        while not await is_gone():
            is_over = recent.is_over
            new, seen = recent.since(seen)
            if new:
                yield "".join(f"data: {json.dumps(message)}\n\n" for message in new)
            if is_over:
                yield f"data: {json.dumps(last())}\n\n"
                return
            await asyncio.sleep(POLL_S)

    return StreamingResponse(stream(), media_type="text/event-stream")


def live_page(messages: str) -> str:
    """HTML.

    Args:
        messages: Address of the server-sent events.
    """
    page = (Path(__file__).parent / "live.html").read_text(encoding="utf-8")
    return page.replace('"{{messages}}"', json.dumps(messages))


class LivePage(RecentMessages):
    """A server of one page, for ``mmcl watch``; only this machine reaches it, with the token of its address.

    Args:
        port: 0 = one that is free.

    Attributes:
        address: To be opened.

    Raises:
        InputError: The port is taken.
    """

    def __init__(self, port: int):
        super().__init__()
        token = secrets.token_urlsafe(24)
        self.listener = listen("127.0.0.1", port, f"--page {port}", backlog=64)
        self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}/?token={token}"
        config = uvicorn.Config(
            self._app(Access(token)), log_level="warning", timeout_graceful_shutdown=1, access_log=False
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, args=([self.listener],), daemon=True, name="page")
        self.thread.start()

    def close(self) -> None:
        """See ``Output.close``."""
        self.is_over = True
        self.server.should_exit = True
        self.thread.join(END_S)
        self.listener.close()

    def _app(self, access: Access) -> FastAPI:
        app = FastAPI(title="mmcl watch", docs_url=None, redoc_url=None, openapi_url=None)
        protect(app)

        @app.get("/")
        async def page(request: Request, token: str = "") -> Response:
            return access.answer(request, token, live_page("messages"))

        @app.get("/messages", dependencies=[Depends(access.check)])
        async def messages(request: Request) -> Any:
            return stream_messages(self, request.is_disconnected)

        return app
