"""What a run's page shows: sections of pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        alt: What it shows.
        png: Its bytes.
        link: Page that it leads to, "" = none.
        frame: JPEG that is shown beside it, None = none.
    """

    alt: str
    png: bytes
    link: str = ""
    frame: bytes | None = None

    @property
    def data(self) -> str:
        """The picture for a page."""
        return base64.b64encode(self.png).decode()

    @property
    def frame_data(self) -> str:
        """The frame for a page."""
        return "" if self.frame is None else base64.b64encode(self.frame).decode()


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        title: Its heading.
        note: Below that.
        images: Its pictures.

    Example:
        >>> Section("Curves", "Losses over epochs.", []).title
        'Curves'
    """

    title: str
    note: str
    images: Sequence[Picture]
