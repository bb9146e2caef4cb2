"""Models of earlier versions load, score and are fine-tuned as they were then.

``fixtures/models_v0.tar.xz`` was made by version 0 (no ``schema_version``): small runs of streams and of recognition, a
pre-trained run, an imported MACIL-SD and a shared folder, with what that version's code scored and trained.
"""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from mmcl.datasets import get_dataset, load_splits
from mmcl.datasets.sources.synthetic_sensors import make_recordings
from mmcl.experiments.finetune import finetune
from mmcl.inference import embed, load_predictor
from mmcl.runs.model import load_model
from mmcl.runs.run_dir import read_run
from mmcl.training import train
from mmcl.types import Recording

FIXTURE = Path(__file__).parents[1] / "fixtures" / "models_v0.tar.xz"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    with tarfile.open(FIXTURE) as tar:
        tar.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    make_recordings(folder, n_trials=2, actions=(1, 3, 13, 18))
    return folder


@pytest.fixture(scope="module")
def expected(models):
    return np.load(models / "expected.npz"), json.loads((models / "expected.json").read_text())


@pytest.fixture(scope="module")
def recordings(data):
    dataset = get_dataset("utd-mhad")
    test = load_splits(dataset, data, dataset.default_config().data, splits=("test",)).test
    by_trial = sorted((r for r in test if r.group in ("2", "4")), key=_number)
    return by_trial[:6]


def _number(recording):
    return [int(part[1:]) for part in recording.name.split("_")]


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


def test_fixture_is_small():
    assert FIXTURE.stat().st_size < 1_000_000


@pytest.mark.parametrize("name", ["streams", "recognition", "shared"])
def test_scores(name, models, expected, recordings):
    for i, scores in enumerate(load_predictor(models / name, "cpu").predict(recordings)):
        close(scores.score, expected[0][f"{name}/{i}/joint"])
        close(scores.bag_score, expected[0][f"{name}/{i}/bag"])
        for m, score in scores.modality_score.items():
            close(score, expected[0][f"{name}/{i}/{m}"])


def test_embeddings(models, expected, recordings):
    network, info = load_model(models / "pretrained", needs_scores=False)
    embeddings = embed(network, recordings, info.grid)
    for m in info.inputs:
        close(embeddings.embedding[m], expected[0][f"pretrained/embedding/{m}"])
        close(embeddings.projection[m], expected[0][f"pretrained/projection/{m}"])


def test_imported_macil_sd(models, expected):
    rng = np.random.default_rng(0)
    for i, n in enumerate((5, 23)):
        x = {m: rng.standard_normal((n, w)).astype(np.float32) for m, w in (("visual", 24), ("audio", 16))}
        (scores,) = load_predictor(models / "macil-sd", "cpu").predict([Recording(str(i), x, dict.fromkeys(x, 1.5))])
        close(scores.score, expected[0][f"macil-sd/{i}/joint"])


def test_settings_are_those_of_then(models):
    streams, pretrained = read_run(models / "streams").config, read_run(models / "pretrained").config
    assert streams.loss.snippet.negatives == ("cluster-count(n_clusters=5)", "concentration")
    assert streams.loss.semibag.negatives == ("concentration",)
    assert streams.teacher.unimodal == "skeleton"
    assert pretrained.loss.recording.memory_size == 8
    assert pretrained.loss.recording.false_negatives == "neighbours"
    assert pretrained.loss.mil.weight == 0


def test_fine_tunes_as_then(models, data, tmp_path, expected):
    finetune(models / "pretrained", tmp_path, (1,), 1, epochs=1, data=data)
    check_run(tmp_path / "1-a-class" / "seed-0", expected[1]["finetune"])


def test_starts_from_a_shared_model_as_then(models, data, tmp_path, expected):
    from mmcl.config import override

    config = override(
        get_dataset("utd-mhad-streams").default_config(),
        {
            "model.dim": 16, "trainer.tracker": "none", "optim.epochs": 1, "loader.batch_size": 8,
            "data.n_train_streams": 16, "data.n_test_streams": 6, "data.targets": (13, 18),
            "data.actions_per_stream": (4, 6), "data.targets_per_stream": (1, 2), "data.validation_subjects": (),
        },
    )  # fmt: skip
    train(config, data, tmp_path / "run", start_from=models / "shared")
    check_run(tmp_path / "run", expected[1]["start_from"])


def check_run(run, then):
    history = json.loads((run / "history.json").read_text())
    metrics = json.loads((run / "metrics.json").read_text())
    now = {k: v for k, v in metrics.items() if k != "training seconds"}
    now = {k: v for k, v in now.items() if "linear baseline" not in k}  # that version had none
    added = {k for k in now if k.startswith(("test event F1", "test false alarms")) or "calibration" in k}  # since
    assert {k: v for k, v in now.items() if k not in added} == pytest.approx(then["metrics"], abs=1e-6)
    assert len(history) == len(then["history"])
    for epoch, before in zip(history, then["history"], strict=True):
        renamed = {_renamed(k): v for k, v in before.items()}
        assert epoch == pytest.approx(renamed, abs=1e-5)


def _renamed(name):
    return name.replace("/instance", "/snippet").replace("/pair", "/recording")
