"""Who may ask a server: whoever has its token."""

from __future__ import annotations

import secrets
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

COOKIE = "mmcl_token"
PAGE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: 'self'; "
    "media-src data: 'self'; connect-src 'self'"
)


class Access:
    """Checks requests against a token, in a header or in the cookie of a page that was opened with it.

    Args:
        token: Whoever has it may ask.
    """

    def __init__(self, token: str):
        self.token = token.encode()

    def is_known(self, request: Request) -> bool:
        """Does a request bring the token?"""
        header = request.headers.get("authorization", "")
        given = header[7:] if header.lower().startswith("bearer ") else request.cookies.get(COOKIE, "")
        return secrets.compare_digest(given.encode("utf-8", "replace"), self.token)

    async def check(self, request: Request) -> None:
        """A dependency of addresses for programs.

        Raises:
            HTTPException: 401, the token is not there.
        """
        if not self.is_known(request):
            raise HTTPException(401, "expected the header 'Authorization: Bearer TOKEN'")

    def answer(self, request: Request, token: str, page: str) -> Response:
        """A page for those who have the token; one that comes in the address goes into a cookie, so that it stays in
        no history.

        Args:
            request: For the page.
            token: Of its address, "" without.
            page: HTML.
        """
        if token:
            answer = RedirectResponse(request.url.path, 303)
            answer.set_cookie(COOKIE, token, httponly=True, samesite="strict")
            return answer
        if not self.is_known(request):
            return HTMLResponse("<p>Open the address that the server printed, with its token.</p>", 401)
        return HTMLResponse(page)


def protect(app: FastAPI) -> None:
    """Headers that keep pages from loading anything foreign, and errors that say nothing about the server.

    Args:
        app: Is changed.
    """

    @app.middleware("http")
    async def add_headers(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-store"
        if response.headers.get("content-type", "").startswith("text/html") and request.url.path != "/docs":
            response.headers["Content-Security-Policy"] = PAGE_POLICY
        return response

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": f"unexpected {type(error).__name__}"}, 500)
