"""Snippets of raw media: 16 frames at 24 fps, with the second of sound that ends with them."""

from __future__ import annotations

FRAMES_PER_SNIPPET, FPS = 16, 24


SNIPPET_S = FRAMES_PER_SNIPPET / FPS


AUDIO_HZ = 16_000


AUDIO_WINDOW_S = 1.0
