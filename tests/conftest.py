from __future__ import annotations

import contextlib
import faulthandler
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from clips import write_square
from support import SMALL, recipe

import mmcl
from mmcl.cli.main import main
from mmcl.datasets.sources.synthetic_sensors import make_recordings
from mmcl.training import train

torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that tests start: two workers share two cores
_cache = tempfile.TemporaryDirectory(prefix="mmcl-tests-")  # nothing goes into the user's
os.environ["MMCL_CACHE"] = _cache.name
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items):
    """The longest test first, so that no process waits for it at the end."""
    items.sort(key=lambda item: item.name != "test_commands_of_the_readme")


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report):
    """What fails is told at once: a suite that is stopped before its end has shown it."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\n{report.when} of {report.nodeid} failed:\n{report.longreprtext[-3000:]}", flush=True)


@pytest.fixture(scope="session")
def dataset_dir(tmp_path_factory) -> Path:
    """Made-up recordings in UTD-MHAD's layout: 8 subjects, 4 actions, 2 trials."""
    folder = tmp_path_factory.mktemp("made")
    make_recordings(folder, n_trials=2, actions=(1, 3, 13, 18))
    return folder


@pytest.fixture(scope="session")
def wrist_run(tmp_path_factory) -> Path:
    """Tables of one sensor in g, at 50 Hz for 4 s, with a manifest, and a run on them."""
    folder = tmp_path_factory.mktemp("wrist")
    rng, rows = np.random.default_rng(0), []
    for i in range(24):
        wild = i % 2
        x = rng.standard_normal((200, 3)) * (0.2 + wild) + [0, 0, 1]
        frame = pandas.DataFrame({"time_s": np.arange(200) / 50, **dict(zip("xyz", x.T, strict=True))})
        frame.to_csv(folder / f"{i}.csv", index=False)
        rows.append([("calm", "wild")[wild], f"g{i // 4}", f"{i}.csv"])
    pandas.DataFrame(rows, columns=["label", "group", "wrist"]).to_csv(folder / "own.csv", index=False)
    words = ["train", "recordings", "--data", str(folder / "own.csv"), "--out", str(folder / "run")]
    assert main([*words, "--model.dim", "16", "--optim.epochs", "2", "--trainer.tracker", "none"]) == 0
    return folder


@pytest.fixture(scope="session")
def utd_mhad() -> Path:
    folder = SHARED / "utd_mhad"
    if not folder.is_dir():
        pytest.skip("the real UTD-MHAD recordings are not here")
    return folder


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium here")
    driver = playwright.sync_playwright().start()
    chromium = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--no-zygote", "--disable-gpu"])
    yield chromium
    with within(60, give_up):
        chromium.close()
        driver.stop()


@contextlib.contextmanager
def within(seconds, handler):
    """Call the handler if the block takes longer."""
    signal.signal(signal.SIGALRM, handler)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def too_long(number, frame):
    raise TimeoutError("the page has not answered for two minutes")


def give_up(number, frame):
    """A browser that does not even close: this process ends, and pytest-xdist goes on with another."""
    faulthandler.dump_traceback(sys.__stderr__)
    os._exit(1)


@pytest.fixture
def page(browser):
    """A page of 1280 x 720; an error of a script on it fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, accept_downloads=True)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    with within(120, too_long):  # a page that never answers would hold up everything
        yield page
    with within(60, give_up):
        context.close()
    assert errors == []


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def class_folders(tmp_path_factory) -> Path:
    """Videos of two classes: a square that glides, and one that jumps; of six cameras, some of them silent."""
    folder = tmp_path_factory.mktemp("videos")
    for camera in range(6):
        for number in range(2):
            for name in ("calm", "wild"):
                place = folder / name / f"camera-{camera}"
                place.mkdir(parents=True, exist_ok=True)
                sound = camera % 3 != 0
                write_square(place / f"{name}{camera}{number}.mp4", name == "wild", 10 * camera + number, sound)
    return folder


@pytest.fixture(scope="session")
def video_model(class_folders, tmp_path_factory):
    """A small model of videos, picture and sound, whose context is bounded."""
    run = tmp_path_factory.mktemp("model") / "run"
    words = ["train", "events", "--data", str(class_folders), "--out", str(run), "--features.visual", "descriptors"]
    small = ["--optim.epochs", "1", "--model.dim", "8", "--trainer.tracker", "none", "--loader.batch-size", "4"]
    assert main([*words, *small, "--data.normal", "calm", "--model.attention-window", "2"]) == 0
    return mmcl.load(run, "cpu")


@pytest.fixture(scope="session")
def trained(dataset_dir, tmp_path_factory) -> Path:
    """A small run of streams; a second one of another seed lies beside it."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        config = recipe("utd-mhad-streams", {**SMALL, "optim.epochs": 1, "seed": seed})
        train(config, dataset_dir, folder / f"seed-{seed}")
    return folder / "seed-0"
