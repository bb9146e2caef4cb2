"""A copy of a video with its scores drawn under the picture."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mmcl.evaluation.events import Event, EventRule, find_events
from mmcl.io import place_below
from mmcl.media.snippets import Snippet, read_snippets
from mmcl.media.timing import AUDIO_HZ, FPS, FRAMES_PER_SNIPPET, SNIPPET_S
from mmcl.media.writer import write_video
from mmcl.reporting.plots import score_strip
from mmcl.types import SnippetScores

SHORT_SIDE, STRIP = 360, 96  # pixels
CURSOR, ALARM, EDGE = (255, 255, 255), (226, 60, 40), 6


def write_overlay(
    path: Path, scores: SnippetScores, folder: Path, rule: EventRule, timeout_s: float, multiclass: bool = False
) -> Path:
    """Write ``NAME-scored.mp4``: the joint score with a cursor below the picture, a red edge around it during events.

    Mono sound, 24 fps; a few snippets at a time are in memory.

    Args:
        path: The media file.
        scores: Of its snippets.
        folder: For the copy.
        rule: What an event is.
        timeout_s: Seconds without progress after which the decoder is given up.
        multiclass: Classes exclude each other, so that there are no events.

    Returns:
        The copy's path.
    """
    media, snippets = read_snippets(path, SHORT_SIDE, timeout_s=timeout_s)
    out = place_below(folder, f"{scores.name}-scored.mp4")
    out.parent.mkdir(parents=True, exist_ok=True)
    events = find_events(scores, rule, multiclass)
    if media.audio is None:
        write_video(out, _frames(snippets, scores, rule, events), FPS)
        return out
    for_picture, for_sound = itertools.tee(snippets)
    write_video(out, _frames(for_picture, scores, rule, events), FPS, _sound(for_sound), AUDIO_HZ)
    return out


def _frames(
    snippets: Iterator[Snippet], scores: SnippetScores, rule: EventRule, events: Sequence[Event]
) -> Iterator[np.ndarray]:
    strip = None
    for i, snippet in enumerate(snippets):
        assert snippet.frames is not None
        height, width = (side // 2 * 2 for side in snippet.frames.shape[1:3])
        if strip is None:
            strip = score_strip(scores, rule.high, width, STRIP)
        for k, frame in enumerate(snippet.frames):
            now_s = (i * FRAMES_PER_SNIPPET + k) / FPS
            page = np.concatenate([frame[:height, :width], strip])
            x = min(int(now_s / scores.end_s[-1] * width), width - 2)
            page[height:, x : x + 2] = CURSOR
            if any(e.start_s <= now_s < e.end_s for e in events):
                page[:EDGE], page[height - EDGE : height] = ALARM, ALARM
                page[:height, :EDGE] = page[:height, -EDGE:] = ALARM
            yield page


def _sound(snippets: Iterator[Snippet]) -> Iterator[np.ndarray]:
    end = 0
    for i, snippet in enumerate(snippets):
        if snippet.audio is None:
            return
        start, end = end, round((i + 1) * SNIPPET_S * AUDIO_HZ)
        yield snippet.audio[start - end :]
