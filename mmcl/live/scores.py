"""Scores of snippets as they come, equal to those of the recorded file where the network's context is bounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mmcl.features.extractor_set import ExtractorSet
from mmcl.inference.predictor import Predictor
from mmcl.inference.videos import score_features
from mmcl.live.reader import LiveSnippet
from mmcl.media.probe import Media
from mmcl.media.timing import SNIPPET_S

WINDOW_S = 32.0  # what a network that attends to the whole recording is given


@dataclass(frozen=True)
class LiveScore:
    """Scores of one snippet.

    Attributes:
        start_s: From the begin of the whole [s].
        end_s: The same.
        score: ``(class,)``, joint.
        modality_score: The same of each modality.
        arrived: When the snippet was complete (``time.monotonic``).
    """

    start_s: float
    end_s: float
    score: np.ndarray
    modality_score: dict[str, np.ndarray]
    arrived: float


class LiveScores:
    """Features and scores of a stream's snippets.

    A snippet is scored once the network's context behind it is there. A network that attends to whole recordings is
    given the last ``WINDOW_S`` seconds, and scores the newest snippet.

    Args:
        predictor: Of a run.
        extractors: That made its training features.

    Attributes:
        context: Snippets on either side that a score depends on; None = all.
        delay_s: From a snippet's end to when its score can be computed [s].
    """

    def __init__(self, predictor: Predictor, extractors: ExtractorSet):
        self.predictor, self.extractors = predictor, extractors
        self.context: int | None = getattr(predictor.network, "context", None)
        self.delay_s = (self.context or 0) * SNIPPET_S
        self.media: Media | None = None
        self._rows: list[dict[str, np.ndarray]] = []  # features of the latest snippets
        self._snippets: list[LiveSnippet] = []
        self._n_scored = 0  # of those

    def begin(self, media: Media) -> None:
        """A segment begins.

        Args:
            media: What it holds.
        """
        self.media = media
        self._rows, self._snippets, self._n_scored = [], [], 0

    def push(self, snippets: Sequence[LiveSnippet]) -> list[LiveScore]:
        """Take snippets that follow the latest one.

        Args:
            snippets: One or more.

        Returns:
            Scores that are known now.
        """
        self._rows += self._extract(snippets)
        self._snippets += snippets
        ready = len(self._rows) - (self.context or 0)
        scores = self._score(ready)
        kept = 2 * self.context if self.context is not None else round(WINDOW_S / SNIPPET_S)
        surplus = max(len(self._rows) - kept, 0)
        surplus = min(surplus, max(self._n_scored - (self.context or 0), 0)) if self.context is not None else surplus
        del self._rows[:surplus], self._snippets[:surplus]
        self._n_scored -= surplus
        return scores

    def flush(self) -> list[LiveScore]:
        """A segment ends: the scores of its last snippets, as at the end of a file."""
        scores = self._score(len(self._rows))
        self._rows, self._snippets, self._n_scored = [], [], 0
        return scores

    def _score(self, stop: int) -> list[LiveScore]:
        """Scores of the snippets up to ``stop`` that have none."""
        if stop <= self._n_scored:
            return []
        features = {m: np.stack([row[m] for row in self._rows]) for m in self._rows[0]}
        scores = score_features("stream", features, self.predictor)
        ready = [
            LiveScore(
                self._snippets[i].start_s,
                self._snippets[i].start_s + SNIPPET_S,
                scores.score[i],
                {m: s[i] for m, s in scores.modality_score.items()},
                self._snippets[i].arrived,
            )
            for i in range(self._n_scored, stop)
        ]
        self._n_scored = stop
        return ready

    @torch.inference_mode()
    def _extract(self, snippets: Sequence[LiveSnippet]) -> list[dict[str, np.ndarray]]:
        """Of each snippet its features by modality, visual ``(crop, channel)``, audio ``(channel,)``."""
        features: dict[str, np.ndarray] = {}
        device = self.extractors.device
        for m, extractors in self.extractors.parts.items():
            if (snippets[0].audio is None) if m == "audio" else not snippets[0].frames:
                continue
            outputs = []
            for extractor in extractors:
                if m == "audio":
                    x = np.stack([s.audio for s in snippets if s.audio is not None])
                else:
                    x = np.stack([s.frames[getattr(extractor, "short_side", 16)] for s in snippets])
                outputs.append(extractor(torch.from_numpy(x).to(device)).float().cpu().numpy())
            features[m] = outputs[0] if len(outputs) == 1 else np.concatenate(outputs, -1)
        return [{m: x[i] for m, x in features.items()} for i in range(len(snippets))]


def sides_of(extractors: ExtractorSet) -> list[int]:
    """Shorter sides of the picture that extractors take.

    Args:
        extractors: Of a run.
    """
    return sorted({getattr(e, "short_side", 16) for e in extractors.parts.get("visual", ())})
