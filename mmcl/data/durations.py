"""Modalities of a recording last equally long, and its events lie within it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mmcl.errors import InputError
from mmcl.types import Interval


def check_events(events: Iterable[Interval], duration_s: float, where: str) -> None:
    """Events lie within their recording.

    Args:
        events: Of the recording.
        duration_s: Its length [s].
        where: Names it in errors.

    Raises:
        InputError: One begins behind the end, or ends far behind it.
    """
    for event in events:
        if event.start_s >= duration_s or event.end_s > duration_s + max(2.0, 0.1 * duration_s):
            raise InputError(
                f"{where}: an event from {event.start_s:g} to {event.end_s:g} s, but it lasts "
                f"{duration_s:.1f} s; are they in seconds?"
            )


def check_durations(signal: Mapping[str, Any], rate_hz: Mapping[str, float], where: str) -> None:
    """Modalities of a recording last about equally long.

    Args:
        signal: ``{modality: (frame, ...)}``.
        rate_hz: Samples a second of each [Hz].
        where: Names the recording in errors.

    Raises:
        InputError: They do not.
    """
    seconds = {m: len(x) / rate_hz[m] for m, x in signal.items()}
    if max(seconds.values()) - min(seconds.values()) > max(1.0, 0.1 * max(seconds.values())):
        durations = ", ".join(f"{m} {s:.1f} s at {rate_hz[m]:g} Hz" for m, s in seconds.items())
        raise InputError(f"{where}: {durations} do not match to 1 s or a tenth; check the rates, or cut both alike")
