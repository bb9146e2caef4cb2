"""A real server: uploads at once, odd requests, limits, addresses, the page in a browser, a stop in the middle."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import socket
import threading
import time
from urllib.parse import quote

import numpy as np
import pytest
from clips import write_clip
from senders import http_folder, http_stream
from server_process import TOKEN, Server

from mmcl.cli.main import main


@pytest.fixture(scope="module")
def server(video_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tmp")
    running = Server(video_model.folder, folder, "--max-mb", "2", "--max-minutes", "1", "--max-queue", "30")
    yield running
    assert "Traceback" not in running.stop()
    assert running.process.returncode in (0, 143, -15)
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip") / "größe #1.mp4", 120)


def test_upload_progress_and_results(server, video_model, clip):
    status, job = server.upload(clip)
    assert status == 201
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", f"/api/jobs/{job['id']}/progress", headers={"Authorization": f"Bearer {TOKEN}"})
    stream = connection.getresponse()
    assert stream.headers["content-type"].startswith("text/event-stream")
    states = [json.loads(line[6:]) for line in stream.read().decode().splitlines() if line.startswith("data: ")]
    connection.close()
    assert states[-1]["state"] == "done"
    expected = video_model.score(clip)
    status, result = server.ask("GET", f"/api/jobs/{job['id']}/result.json")
    assert status == 200
    mine, theirs = (np.array([s["joint"] for s in x["snippets"]]) for x in (result, expected.to_dict()))
    np.testing.assert_allclose(mine, theirs, atol=2e-6)
    status, page = server.ask("GET", f"/api/jobs/{job['id']}/result.html")
    assert status == 200
    assert b'<canvas id="chart"' in page
    assert server.ask("GET", f"/api/jobs/{job['id']}/result.csv")[1].startswith(b"start_s,end_s,joint")
    assert server.ask("DELETE", f"/api/jobs/{job['id']}")[0] == 204
    assert server.ask("GET", f"/api/jobs/{job['id']}")[0] == 404


def test_forty_clients_at_once(server, clip):
    """All are served, or refused because the queue is full."""
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda n: server.upload(clip, f"{n}.mp4"), range(40)))
    statuses = [status for status, _ in answers]
    assert set(statuses) <= {201, 503}
    assert statuses.count(201) >= 30
    for status, job in answers:
        if status == 201:
            assert server.wait(job["id"], 120)["state"] == "done"
            server.ask("DELETE", f"/api/jobs/{job['id']}")


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], "é"])
def test_wrong_tokens(server, token):
    for method, path in (("GET", "/api/jobs"), ("POST", "/api/jobs?name=a.mp4"), ("GET", "/api/model"), ("GET", "/")):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.request(method, path, headers={"Authorization": f"Bearer {token}".encode()})
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == 401
        assert TOKEN.encode() not in content
        connection.close()


def test_what_is_no_video(server, trained, tmp_path):
    for name in ("a.txt", "", "../../etc/passwd", "a.mp4/..", ".mp4", "index.mp4"):
        assert server.ask("POST", f"/api/jobs?name={quote(name)}", b"x")[0] == 415
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").touch()
    for name in ("text.mp4", "empty.mp4"):
        _, job = server.upload(tmp_path / name)
        ended = server.wait(job["id"])
        assert ended["state"] == "failed"
        assert ended["error"].startswith(f"{name}: ")
        assert "mmcl-serve" not in ended["error"]
        status, answer = server.ask("GET", f"/api/jobs/{job['id']}/result.json")
        assert status == 409
        assert "failed" in answer["detail"]
    assert server.ask("GET", "/api/jobs/nothing")[0] == 404
    assert server.ask("GET", "/api/jobs/../model")[0] in (200, 404)
    assert server.ask("GET", f"/api/jobs/{job['id']}/result.pkl")[0] == 404


def test_limits_of_size_and_length(server, tmp_path):
    status, answer = server.ask("POST", "/api/jobs?name=big.mp4", bytes(2_100_000))
    assert status == 413
    assert "larger than 2 MB" in answer["detail"]

    def endless():
        while True:
            yield bytes(100_000)

    with socket.create_connection(("127.0.0.1", server.port)) as s:  # 10 GB are claimed
        s.sendall(
            f"POST /api/jobs?name=a.mp4 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
            "Content-Length: 10000000000\r\n\r\n".encode()
        )
        assert b" 413 " in s.recv(4096)
    try:
        status, _ = server.ask("POST", "/api/jobs?name=a.mp4", endless(), **{"Transfer-Encoding": "chunked"})
        assert status == 413
    except (ConnectionError, http.client.HTTPException):
        pass  # closed while it was sent
    long = write_clip(tmp_path / "long.mp4", 65, fps=1, audio=None)
    _, job = server.upload(long)
    assert "lasts 1 minutes; this server takes 1 at most" in server.wait(job["id"])["error"]
    assert all(j["state"] != "uploading" for j in server.ask("GET", "/api/jobs")[1])


def test_a_client_that_goes_away_leaves_nothing(server):
    before = {j["id"] for j in server.ask("GET", "/api/jobs")[1]}
    with socket.create_connection(("127.0.0.1", server.port)) as s:
        s.sendall(
            f"POST /api/jobs?name=a.mp4 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
            "Content-Length: 1000000\r\n\r\n".encode()
            + bytes(1000)
        )
        time.sleep(0.5)
    until = time.monotonic() + 10
    while {j["id"] for j in server.ask("GET", "/api/jobs")[1]} != before:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_thousand_odd_requests(server):
    """None crashes the server, and nothing of its files or its token is in an answer."""
    rng = np.random.default_rng(0)
    paths = [
        "/api/jobs",
        "/api/jobs/url",
        "/api/model",
        "/",
        "/api/jobs/x/result.json",
        "/docs",
        "/openapi.json",
        "/%00",
        "//etc",
    ]
    for n in range(1000):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as s:
            kind = n % 5
            path = paths[int(rng.integers(len(paths)))]
            method = rng.choice(["GET", "POST", "PUT", "DELETE", "BREW"])
            head = f"{method} {path}?name={'%ff' * int(rng.integers(3))} HTTP/1.1\r\n"
            if kind == 0:
                request = rng.integers(0, 256, 200, dtype=np.uint8).tobytes() + b"\r\n\r\n"
            elif kind == 1:
                request = head.encode() + b"Content-Length: -5\r\nHost: x\r\n\r\n"
            elif kind == 2:
                request = head.encode() + b"Host: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n"
            elif kind == 3:
                body = b'{"url": ' + bytes(rng.integers(32, 127, 30, dtype=np.uint8))
                request = (
                    head.encode()
                    + f"Host: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n".encode()
                )
                request += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
            else:
                request = (
                    head.encode() + f"Host: x\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n".encode()
                )
            try:
                s.sendall(request)
                s.shutdown(socket.SHUT_WR)
                answer = s.recv(1 << 16)
            except OSError:
                continue
            assert TOKEN.encode() not in answer
            assert b"/tmp" not in answer
            assert b" 500 " not in answer[:20], (request[:200], answer[:500])
    assert server.process.poll() is None
    assert server.ask("GET", "/api/model")[0] == 200


def test_addresses_of_this_machine_are_not_fetched(server, clip):
    with http_folder(clip.parent) as address:
        for url in (f"{address}/a.mp4", "http://localhost:1/a.mp4", "http://[::1]/a.mp4", "http://10.0.0.1/a.mp4",
                    "http://169.254.169.254/a.mp4", "http://0.0.0.0/a.mp4"):  # fmt: skip
            status, job = server.ask(
                "POST", "/api/jobs/url", json.dumps({"url": url}), **{"Content-Type": "application/json"}
            )
            assert status == 201
            ended = server.wait(job["id"])
            assert ended["state"] == "failed"
            assert "this machine or in a private network" in ended["error"], url
    body = json.dumps({"source": "rtsp://127.0.0.1/camera"})
    status, answer = server.ask("POST", "/api/live", body, **{"Content-Type": "application/json"})
    assert (status, "private network" in answer["detail"]) == (422, True)
    for url in ("file:///etc/passwd", "ftp://x/a.mp4", "nonsense", "http:///a"):
        body = json.dumps({"url": url})
        assert server.ask("POST", "/api/jobs/url", body, **{"Content-Type": "application/json"})[0] == 422


def test_an_address_is_fetched_where_that_is_allowed(video_model, clip, tmp_path):
    running = Server(video_model.folder, tmp_path, "--allow-private")
    try:
        with http_folder(clip.parent) as address:
            body = json.dumps({"url": f"{address}/{quote(clip.name)}"})
            _, job = running.ask("POST", "/api/jobs/url", body, **{"Content-Type": "application/json"})
            assert running.wait(job["id"])["state"] == "done"
            body = json.dumps({"url": f"{address}/nothing.mp4"})
            _, job = running.ask("POST", "/api/jobs/url", body, **{"Content-Type": "application/json"})
            assert "url: answers 404" in running.wait(job["id"])["error"]
    finally:
        running.stop()


def test_the_page(server, page, clip, tmp_path):
    page.goto(server.address)
    page.wait_for_url(f"http://127.0.0.1:{server.port}/")  # the token is in no address any more
    page.wait_for_selector("#about:not(:empty)")
    (tmp_path / "bad.mp4").write_text("no video")
    page.set_input_files("#file", [str(clip), str(tmp_path / "bad.mp4")])
    page.wait_for_selector('.job[data-state="done"] >> text=größe #1.mp4', timeout=60_000)
    page.wait_for_selector('.job[data-state="failed"] >> text=bad.mp4: ', timeout=60_000)
    done = page.locator('.job[data-state="done"]', has_text="größe #1.mp4").first
    with page.context.expect_page() as opened:
        done.locator("text=page").first.click()
    opened.value.wait_for_selector("#count:has-text('event')")
    assert opened.value.locator("#chart").bounding_box()["height"] > 100
    page.fill("#url", "http://127.0.0.1:1/only-here.mp4")
    page.click("text=Score")
    failed = page.locator('.job[data-state="failed"]', has_text="only-here.mp4")
    failed.locator("text=private network").wait_for(timeout=30_000)
    identity = done.get_attribute("data-id")
    this = page.locator(f'.job[data-id="{identity}"]')
    this.locator("button").click()
    this.wait_for(state="detached")
    assert failed.count() == 1
    assert server.ask("GET", f"/api/jobs/{identity}")[0] == 404


def test_the_page_watches_a_stream(video_model, page, tmp_path):
    clip = write_clip(tmp_path / "clip.ts", 24 * 8, gop=24, options={"bf": "0"})
    (tmp_path / "tmp").mkdir()
    running, goes_on = Server(video_model.folder, tmp_path / "tmp", "--allow-private"), threading.Event()

    def write(send, number):
        send(clip.read_bytes())
        goes_on.wait(60)

    try:
        with http_stream(write) as address:
            page.goto(running.address)
            page.fill("#source", "nothing://x")
            page.click("button:text-is('Watch')")
            page.wait_for_selector("#problem:has-text('expected one of')")
            page.fill("#source", address)
            page.click("button:text-is('Watch')")
            page.wait_for_selector(".live[data-state='running']")
            with page.context.expect_page() as opened:
                page.click(".live >> text=curve and events")
            opened.value.wait_for_selector(f"h1:has-text('{address}')", timeout=30_000)
            opened.value.wait_for_selector("#now:has-text('0.')", timeout=30_000)
            page.click(".live >> button")
            page.wait_for_selector(".live", state="detached")
            goes_on.set()
    finally:
        goes_on.set()
        running.stop()


def test_a_stop_in_the_middle_leaves_no_files(video_model, tmp_path):
    long = write_clip(tmp_path / "long.mp4", 24 * 300)
    (tmp_path / "tmp").mkdir()
    running = Server(video_model.folder, tmp_path / "tmp")
    try:
        _, job = running.upload(long)
        for _ in range(5):
            running.upload(long)
        until = time.monotonic() + 60
        while not running.ask("GET", f"/api/jobs/{job['id']}")[1]["curve"]:  # it grows while it is scored
            assert time.monotonic() < until
            time.sleep(0.02)
        error = running.stop()
    finally:
        running.process.kill()
    assert "Traceback" not in error
    assert list((tmp_path / "tmp").iterdir()) == []


def test_options(video_model, trained, capsys):
    assert main(["serve", str(video_model.folder), "--host", "0.0.0.0"]) == 1
    assert "others can reach it; give --token" in capsys.readouterr().err
    assert main(["serve", str(trained)]) == 1
    assert "videos are cut into snippets" in capsys.readouterr().err
    assert main(["serve", str(video_model.folder), "--max-mb", "0"]) == 1
    assert "--max-mb 0: expected more than 0" in capsys.readouterr().err
