"""Learning without labels, fine-tuning and probes, through the command line."""

from __future__ import annotations

import json

import pytest
import safetensors.torch
import torch
from support import inputs_of, recipe

from mmcl.cli.main import main
from mmcl.config import override
from mmcl.datasets.sources.recipes import pretraining_recipe
from mmcl.datasets.sources.synthetic_sensors import make_recordings
from mmcl.errors import FileError
from mmcl.experiments.finetune import finetune_config
from mmcl.runs.run_dir import RunInfo, prepare_run_dir, read_run
from mmcl.training.trainer import Trainer


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    make_recordings(folder / "data", n_trials=2)
    small = [
        "--model.dim",
        "16",
        "--loader.batch-size",
        "16",
        "--loss.recording.false-negatives-k",
        "6",
        "--trainer.tracker",
        "none",
    ]
    small += [
        "--loss.recording.false-negatives",
        "clusters",
        "--loss.recording.memory-size",
        "24",
        "--loss.recording.pseudo-positives",
        "0.2",
        "--loss.snippet.beta",
        "0.5",
    ]
    command = ["pretrain", "utd-mhad", "--data", str(folder / "data"), *small]
    assert main([*command, "--out", str(folder / "run"), "--optim.epochs", "3"]) == 0
    return folder, command


def test_pretraining_learns_and_says_what_it_is_worth(pretrained):
    folder, _ = pretrained
    metrics = json.loads((folder / "run" / "metrics.json").read_text())
    assert {
        "test retrieval accuracy, skeleton -> inertial",
        "test alignment",
        "test uniformity, skeleton",
    } <= set(metrics)
    history = json.loads((folder / "run" / "history.json").read_text())
    assert all(not k.startswith("loss mil") for k in history[0])


def test_pairs_come_together_and_others_apart(pretrained, tmp_path):
    _, command = pretrained
    longer = ["--optim.epochs", "8", "--loss.recording.memory-size", "0", "--optim.learning-rate", "0.003"]
    assert main([*command, "--out", str(tmp_path / "run"), *longer]) == 0
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    gap = [h["positive cosine"] - h["negative cosine"] for h in history]
    assert gap[-1] > gap[0] + 0.1
    pairs = [h["loss contrast skeleton->inertial/recording"] for h in history]
    assert pairs[-1] < pairs[0]
    assert {"alignment", "negative cosine, hardest 5 %", "positive cosine"} <= set(history[0])


def test_pretraining_resumes_bit_for_bit(pretrained, tmp_path, monkeypatch):
    """The memory bank is part of the state."""
    folder, command = pretrained
    state = folder / "run" / "last.safetensors"
    save, epochs = Trainer._save, []

    def stop_after_two(self):
        save(self)
        epochs.append(self.progress.epoch)
        if epochs == [1, 2]:
            raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_save", stop_after_two)
    assert main([*command, "--out", str(tmp_path / "run"), "--optim.epochs", "3"]) == 130
    monkeypatch.undo()
    assert main([*command, "--out", str(tmp_path / "run"), "--optim.epochs", "3", "--resume"]) == 0
    one, two = (safetensors.torch.load_file(p) for p in (state, tmp_path / "run" / "last.safetensors"))
    assert all(torch.equal(v, two[k]) for k, v in one.items())


def test_probe_and_finetune(pretrained, tmp_path, capsys):
    folder, _ = pretrained
    run = str(folder / "run")
    out = tmp_path / "probe.json"
    assert main(["probe", run, "--labels", "0", "1", "--label-seeds", "2", "--out", str(out)]) == 0
    table = json.loads(out.read_text())
    assert {k: len(v) for k, v in table.items()} == {
        f"{labels}, skeleton + inertial, {kind}": n
        for labels, n in (("all labels", 1), ("1 a class", 2))
        for kind in ("linear", "k-NN")
    }
    tuned = tmp_path / "tuned"
    command = ["finetune", run, "--out", str(tuned), "--labels", "1", "--label-seeds", "2", "--epochs", "1"]
    command += ["--encoder-lr-scale", "0.1"]
    capsys.readouterr()
    assert main([*command, "--modalities", "inertial"]) == 0
    assert "1 a class, inertial" in capsys.readouterr().out
    assert len(json.loads((tuned / "table.json").read_text())["1 a class, inertial"]) == 2
    config = json.loads((tuned / "1-a-class" / "seed-1" / "config.json").read_text())
    assert config["recordings"]["train"] == 10  # the made recordings show ten actions
    assert config["start_from"] == run
    assert main([*command, "--modalities", "inertial"]) == 0  # done already, told again
    scratch = [word for word in command if word not in ("--encoder-lr-scale", "0.1")]
    assert main([*scratch, "--modalities", "inertial", "--from-scratch"]) == 1  # not the same experiment
    assert "made with other settings (optim.encoder_lr_scale: 0.1, now 1.0)" in capsys.readouterr().err
    assert main(["report", run]) == 0
    assert "linear probe accuracy" in (folder / "run" / "report.html").read_text()
    for wrong, message in (
        (["score", run, str(folder / "data")], "learned without labels and has no scores"),
        (["evaluate", run, "--without", "inertial"], "has no joint score"),
        (["probe", run, "--labels", "3.5"], "--labels: expected 0 for all, a whole number a class"),
        (["probe", run, "--labels", "-1"], "got -1"),
        (["finetune", run, "--out", str(tmp_path / "y"), "--labels"], "expected one number or more"),
    ):
        assert main(wrong) == 1
        assert message in capsys.readouterr().err
    assert main(["finetune", run, "--out", str(tmp_path / "x"), "--modalities", "visual"]) == 1
    assert "the run has skeleton, inertial, not visual" in capsys.readouterr().err


def test_frozen_encoders_stay_as_they_were(pretrained, tmp_path, capsys):
    folder, _ = pretrained
    command = [
        "finetune",
        str(folder / "run"),
        "--out",
        str(tmp_path / "out"),
        "--labels",
        "1",
        "--label-seeds",
        "1",
    ]
    assert main([*command, "--epochs", "2", "--encoder-lr-scale", "0"]) == 0
    before = safetensors.torch.load_file(folder / "run" / "best.safetensors")
    after = safetensors.torch.load_file(tmp_path / "out" / "1-a-class" / "seed-0" / "best.safetensors")
    encoders = [k for k in before if k.startswith("encoder.")]
    assert any("running_var" in k for k in encoders)
    for k in encoders:
        torch.testing.assert_close(after[k], before[k], rtol=1e-6, atol=1e-7)  # an average of equals rounds
    assert not all(torch.equal(v, before[k]) for k, v in after.items() if k in before)
    tuned = tmp_path / "out" / "1-a-class" / "seed-0"
    with pytest.raises(FileError, match=r"the run began with the weights of .*, not with weights of its own"):
        prepare_run_dir(tuned, read_run(tuned).config, folder / "data", True, None)
    assert main([*command, "--from-scratch", "--encoder-lr-scale", "0"]) == 1
    assert "from scratch, encoders learn at the rate of the rest" in capsys.readouterr().err
    train = ["train", "utd-mhad", "--data", str(folder / "data"), "--out", str(tmp_path / "x")]
    for options, message in (
        ([], "would freeze untrained encoders; give --start-from"),
        (["--teacher.unimodal", "skeleton"], "the unimodal teacher would update frozen encoders"),
    ):
        assert main([*train, "--optim.encoder-lr-scale", "0", *options]) == 1
        assert message in capsys.readouterr().err


def test_refusals(tmp_path, capsys):
    for options, message in (
        (["--loss.mil.weight", "1"], "use mmcl train"),
        (["--loader.views", "1"], "--loader.views 2"),
        (
            ["--loss.recording.false-negatives", "clusters", "--teacher.ema-decay", "0"],
            "need the EMA model",
        ),
        (["--data.modalities", "inertial"], "needs two modalities"),
        (
            ["--loss.recording.pseudo-positives", "0.5", "--loss.recording.false-negatives", "none"],
            "use --loss.recording.false-negatives",
        ),
        (["--loss.semibag.weight", "0.5"], "learns from labels"),
        (["--teacher.unimodal", "skeleton"], "learns from labels"),
        (["--labels.labelled", "1"], "learns from labels"),
        (["--loss.recording.weight", "0"], "nothing is left to learn"),
        (
            ["--loss.recording.false-negatives", "clusters", "--loss.recording.false-negatives-k", "400"],
            "at most the 128 embeddings",
        ),
        (["--augment.modality-dropout", "0.2"], "needs both modalities"),
        (["--model.kernel", "4"], "--model.kernel: expected an odd number, or 0, got 4"),
    ):
        assert main(["pretrain", "utd-mhad", "--data", "x", "--out", str(tmp_path / "r"), *options]) == 1
        assert message in capsys.readouterr().err


def test_fine_tuning_takes_the_snippets_and_the_network_of_the_run():
    config = override(
        pretraining_recipe(recipe("utd-mhad")),
        {
            "snippets.frames_per_hop": {"inertial": 16},
            "snippets.window_s": 2.0,
            "model.dim": 18,
            "model.n_heads": 3,
            "model.kernel": 5,
            "model.joint": "concat",
        },
    )
    info = RunInfo(config, ("a",), inputs_of(config.data.modalities))
    dataset_dir = finetune_config(info, 1.0, 2, ("inertial",))
    assert (dataset_dir.snippets.frames_per_hop, dataset_dir.snippets.window_s) == ({"inertial": 16}, 2.0)
    assert (dataset_dir.model.dim, dataset_dir.model.n_heads, dataset_dir.model.kernel) == (18, 3, 5)
    assert (dataset_dir.labels.labelled, dataset_dir.labels.seed, dataset_dir.seed) == (1.0, 2, 2)
    assert dataset_dir.loss.mil.weight == 1.0
