"""Pages of scores in headless Chromium: how long the page of all recordings takes to open, and a frame while a long
video's curves are zoomed."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.measure import Benchmark, Row
from mmcl.evaluation.events import EventRule
from mmcl.inference.score_each import ScoredRecording
from mmcl.media.timing import SNIPPET_S
from mmcl.reporting.score_index import describe_row, write_index
from mmcl.reporting.score_page import write_page
from mmcl.types import SnippetScores

N_RECORDINGS, LONG_S = 2000, 7200.0
ZOOM = """() => new Promise(done => {
  const times = []; let last = performance.now(), k = 0;
  const next = () => { const now = performance.now(); times.push(now - last); last = now;
    zoom(k % 60 < 30 ? 0.9 : 1 / 0.9, end * 0.37); move(view[0] + (view[1] - view[0]) * 0.01);
    if (++k < 120) requestAnimationFrame(next); else done(times.slice(5)); };
  requestAnimationFrame(next); })"""


def made_up(name: str, n: int, seed: int) -> ScoredRecording:
    rng = np.random.default_rng(seed)
    start = np.arange(n) * SNIPPET_S
    score = {m: np.convolve(rng.random(n), np.ones(5) / 5, "same")[:, None] for m in ("joint", "visual", "audio")}
    joint = score.pop("joint")
    return ScoredRecording(SnippetScores(name, start, start + SNIPPET_S, joint, score, joint.max(0), {}, ("fight",)))


def pages(b: Benchmark) -> None:
    """Open and zoom."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        print("pages: no Chromium here")
        return
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as p:
        place, rule = Path(folder), EventRule()
        rows = [describe_row(made_up(f"cam/{i}", 200, i), rule, False, ("json", "png")) for i in range(N_RECORDINGS)]
        index = write_index(place, rows)
        (place / "long.mkv").write_bytes(bytes(1000))
        scores = made_up("long", round(LONG_S / SNIPPET_S), 0).scores
        long = write_page(place / "long.mkv", scores, place, rule, 0.0)
        browser = p.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        opened = []
        for _ in range(b.repeats):
            started = time.perf_counter()
            page.goto(index.as_uri())
            page.wait_for_function("document.querySelectorAll('.row').length > 5")
            opened.append(1e3 * (time.perf_counter() - started))
        low, median, high = np.percentile(opened, [25, 50, 75])
        b.report(Row("pages", f"open the page of {N_RECORDINGS} recordings", median, low, high, "ms"))
        page.goto(long.as_uri())
        low, median, high = np.percentile(page.evaluate(ZOOM), [50, 95, 100])
        b.report(Row("pages", "zoom two hours of curves, frame (50, 95, 100 %)", median, low, high, "ms"))
        browser.close()
