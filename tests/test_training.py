"""Whole runs through the command line, in processes of their own: killed, resumed, doubled."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import safetensors.torch
import torch
from test_distributed import torchrun

from mmcl.config import Config
from mmcl.errors import FileError, InputError
from mmcl.models.norm import MaskedBatchNorm
from mmcl.presets import PRESETS, ablation, changed
from mmcl.storage import read_figures, write_json, write_whole
from mmcl.training import checkpoint
from mmcl.training.check import check
from mmcl.training.evaluation import evaluate
from mmcl.training.folder import load_network, only_one, read_config
from mmcl.training.run import train
from mmcl.training.schedules import contrast_weight, learning_rate_factor, transfer_momentum
from mmcl.training.teacher import Average, parameter_pairs, transfer

SMALL = [
    "--bags.n-train-streams", "16", "--bags.n-test-streams", "8", "--bags.targets", "13", "18",
    "--bags.actions-per-stream", "4", "6", "--bags.targets-per-stream", "1", "2",
    "--model.dim", "16", "--optim.batch-size", "4", "--optim.epochs", "4", "--teacher.modality", "skeleton",
    "--teacher.distill", "0.5", "--objective.contrast-rise", "0.5",
]  # fmt: skip


def command(made, out, *options):
    return [
        sys.executable,
        "-m",
        "mmcl",
        "train",
        "utd-mhad-streams",
        "--data",
        str(made),
        "--out",
        str(out),
        *SMALL,
        *options,
    ]


def run(made, out, *options):
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command(made, out, *options), capture_output=True, text=True, timeout=300, env=env)
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
def whole(made, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    run(made, out)
    return out


def test_a_run_leaves_what_it_promises(whole):
    metrics = json.loads((whole / "metrics.json").read_text())
    saved = json.loads((whole / "config.json").read_text())
    assert 0 <= metrics["test snippet average precision"] <= 1
    assert "test snippet average precision, inertial alone" in metrics
    assert saved["config"]["optim"]["seed"] == 0
    assert saved["torch"] == torch.__version__
    assert any((whole / "tensorboard").rglob("events*"))
    assert evaluate(whole)["snippet average precision"] == pytest.approx(
        metrics["test snippet average precision"]
    )
    history = json.loads((whole / "history.json").read_text())
    assert (
        metrics["selected epoch"]
        == max(history, key=lambda h: h["validation snippet average precision"])["epoch"]
    )


@pytest.mark.parametrize("after_s", [0.0, 0.7])
def test_killed_and_resumed_ends_the_same(made, whole, tmp_path, after_s):
    """kill -9 at some moment after the first checkpoint, dropout on, workers on: bit for bit."""
    out = tmp_path / "run"
    child = subprocess.Popen(
        command(made, out, "--bags.workers", "1"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (out / "state.pt").exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(after_s)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert (out / "state.pt").exists()
    assert not (out / "metrics.json").exists()
    run(made, out, "--bags.workers", "1", "--resume")
    same_weights(out / "last.safetensors", whole / "last.safetensors")
    same_weights(out / "best.safetensors", whole / "best.safetensors")


def test_two_processes_train_like_one(made, tmp_path):
    options = ["--model.dropout", "0", "--optim.epochs", "2", "--teacher.distill-from", "0"]
    run(made, tmp_path / "one", *options)
    done = torchrun("-m", *command(made, tmp_path / "two", *options)[2:])
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((tmp_path / "two" / "config.json").read_text())["processes"] == 2
    one, two = (json.loads((tmp_path / n / "history.json").read_text()) for n in ("one", "two"))
    for a, b in zip(one, two, strict=True):
        assert a["loss total"] == pytest.approx(b["loss total"], abs=1e-4)
    # Adam divides by tiny second moments: rounding is all that may differ
    same_weights(
        tmp_path / "one" / "last.safetensors", tmp_path / "two" / "last.safetensors", atol=2e-3, rtol=0
    )


def test_mixed_precision_accumulation_and_one_modality(made, tmp_path):
    run(
        made, tmp_path / "bf16", "--optim.precision", "bf16", "--optim.accumulate", "2", "--optim.epochs", "1"
    )
    options = ["--bags.modalities", "inertial", "--teacher.modality", "", "--optim.epochs", "1"]
    run(made, tmp_path / "alone", *options)
    metrics = json.loads((tmp_path / "alone" / "metrics.json").read_text())
    assert "test snippet average precision, inertial alone" in metrics
    assert "test snippet average precision, skeleton alone" not in metrics


def test_refusals(made, whole, tmp_path):
    small = PRESETS["utd-mhad-streams"]()
    with pytest.raises(FileError, match="already holds a run"):
        train(small, made, whole)
    with pytest.raises(FileError, match="other settings"):
        train(small, made, whole, resume=True)
    with pytest.raises(FileError, match="is this the folder of a run"):
        load_network(tmp_path)
    for section, values, match in (
        ("optim", {"epochs": 0}, "epochs: expected at least 1"),
        ("teacher", {"modality": "audio"}, "expected one of skeleton, inertial"),
        ("teacher", {"distill": 1.0, "average": 0.0}, "needs the averaged student"),
        ("bags", {"validation_subjects": (2,)}, "test subjects are never used"),
        ("bags", {"targets": (99,)}, "expected actions from 1 to 27"),
        ("bags", {"modalities": ("audio",)}, "expected one or more of"),
        ("bags", {"n_test_streams": 1}, "expected at least 2"),
        ("model", {"reach": -1}, "--model.reach: expected at least 0"),
        ("model", {"n_heads": 3}, "expected a multiple of --model.n-heads 3"),
        ("objective", {"temperature": 0.0}, "--objective.temperature"),
        ("objective", {"against": ()}, "--objective.against: expected one kind"),
        ("optim", {"tracker": "nonsense"}, "not installed or unknown"),
        ("bags", {"augment": float("nan")}, "--bags.augment: expected 0 to 5, got nan"),
        ("bags", {"targets_per_stream": (1, 13)}, "no more targets than the fewest actions"),
        ("model", {"smooth": 4}, "expected an odd number"),
        ("optim", {"precision": "fp16"}, "needs a GPU"),
    ):
        if values == {"precision": "fp16"} and torch.cuda.is_available():
            continue
        with pytest.raises(InputError, match=match):
            train(changed(small, **{section: values}), made, tmp_path / "new")
    assert not (tmp_path / "new" / "state.pt").exists()


def test_a_finished_run_is_never_changed_by_accident(made, whole, tmp_path):
    import shutil

    out = tmp_path / "run"
    shutil.copytree(whole, out)
    before = {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()}
    again = run(made, out, "--resume")
    assert "finished already" in again.stdout
    other = tmp_path / "other"
    shutil.copytree(made, other)
    evaluate(out, other)  # other data's figures are not this run's
    config = read_config(out)[0]
    with pytest.raises(FileError, match="the run was made on"):
        train(config, other, out, resume=True)
    assert {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()} == before
    (out / "state.pt").unlink()
    with pytest.raises(FileError, match="nothing to resume from"):
        train(config, made, out, resume=True)


def test_one_training_at_a_time(made, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    with only_one(out):
        done = subprocess.run(command(made, out), capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "is being trained into by another process" in done.stderr


def test_figures_that_are_not_defined_are_no_figures(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": float("nan"), "b": [1.0, float("inf")]})
    assert json.loads(path.read_text()) == {"a": None, "b": [1.0, None]}
    with pytest.raises(FileError, match="holds no figures by name"):
        read_figures(path)


def test_checkpoint_of_another_architecture_is_told(whole, tmp_path):
    import shutil

    shutil.copytree(whole, tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    saved = json.loads(path.read_text())
    saved["config"]["model"]["dim"] = 32
    path.write_text(json.dumps(saved))
    with pytest.raises(FileError, match="another architecture"):
        load_network(tmp_path / "run")
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
            load_network(tmp_path / "run" / "other")
    weights = safetensors.torch.load_file(whole / "best.safetensors")
    next(iter(weights.values())).view(-1)[0] = float("nan")
    safetensors.torch.save_file(weights, tmp_path / "run" / "best.safetensors")
    saved["config"]["model"]["dim"] = 16
    path.write_text(json.dumps(saved))
    with pytest.raises(FileError, match="holds NaN"):
        load_network(tmp_path / "run")
    (tmp_path / "run" / "best.safetensors").write_bytes(b"nonsense")
    with pytest.raises(FileError, match="not a safetensors file"):
        load_network(tmp_path / "run")
    path.write_text("{")
    with pytest.raises(FileError, match="not readable as JSON"):
        load_network(tmp_path / "run")


def test_a_state_never_runs_code(tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path / 'ran'}",))

    torch.save({"learner": Evil()}, tmp_path / "state.pt", pickle_module=pickle)
    with pytest.raises(FileError, match="not a training state"):
        checkpoint.load_state(tmp_path / "state.pt")
    assert not (tmp_path / "ran").exists()


def test_full_disk_keeps_what_was_saved(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})

    def fails(part):
        part.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(FileError, match="the disk is full; what was saved before is intact"):
        write_whole(path, fails)
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_transfer_and_average():
    student, teacher = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    a = torch.nn.ModuleDict({"x": student})
    b = torch.nn.ModuleDict({"y": teacher})
    want = 0.9 * student.weight.detach() + 0.1 * teacher.weight.detach()
    transfer(parameter_pairs(a, b, {"x": "y"}), 0.9)
    torch.testing.assert_close(student.weight.detach(), want)
    with pytest.raises(InputError, match="differ in parameters"):
        parameter_pairs(a, torch.nn.ModuleDict({"y": torch.nn.Linear(3, 2)}), {"x": "y"})
    average = Average(student, 0.5)
    start = student.weight.detach().clone()
    with torch.no_grad():
        student.weight.add_(1)
    average.update(student)
    torch.testing.assert_close(average.network.weight, start + 0.9)  # decay min(0.5, 1 / 10)


def test_average_follows_running_statistics():
    norm = MaskedBatchNorm(3).train()
    average = Average(norm, 0.5)
    norm(torch.randn(4, 3, 6) + 7, torch.ones(4, 6))
    average.update(norm)
    torch.testing.assert_close(average.network.running_mean, 0.9 * norm.running_mean)


def test_schedules():
    assert [contrast_weight(e, 1.5, 0.1) for e in (0, 1, 40)] == [0, 0.1, 1.5]
    assert transfer_momentum(0, 0.91) == pytest.approx(0.91)
    assert transfer_momentum(0.5, 0.91) == pytest.approx(0.955)
    assert transfer_momentum(1, 0.91) == 1
    rates = [learning_rate_factor(s, 100, 0.1) for s in range(100)]
    assert max(rates) == rates[9] == 1
    assert 0 <= rates[-1] < 0.01


def test_presets_are_valid_and_the_ablation_adds_up():
    for make in PRESETS.values():
        own = (
            {} if make().bags.modalities else {"bags": {"modalities": ("wrist", "chest")}}
        )  # a manifest names them
        check(changed(make(), **own))
    steps = ablation(PRESETS["utd-mhad-streams"]())
    assert steps["MIL alone"].objective.instance == steps["MIL alone"].objective.contrast == 0
    assert steps["+ contrast"].objective.beta == 0 < steps["+ contrast"].objective.instance
    assert steps["+ teacher"] == PRESETS["utd-mhad-streams"]()
    assert all(isinstance(c, Config) for c in steps.values())
