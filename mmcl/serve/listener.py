"""The socket that a server listens at."""

from __future__ import annotations

import socket

from mmcl.errors import InputError


def listen(host: str, port: int, option: str, backlog: int = 512) -> socket.socket:
    """A socket that listens.

    Args:
        host: Address of this machine.
        port: 0 = one that is free.
        option: Names it in errors.
        backlog: Connections that wait.

    Raises:
        InputError: It cannot listen there.

    Example:
        >>> with listen("127.0.0.1", 0, "--port 0") as listener:
        ...     listener.getsockname()[0]
        '127.0.0.1'
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(backlog)
    except (OSError, OverflowError) as error:
        listener.close()
        raise InputError(f"{option}: cannot listen there ({error})") from error
    return listener
