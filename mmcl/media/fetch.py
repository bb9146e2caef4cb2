"""Media files at addresses, fetched once."""

from __future__ import annotations

import hashlib
import re
import urllib.request
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from mmcl.errors import InputError
from mmcl.io import atomic_write, first_line
from mmcl.media.find import has_media_ending

TIMEOUT_S = 60.0
CHUNK = 1 << 20


def is_url(text: str) -> bool:
    """Is it an address, not a path?

    Example:
        >>> is_url("https://example.org/a.mp4"), is_url("a.mp4")
        (True, False)
    """
    return text.startswith(("http://", "https://"))


def place_of_url(url: str, folder: Path) -> Path:
    """Where the file of an address is kept.

    Args:
        url: The address.
        folder: Of fetched files.

    Example:
        >>> place_of_url("https://example.org/a.mp4", Path("f")).name
        'a-a8b8a42b.mp4'
    """
    name = PurePosixPath(urlsplit(url).path)
    ending = name.suffix if has_media_ending(name.name) else ".media"
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", name.stem)[:80] or "file"
    return folder / f"{stem}-{hashlib.sha256(url.encode()).hexdigest()[:8]}{ending}"


def fetch(url: str, path: Path) -> None:
    """Fetch a file, whole or not at all, where it is not there yet.

    Args:
        url: The address.
        path: Where it goes.

    Raises:
        InputError: The address answers with an error, or does not answer.
        FileError: The file cannot be written.
    """
    if path.exists():
        return

    try:
        answer = urllib.request.urlopen(url, timeout=TIMEOUT_S)
    except HTTPError as error:
        error.close()
        raise InputError(f"{url}: answers {error.code} {error.reason}; check the address") from error
    except (URLError, OSError, ValueError) as error:
        reason = first_line(Exception(str(getattr(error, "reason", error))))
        raise InputError(f"{url}: cannot be fetched ({reason}); check the address") from error

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            while chunk := _read(answer, url):
                file.write(chunk)
            expected = answer.headers.get("Content-Length")
            if expected is not None and file.tell() != int(expected):
                raise InputError(f"{url}: ended after {file.tell()} of {expected} bytes; try again")

    with answer:
        atomic_write(path, write)


def _read(answer: IO[bytes], url: str) -> bytes:
    try:
        return answer.read(CHUNK)
    except (OSError, HTTPException) as error:
        raise InputError(f"{url}: broke off ({first_line(error)}); try again") from error
