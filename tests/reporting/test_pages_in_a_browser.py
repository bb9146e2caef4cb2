"""Score pages and the page of all recordings, clicked, typed and looked at in Chromium."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from clips import write_clip

from mmcl.api.scores import Scores
from mmcl.errors import FileError
from mmcl.evaluation.events import EventRule, find_events
from mmcl.inference.score_each import ScoredRecording
from mmcl.reporting.score_files import ScoreFiles
from mmcl.reporting.score_index import describe_row, write_index
from mmcl.types import Interval, SnippetScores

HOP_S = 2 / 3


def made_up(name: str, n: int, seed: int = 0, media=None, truth=()) -> ScoredRecording:
    rng = np.random.default_rng(seed)
    start = np.arange(n) * HOP_S
    score = {m: np.clip(np.convolve(rng.random(n), np.ones(5) / 5, "same"), 0, 1)[:, None] for m in "jva"}
    scores = SnippetScores(
        name, start, start + HOP_S, score["j"], {"visual": score["v"], "audio": score["a"]}, score["j"].max(0), {},
        ("fight",), truth,
    )  # fmt: skip
    return ScoredRecording(
        scores, media=media, has_picture=media is not None, notes=(f"{media}: has no sound",) * (seed % 5 == 1)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A scored clip of 20 s, and the page of all."""
    place = tmp_path_factory.mktemp("pages")
    clip = write_clip(place / "clip.mp4", 480)
    scored = made_up("day/clip", 30, 3, clip, (Interval(4.0, 8.0, "fight"),))
    writer = ScoreFiles(place / "out", EventRule(0.6, 0.5))
    writer.prepare()
    writer.write(scored)
    writer.finish({"day/broken": "broken.mp4: is empty; copy it again"})
    return place / "out", scored.scores


def events_in(page):
    return page.evaluate("events.map(e => [e.start_s, e.end_s, e.peak])")


def test_everything_is_on_one_screen_before_it_is_played(folder, page):
    page.goto((folder[0] / "day/clip.html").as_uri())
    page.wait_for_function("document.getElementById('player').readyState >= 1")
    for name in ("player", "chart", "events", "high"):
        box = page.locator(f"#{name}").bounding_box()
        assert box["y"] >= 0, name
        assert box["y"] + box["height"] <= 720, name
        assert box["height"] > (150 if name in ("player", "chart") else 5), name
    assert page.evaluate("document.documentElement.scrollHeight") <= 720
    assert page.locator("#player").get_attribute("poster").startswith("data:image/jpeg;base64,")
    shown = page.evaluate("""() => new Promise(done => { const i = new Image(); i.onload = () => {
        const c = document.createElement("canvas"); c.width = i.width; c.height = i.height;
        const x = c.getContext("2d"); x.drawImage(i, 0, 0);
        done(Math.max(...x.getImageData(0, 0, i.width, i.height).data.filter((_, k) => k % 4 < 3))); };
        i.src = document.getElementById("player").poster; })""")
    assert shown > 150  # no black rectangle


def test_the_threshold_redraws_events_as_the_tool_finds_them(folder, page):
    page.goto((folder[0] / "day/clip.html").as_uri())
    for high, low in ((0.6, 0.5), (0.55, 0.45), (0.7, 0.2), (1.0, 1.0), (0.0, 0.0)):
        page.evaluate(f"$('low').value = {low}; $('high').value = {high}; $('high').dispatchEvent(new Event('input'))")
        expected = [(e.start_s, e.end_s, e.peak) for e in find_events(folder[1], EventRule(high, low))]
        np.testing.assert_allclose(np.reshape(events_in(page), (-1, 3)), np.reshape(expected, (-1, 3)), atol=1e-3)
        assert page.locator("#events button").count() == len(expected)


def test_clicks_keys_zoom_and_export(folder, page):
    page.goto((folder[0] / "day/clip.html").as_uri())
    page.wait_for_function("document.getElementById('player').readyState >= 1")
    box = page.locator("#chart").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
    assert page.evaluate("player.currentTime") == pytest.approx(10.0, abs=0.1)
    page.keyboard.press("ArrowRight")
    assert page.evaluate("player.currentTime") == pytest.approx(10.667, abs=0.01)
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("player.currentTime") == pytest.approx(10.0, abs=0.01)
    events = events_in(page)
    assert len(events) >= 2
    page.evaluate("seek(0)")
    for start, *_ in (e for e in events if e[0] > 0.05):
        page.keyboard.press("n")
        assert page.evaluate("at") == pytest.approx(start, abs=1e-3)
    page.keyboard.press("p")
    assert page.evaluate("at") == pytest.approx(events[-2][0], abs=1e-3)
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 20)
    page.mouse.wheel(0, -400)
    low, high = page.evaluate("view")
    assert high - low == pytest.approx(20 / np.e, rel=0.01)
    assert low + (high - low) / 4 == pytest.approx(5.0, abs=0.1)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4 - 100, box["y"] + 20)
    page.mouse.up()
    assert page.evaluate("view[0]") > low
    page.keyboard.press("0")
    assert page.evaluate("view") == [0, 20.0]
    page.keyboard.press(" ")
    page.wait_for_function("!player.paused && player.currentTime > 0")
    page.keyboard.press(" ")
    page.keyboard.press("d")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 25, 31)"
    page.wait_for_function("document.querySelectorAll('#events canvas[data-drawn]').length > 0")
    with page.expect_download() as download:
        page.click("#csv")
    rows = list(csv.reader(io.StringIO(download.value.path().read_text())))
    assert rows[0] == ["start_s", "end_s", "label", "score"]
    np.testing.assert_allclose([[float(r[0]), float(r[1]), float(r[3])] for r in rows[1:]], events, atol=1e-3)
    with page.expect_download() as download:
        page.click("#vtt")
    assert download.value.path().read_text().startswith("WEBVTT\n\n00:00:")


def test_all_recordings_on_a_page(folder, page):
    page.goto((folder[0] / "index.html").as_uri())
    assert page.locator(".row").count() == 2
    assert "is empty; copy it again" in page.locator(".row", has_text="day/broken").inner_text()
    assert (
        page.locator(".row img").evaluate(
            "i => new Promise(d => i.complete ? d(i.naturalWidth) : i.onload = () => d(i.naturalWidth))"
        )
        > 100
    )
    page.keyboard.press("Enter")
    page.wait_for_url("**/day/clip.html")
    page.click("text=all recordings")
    page.wait_for_url("**/index.html")


def test_two_thousand_recordings(tmp_path, page):
    rule = EventRule()
    scored = [made_up(f"cam {i % 7}/{i:04d}", 200, i) for i in range(2000)]
    write_index(tmp_path, [describe_row(s, rule, False, ("json", "png")) for s in scored])
    page.goto((tmp_path / "index.html").as_uri())
    assert page.locator(".row").count() < 30  # only what is seen
    assert "2000 of 2000" in page.inner_text("#count")
    page.fill("#filter", "cam 3/ 17")
    names = [s.scores.name for s in scored if "cam 3/" in s.scores.name and "17" in s.scores.name]
    assert page.inner_text("#count").startswith(f"{len(names)} of 2000")
    page.fill("#filter", "")
    page.click("button[data-key=name]")
    assert page.evaluate("shown.map(r => r.name)") == sorted(s.scores.name for s in scored)
    page.click("button[data-key=n_events]")
    counts = page.evaluate("shown.map(r => r.n_events)")
    assert counts == sorted((len(find_events(s.scores, rule)) for s in scored), reverse=True)
    page.locator("#list").focus()
    page.keyboard.press("End")
    assert page.evaluate("chosen") == 1999
    assert page.locator(".row.at").is_visible()
    page.select_option("#kind", "problems")
    assert page.evaluate("shown.length") == 400


def test_rows_of_earlier_jobs_stay(tmp_path):
    for seed, name in enumerate(("a", "b", "a")):
        Scores(made_up(name, 20, seed)).save(tmp_path)
    html = (tmp_path / "index.html").read_text()
    rows = json.loads(html.split('id="content">')[1].split("</script>")[0])
    assert sorted(r["name"] for r in rows) == ["a", "b"]
    with pytest.raises(FileError, match="has the name of the page of all recordings"):
        Scores(made_up("index", 20)).save(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/index.html").write_text("<p>mine</p>")
    with pytest.raises(FileError, match="is no earlier index of scores"):
        Scores(made_up("a", 20)).save(tmp_path / "other")
    assert (tmp_path / "other/index.html").read_text() == "<p>mine</p>"


def test_names_are_no_code(tmp_path, page):
    name = '</script><script>window.hurt = 1</script><img src=x onerror="window.hurt = 1">'.replace("/", "")
    scored = made_up(name, 20)
    write_index(tmp_path, [describe_row(scored, EventRule(), False, ())])
    page.goto((tmp_path / "index.html").as_uri())
    assert page.locator(".row").count() == 1
    assert page.evaluate("window.hurt") is None
