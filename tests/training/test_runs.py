"""Whole runs through the command line, in processes of their own: killed, resumed, doubled."""

from __future__ import annotations

import errno
import json
import os
import time

import pytest
import safetensors.torch
import torch
from forked import Forked, run_pair
from forked import run as run_forked
from support import check_settings, recipe

from mmcl.config import override
from mmcl.datasets import REGISTRY
from mmcl.errors import FileError, InputError
from mmcl.experiments.ablation import ablation_steps
from mmcl.io import atomic_write, read_metrics, write_json
from mmcl.models.norm import MaskedBatchNorm
from mmcl.runs.model import load_model
from mmcl.runs.run_dir import read_run
from mmcl.runs.run_lock import run_lock
from mmcl.runs.training_state import load_state
from mmcl.training.ema import ModelEMA
from mmcl.training.evaluation import evaluate
from mmcl.training.run import train
from mmcl.training.schedules import contrast_weight, learning_rate_factor, teacher_momentum
from mmcl.training.unimodal_teacher import momentum_update, parameter_pairs

SMALL = [
    "--data.n-train-streams", "16", "--data.n-test-streams", "8", "--data.targets", "13", "18",
    "--data.actions-per-stream", "4", "6", "--data.targets-per-stream", "1", "2",
    "--model.dim", "16", "--loader.batch-size", "4", "--optim.epochs", "4", "--teacher.unimodal", "skeleton",
    "--loss.distill.weight", "0.5", "--loss.semibag.rise", "0.5",
]  # fmt: skip


def command(dataset_dir, out, *options):
    return ["train", "utd-mhad-streams", "--data", str(dataset_dir), "--out", str(out), *SMALL, *options]


def run(dataset_dir, out, *options):
    done = run_forked(command(dataset_dir, out, *options))
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def same_weights(a, b, **tolerance):
    x, y = (safetensors.torch.load_file(p) for p in (a, b))
    assert x.keys() == y.keys()
    for k in x:
        if tolerance:
            torch.testing.assert_close(x[k], y[k], **tolerance)
        else:
            assert torch.equal(x[k], y[k]), k


@pytest.fixture(scope="module")
def uninterrupted(dataset_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    run(dataset_dir, out)
    return out


def test_files_of_a_run(uninterrupted):
    metrics = json.loads((uninterrupted / "metrics.json").read_text())
    saved = json.loads((uninterrupted / "config.json").read_text())
    assert 0 <= metrics["test snippet average precision"] <= 1
    assert "test snippet average precision, inertial alone" in metrics
    assert saved["config"]["seed"] == 0
    assert saved["torch"] == torch.__version__
    assert any((uninterrupted / "tensorboard").rglob("events*"))
    assert evaluate(uninterrupted)["snippet average precision"] == pytest.approx(
        metrics["test snippet average precision"]
    )
    history = json.loads((uninterrupted / "history.json").read_text())
    assert metrics["selected epoch"] == max(history, key=lambda h: h["validation snippet average precision"])["epoch"]


@pytest.mark.parametrize("after_s", [0.0, 0.7])
def test_killed_and_resumed_ends_the_same(dataset_dir, uninterrupted, tmp_path, after_s):
    """kill -9 at some moment after the first checkpoint, dropout on, workers on: bit for bit."""
    out = tmp_path / "run"
    child = Forked(command(dataset_dir, out, "--loader.num-workers", "1"))
    deadline = time.monotonic() + 120
    while not (out / "state.pt").exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(after_s)
    child.killpg()
    child.communicate()
    assert (out / "state.pt").exists()
    assert not (out / "metrics.json").exists()
    run(dataset_dir, out, "--loader.num-workers", "1", "--resume")
    same_weights(out / "last.safetensors", uninterrupted / "last.safetensors")
    same_weights(out / "best.safetensors", uninterrupted / "best.safetensors")


def test_two_processes_train_like_one(dataset_dir, tmp_path):
    options = ["--model.dropout", "0", "--optim.epochs", "2", "--loss.distill.start", "0"]
    run(dataset_dir, tmp_path / "one", *options)
    done = run_pair(command(dataset_dir, tmp_path / "two", *options))
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((tmp_path / "two" / "config.json").read_text())["processes"] == 2
    one, two = (json.loads((tmp_path / n / "history.json").read_text()) for n in ("one", "two"))
    for a, b in zip(one, two, strict=True):
        assert a["loss total"] == pytest.approx(b["loss total"], abs=1e-4)
        for name in (k for k in a if k.startswith("validation")):
            assert a[name] == pytest.approx(b[name], abs=0.05), name
    of_two = json.loads((tmp_path / "two" / "metrics.json").read_text())
    done = run_pair(["evaluate", str(tmp_path / "two")])
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("snippet average precision ") == 1  # printed once
    alone = evaluate(tmp_path / "two")
    for name, value in alone.items():
        assert of_two[f"test {name}"] == pytest.approx(value, abs=1e-6), name
    # Adam divides by tiny second moments: rounding is all that may differ
    same_weights(tmp_path / "one" / "last.safetensors", tmp_path / "two" / "last.safetensors", atol=2e-3, rtol=0)


def test_mixed_precision_accumulation_and_one_modality(dataset_dir, tmp_path):
    run(
        dataset_dir,
        tmp_path / "bf16",
        "--trainer.precision",
        "bf16",
        "--optim.gradient-accumulation-steps",
        "2",
        "--optim.epochs",
        "1",
    )
    options = ["--data.modalities", "inertial", "--teacher.unimodal", "", "--optim.epochs", "1"]
    run(dataset_dir, tmp_path / "alone", *options)
    metrics = json.loads((tmp_path / "alone" / "metrics.json").read_text())
    assert "test snippet average precision, inertial alone" in metrics
    assert "test snippet average precision, skeleton alone" not in metrics


def test_refusals(dataset_dir, uninterrupted, tmp_path):
    small = recipe("utd-mhad-streams")
    with pytest.raises(FileError, match="already holds a run"):
        train(small, dataset_dir, uninterrupted)
    with pytest.raises(FileError, match="other settings"):
        train(small, dataset_dir, uninterrupted, resume=True)
    with pytest.raises(FileError, match="is this the folder of a run"):
        load_model(tmp_path)
    for setting, value, match in (
        ("optim.epochs", 0, "epochs: expected at least 1"),
        ("teacher.unimodal", "audio", "expected one of skeleton, inertial"),
        ("teacher.ema_decay", 0.0, "needs the EMA model"),
        ("data.validation_subjects", (2,), "test subjects are never used"),
        ("data.targets", (99,), "expected actions from 1 to 27"),
        ("data.modalities", ("audio",), "they have skeleton, inertial"),
        ("data.n_test_streams", 1, "expected at least 2"),
        ("model.attention_window", -1, "--model.attention-window: expected at least 0"),
        ("model.n_heads", 3, "expected a multiple of --model.n-heads 3"),
        ("loss.snippet.temperature", 0.0, "--loss.snippet.temperature"),
        ("loss.semibag.against", (), "--loss.semibag.against: expected one kind"),
        ("trainer.tracker", "nonsense", "not installed or unknown"),
        ("augment.strength", float("nan"), "--augment.strength: expected 0 to 5, got nan"),
        ("data.targets_per_stream", (1, 13), "no more targets than the fewest actions"),
        ("model.score_smoothing", 4, "expected an odd number"),
        ("trainer.precision", "fp16", "needs a GPU"),
    ):
        if value == "fp16" and torch.cuda.is_available():
            continue
        with pytest.raises(InputError, match=match):
            train(override(small, {setting: value}), dataset_dir, tmp_path / "new")
    assert not (tmp_path / "new" / "state.pt").exists()


def test_a_finished_run_is_never_changed_by_accident(dataset_dir, uninterrupted, tmp_path):
    import shutil

    out = tmp_path / "run"
    shutil.copytree(uninterrupted, out)
    before = {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()}
    again = run(dataset_dir, out, "--resume")
    assert "finished already" in again.stdout
    other = tmp_path / "other"
    shutil.copytree(dataset_dir, other)
    evaluate(out, other)  # other data's figures are not this run's
    config = read_run(out).config
    with pytest.raises(FileError, match="the run was made on"):
        train(config, other, out, resume=True)
    assert {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()} == before
    (out / "state.pt").unlink()
    assert train(config, dataset_dir, out, resume=True)  # finished: its metrics
    for name in ("metrics.json", "config.json"):
        (out / name).unlink()
    with pytest.raises(FileError, match="nothing to resume from"):
        train(config, dataset_dir, out, resume=True)


def test_one_training_at_a_time(dataset_dir, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    with run_lock(out):
        done = run_forked(command(dataset_dir, out))
    assert done.returncode == 1
    assert "is being trained into by another process" in done.stderr


def test_undefined_metrics_are_null(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": float("nan"), "b": [1.0, float("inf")]})
    assert json.loads(path.read_text()) == {"a": None, "b": [1.0, None]}
    with pytest.raises(FileError, match="holds no metrics by name"):
        read_metrics(path)


def test_weights_of_another_architecture(uninterrupted, tmp_path):
    import shutil

    shutil.copytree(uninterrupted, tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    saved = json.loads(path.read_text())
    saved["config"]["model"]["dim"] = 32
    path.write_text(json.dumps(saved))
    with pytest.raises(FileError, match="another architecture"):
        load_model(tmp_path / "run")
    for key, value, match in (
        ("dim", "16", "expected int"),
        ("norm", "foo", "expected one of batch, layer"),
        ("n_layers", None, "expected int"),
    ):
        broken = json.loads(path.read_text())
        broken["config"]["model"][key] = value
        (tmp_path / "run" / "other").mkdir(exist_ok=True)
        write_json(tmp_path / "run" / "other" / "config.json", broken)
        with pytest.raises(InputError, match=match):
            load_model(tmp_path / "run" / "other")
    weights = safetensors.torch.load_file(uninterrupted / "best.safetensors")
    next(iter(weights.values())).view(-1)[0] = float("nan")
    safetensors.torch.save_file(weights, tmp_path / "run" / "best.safetensors")
    saved["config"]["model"]["dim"] = 16
    path.write_text(json.dumps(saved))
    with pytest.raises(FileError, match="holds NaN"):
        load_model(tmp_path / "run")
    (tmp_path / "run" / "best.safetensors").write_bytes(b"nonsense")
    with pytest.raises(FileError, match="not a safetensors file"):
        load_model(tmp_path / "run")
    path.write_text("{")
    with pytest.raises(FileError, match="not readable as JSON"):
        load_model(tmp_path / "run")


def test_a_state_never_runs_code(tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path / 'ran'}",))

    torch.save({"learner": Evil()}, tmp_path / "state.pt", pickle_module=pickle)
    with pytest.raises(FileError, match="not a training state"):
        load_state(tmp_path / "state.pt")
    assert not (tmp_path / "ran").exists()


def test_full_disk_keeps_what_was_saved(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})

    def fails(part):
        part.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(FileError, match="the disk is full; what was saved before is intact"):
        atomic_write(path, fails)
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_momentum_update_and_ema():
    student, teacher = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    a = torch.nn.ModuleDict({"x": student})
    b = torch.nn.ModuleDict({"y": teacher})
    want = 0.9 * student.weight.detach() + 0.1 * teacher.weight.detach()
    momentum_update(parameter_pairs(a, b, {"x": "y"}), 0.9)
    torch.testing.assert_close(student.weight.detach(), want)
    with pytest.raises(InputError, match="differ in parameters"):
        parameter_pairs(a, torch.nn.ModuleDict({"y": torch.nn.Linear(3, 2)}), {"x": "y"})
    average = ModelEMA(student, 0.5)
    start = student.weight.detach().clone()
    with torch.no_grad():
        student.weight.add_(1)
    average.update(student)
    torch.testing.assert_close(average.network.weight, start + 0.9)  # decay min(0.5, 1 / 10)


def test_ema_follows_running_statistics():
    norm = MaskedBatchNorm(3).train()
    average = ModelEMA(norm, 0.5)
    norm(torch.randn(4, 3, 6) + 7, torch.ones(4, 6))
    average.update(norm)
    torch.testing.assert_close(average.network.running_mean, 0.9 * norm.running_mean)


def test_schedules():
    assert [contrast_weight(e, 1.5, 0.1) for e in (0, 1, 40)] == [0, 0.1, 1.5]
    assert teacher_momentum(0, 0.91) == pytest.approx(0.91)
    assert teacher_momentum(0.5, 0.91) == pytest.approx(0.955)
    assert teacher_momentum(1, 0.91) == 1
    rates = [learning_rate_factor(s, 100, 0.1) for s in range(100)]
    assert max(rates) == rates[9] == 1
    assert 0 <= rates[-1] < 0.01


def test_recipes_are_valid_and_the_ablation_adds_up():
    for name in REGISTRY.names():
        config = recipe(name)
        if not config.data.modalities:  # a manifest names them
            config = override(config, {"data.modalities": ("wrist", "chest")})
        check_settings(config)
    steps = ablation_steps(recipe("utd-mhad-streams"))
    assert steps["MIL alone"].loss.snippet.weight == steps["MIL alone"].loss.semibag.weight == 0
    assert steps["+ contrast"].loss.semibag.beta == 0 < steps["+ contrast"].loss.snippet.weight
    assert steps["+ teacher"] == recipe("utd-mhad-streams")
