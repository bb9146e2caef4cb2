"""Base of all outputs."""

from __future__ import annotations

from typing import Any

Message = dict[str, Any]  # "type" is begin, snippet, event, gap, dropped or end; times in seconds and as UTC


class Output:
    """Takes messages, and neither waits for a receiver nor fails with it.

    Example:
        >>> Output().describe()
        ''
    """

    def send(self, message: Message) -> None:
        """Take a message."""

    def close(self) -> None:
        """Send what waits, for some seconds at most."""

    def describe(self) -> str:
        """What was lost, for the log; "" = nothing."""
        return ""
