"""What a file claims of its length, held against its size: time stamps are numbers that anybody can write."""

from __future__ import annotations

from mmcl.media.completeness import ClockLeap, Truncated, Unreadable
from mmcl.media.probe import Media

MAX_STEP_BACK_S, MAX_STEP_AHEAD_S = 1.0, 600.0  # leaps of a stream's clock beyond these are not believed
LOST_S, LOST_SHARE = 1.0, 0.02  # what may be missing at the end before a file counts as truncated
LONGER_S = 10.0  # than its header says, and twice that
EXACT = ("wav", "w64", "aiff", "caf", "flac", "mov", "matroska", "webm")  # formats whose header counts, not guesses


def check_timestamps(what: str, expected_s: float, at_s: float, media: Media) -> None:
    """Joined files begin their clocks anew, damaged ones leap: neither says when what is seen was.

    Args:
        what: "picture" or "sound".
        expected_s: Where the clock should be [s].
        at_s: Where it is [s].
        media: The file.

    Raises:
        Unreadable: It leaps (ClockLeap), or is beyond what a file of this size can hold.
    """
    if at_s < expected_s - MAX_STEP_BACK_S or at_s > expected_s + MAX_STEP_AHEAD_S:
        raise ClockLeap(
            f"the clock of its {what} leaps from {expected_s:.1f} to {at_s:.1f} s",
            "write it anew with a video tool, joined files one by one",
        )
    if at_s > media.limit_s:
        raise Unreadable(
            f"its {what} claims to last more than {media.limit_s:.0f} s, too much for a file of its size",
            "write it anew with a video tool, or cut it into parts",
        )


def check_duration(media: Media, end_s: float) -> None:
    """The picture, or the sound of a file without, lasts as long as the file says; an mp4 not much longer either.

    Args:
        media: The file.
        end_s: Where the last frame or sample ends [s].

    Raises:
        Unreadable: It ends long before or after.
    """
    v, a = media.video, media.audio
    if v is not None:
        claimed = v.duration_s
    else:
        exact = any(f in EXACT for f in media.format.split(","))
        claimed = (a.duration_s if a is not None and a.duration_s else media.duration_s) if exact else None
    if claimed and "matroska" in media.format.split(","):
        claimed -= max(media.start_s, 0.0)  # it says where it ends, not how long it lasts
    if claimed and end_s < claimed - max(LOST_S, LOST_SHARE * claimed):
        raise Truncated(f"ends after {end_s:.1f} of {claimed:.1f} s: it is truncated")
    if claimed and "mov" in media.format.split(",") and end_s > 2 * claimed + LONGER_S:
        raise Unreadable(
            f"lasts {end_s:.1f} s by its time stamps and {claimed:.1f} s by its header",
            "write it anew with a video tool",
        )
