"""What a server takes, and from where."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
import urllib.request
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from mmcl.errors import InputError

CHUNK = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Of a server.

    Example:
        >>> Limits().max_queue
        100
    """

    max_mb: float = 2000.0
    """Size of a video [MB]."""
    max_minutes: float = 240.0
    """Length of a video [min]."""
    max_queue: int = 100
    """Videos that wait to be scored."""
    max_jobs: int = 500
    """Results that are kept; the oldest go first."""
    max_per_minute: int = 120
    """Videos that one client may send in a minute."""
    max_live: int = 2
    """Live sources at a time."""
    allow_private: bool = False
    """Fetch addresses of this machine and of private networks too."""

    def check(self) -> None:
        """Raises InputError where a limit is not above 0."""
        for name, value in vars(self).items():
            if not isinstance(value, bool) and value <= 0:
                raise InputError(f"--{name.replace('_', '-')} {value:g}: expected more than 0")


class Rate:
    """How often each client asks.

    Args:
        per_minute: Requests that are let through.

    Example:
        >>> rate = Rate(1)
        >>> rate.allows("a"), rate.allows("a"), rate.allows("b")
        (True, False, True)
    """

    def __init__(self, per_minute: int):
        self.per_minute, self._times = per_minute, {}  # type: ignore[var-annotated]

    def allows(self, client: str) -> bool:
        """Count a request; is it let through?"""
        now = time.monotonic()
        if len(self._times) > 10_000:
            self._times = {c: t for c, t in self._times.items() if t and t[-1] > now - 60}
        times: deque[float] = self._times.setdefault(client, deque())
        while times and times[0] < now - 60:
            times.popleft()
        if len(times) >= self.per_minute:
            return False
        times.append(now)
        return True


def check_address(host: str, port: int, allow_private: bool) -> list[Any]:
    """Where a host is, which may not be this machine or in a private network.

    Args:
        host: Its name.
        port: Of the service.
        allow_private: It may be.

    Raises:
        InputError: It is, or has no address.
    """
    try:
        found_at = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InputError(f"{host}: has no address ({error}); check the name") from error
    for *_, place in found_at:
        if not allow_private and not ipaddress.ip_address(str(place[0]).split("%")[0]).is_global:
            raise InputError(f"{host}: is this machine or in a private network, which this server does not read")
    return found_at


def fetch_checked(url: str, path: Path, limits: Limits, is_stopped: Callable[[], bool]) -> None:
    """Fetch a file; every address that is connected to is checked, also behind redirects.

    Args:
        url: http:// or https://.
        path: Where it goes.
        limits: Size and addresses.
        is_stopped: Asked between blocks.

    Raises:
        InputError: The address may not be read, does not answer, or the file is too large.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise InputError("url: expected http:// or https://")

    class Plain(http.client.HTTPConnection):
        def connect(self) -> None:
            (family, kind, proto, _, place), *_ = check_address(self.host, self.port, limits.allow_private)
            self.sock = socket.socket(family, kind, proto)
            self.sock.settimeout(30.0)
            self.sock.connect(place)

    class Encrypted(http.client.HTTPSConnection):
        def connect(self) -> None:
            Plain.connect(self)  # type: ignore[arg-type]
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)

    class ByHttp(urllib.request.HTTPHandler):
        def http_open(self, req):
            return self.do_open(Plain, req)

    class ByHttps(urllib.request.HTTPSHandler):
        def https_open(self, req):
            return self.do_open(Encrypted, req)

    opener = urllib.request.OpenerDirector()
    for handler in (ByHttp, ByHttps, urllib.request.HTTPRedirectHandler, urllib.request.HTTPErrorProcessor,
                    urllib.request.HTTPDefaultErrorHandler):  # fmt: skip
        opener.add_handler(handler())  # no files, no data:, no proxies of this machine
    try:
        with opener.open(url, timeout=30.0) as answer, open(path, "wb") as file:
            while block := answer.read(CHUNK):
                file.write(block)
                if file.tell() > limits.max_mb * 1e6:
                    raise InputError(f"url: the file is larger than {limits.max_mb:g} MB")
                if is_stopped():
                    raise InputError("url: stopped")
    except HTTPError as error:
        error.close()
        raise InputError(f"url: answers {error.code}") from error
    except (URLError, OSError, ValueError, http.client.HTTPException) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "reason", error)
        raise reason if isinstance(reason, InputError) else InputError(f"url: cannot be fetched ({reason})") from error
