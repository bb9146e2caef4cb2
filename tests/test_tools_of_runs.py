"""What is done with runs: compare objectives, diagnose embeddings, share a model, export it to ONNX."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from mmcl import sharing
from mmcl.cli import main
from mmcl.compare import SINGLE, Comparison, chosen, runs_of, with_parts
from mmcl.data.augment import repeat
from mmcl.data.synthetic import make_recordings
from mmcl.diagnose import effective_dimensions
from mmcl.errors import InputError
from mmcl.export import ScoringNetwork, example, export_program
from mmcl.losses.diagnostics import false_negatives, histograms, isotropy, tolerance
from mmcl.losses.parts import HOOKS
from mmcl.models.build import clock_of
from mmcl.models.fusion import ModalityGate
from mmcl.presets import PRESETS, to_compare
from mmcl.training.check import check
from mmcl.training.folder import load_network
from mmcl.types import Clock

SMALL = ["--model.dim", "16", "--optim.tracker", "none", "--optim.epochs", "1"]
STREAMS = [*SMALL, "--bags.n-train-streams", "8", "--bags.n-test-streams", "4"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    make_recordings(folder, n_trials=2, actions=(1, 3, 13, 18))
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "streams"
    assert main(["train", "utd-mhad-streams", "--data", str(data), "--out", str(out), *STREAMS]) == 0
    return out


# compare


def test_parts_go_where_their_names_belong():
    base = PRESETS["utd-mhad-streams"]()
    made = with_parts(base, "cluster-count(n_clusters=9)+decoupled+std-hinge*0.5+repetition").objective
    assert made.negatives == ("cluster-count(n_clusters=9)", "concentration")
    assert (made.row, made.regularisers) == ("decoupled", ("std-hinge*0.5",))
    assert with_parts(base, "repetition").bags.repetition == 0.32
    assert with_parts(base, "unimodal-teacher").teacher.modality == "skeleton"
    with pytest.raises(InputError, match="--objectives nonsense: expected names from"):
        with_parts(base, "nonsense")


def test_every_single_mechanism_is_a_run(capsys):
    names = chosen(PRESETS["utd-mhad-streams"](), ["all"])
    assert names == ["default", *SINGLE]
    assert capsys.readouterr().out == ""
    named = {name for known in HOOKS.values() for name in known} - {"cosine", "info-nce", "concentration"}
    assert named <= set(names)
    settings = [str(config) for config in runs_of(PRESETS["utd-mhad-streams"](), names, [0]).values()]
    assert len(set(settings)) == len(settings)


@pytest.mark.parametrize("task", [task for task in PRESETS if task not in ("recordings", "events")])
def test_all_is_what_differs_on_this_task(task, capsys):
    """Nothing that trains just as the default is a row of its own, and what cannot be is told."""
    config = to_compare(task)
    names = chosen(config, ["all", "default"])
    said = capsys.readouterr().out
    assert set(names).isdisjoint(line.split(":")[0] for line in said.splitlines())
    assert len(names) + len(said.splitlines()) == 1 + len(SINGLE)
    o = with_parts(config, "no-contrast").objective
    assert o.contrast == o.instance == o.pair == 0
    assert "no-contrast" in names
    for name in runs_of(config, names, [0]).values():
        check(name)
    if task == "xd-violence":  # its beta is 0, its teacher the unimodal one, nothing is averaged
        for name in ("info-nce", "unimodal-teacher", "no-distillation"):
            assert f"{name}: left out; with these settings it is default" in said
        assert "soft-teacher: left out; " in said
        with pytest.raises(InputError, match="soft-teacher: needs the averaged student"):
            chosen(config, ["default", "soft-teacher"])
    if task == "utd-mhad":
        assert "info-nce" in names
        assert "no-distillation: left out; with these settings it is default" in said


def test_a_stranger_s_part_is_compared_where_it_is_told_to_be():
    base = PRESETS["utd-mhad-streams"]()
    made = with_parts(base, "negatives=mmcl.losses.negative_weights:SameLabel+std-hinge").objective
    assert made.negatives == ("mmcl.losses.negative_weights:SameLabel", "concentration")
    assert made.regularisers == ("std-hinge",)
    check(with_parts(base, "negatives=mmcl.losses.negative_weights:SameLabel"))
    with pytest.raises(InputError, match="or HOOK=package"):
        with_parts(base, "mmcl.losses.negative_weights:SameLabel")


def test_compare_refuses_what_it_cannot_do(data, tmp_path, monkeypatch, capsys):
    command = ["compare", "utd-mhad-streams", "--data", str(data), "--out", str(tmp_path), *STREAMS]
    for options, message in (
        (["--jobs", "0"], "--jobs: expected 1 or more, got 0"),
        (["--seeds", "0"], "--seeds: expected 1 or more, got 0"),
        (["--objectives", "default,nonsense"], "--objectives nonsense: expected names from"),
    ):
        assert main([*command, *options]) == 1
        assert message in capsys.readouterr().err
    one = [*command, "--objectives", "default,default", "--jobs", "1", "--seeds", "2"]
    assert main([*one, "--figure", "accuracy"]) == 1
    assert "--figure accuracy, --part left out: the runs have test snippet average" in capsys.readouterr().err
    assert not (tmp_path / "default" / "seed-1" / "metrics.json").exists()  # told after the first run
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(one) == 1
    assert "run it without torchrun" in capsys.readouterr().err


def test_paired_test_is_scipys():
    values = {"a": [0.5, 0.6, 0.7], "b": [0.6, 0.65, 0.8], "c": [0.5, 0.6, 0.7]}
    rows = {name: rest for name, *rest in Comparison("accuracy", values, "a").rows()}
    assert rows["b"][2] == pytest.approx(np.mean([0.1, 0.05, 0.1]))
    assert rows["b"][3] == pytest.approx(stats.ttest_rel(values["b"], values["a"]).pvalue)
    assert np.isnan(rows["a"][3])
    assert np.isnan(rows["c"][3])
    text = Comparison("accuracy", values, "a").markdown()
    assert "| b | 0.683 ± 0.104 | +0.083 |" in text
    assert Comparison("accuracy", values, "a").picture()[:4] == b"\x89PNG"


def test_compare_goes_on_where_it_was(data, tmp_path):
    command = [
        sys.executable,
        "-m",
        "mmcl",
        "compare",
        "utd-mhad-streams",
        "--data",
        str(data),
        "--out",
        str(tmp_path),
    ]
    command += ["--objectives", "default,ranker", "--seeds", "2", *STREAMS]
    first = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert first.returncode == 0, first.stderr
    assert "| ranker |" in first.stdout
    kept = (tmp_path / "default" / "seed-1" / "metrics.json").read_text()
    shutil.rmtree(tmp_path / "ranker" / "seed-0")
    again = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "default" / "seed-1" / "metrics.json").read_text() == kept
    other = subprocess.run([*command, "--optim.epochs", "2"], capture_output=True, text=True, timeout=300)
    assert other.returncode == 1
    assert "was made with other settings or data" in other.stderr
    said = json.loads((tmp_path / "comparison.json").read_text())
    assert list(said["values"]) == ["default", "ranker"]
    assert (tmp_path / "comparison.png").read_bytes()[:4] == b"\x89PNG"
    saved = json.loads((tmp_path / "ranker" / "seed-0" / "config.json").read_text())
    assert saved["config"]["objective"]["row"] == "ranker"


@pytest.mark.parametrize("name", SINGLE)
def test_every_mechanism_takes_a_step(name):
    """On made-up bags of features, by the very code that training uses; the loss is finite and reaches the encoders."""
    from mmcl.models.linear import LinearEncoder
    from mmcl.models.network import MultimodalNetwork
    from mmcl.training.step import Learner
    from mmcl.types import Bags

    config = with_parts(PRESETS["utd-mhad-streams"](), name)
    torch.manual_seed(0)
    student = MultimodalNetwork(
        {"a": LinearEncoder(5, 8), "b": LinearEncoder(4, 8)},
        8,
        1,
        joint=config.model.joint,
        projection=8,
        n_heads=2,
    )
    learner = Learner(student, None, config.objective, False, 8)
    x = {"a": torch.randn(8, 20, 5), "b": torch.randn(8, 20, 4)}
    mask = torch.arange(20) < torch.tensor([20, 12, 7, 20, 1, 9, 15, 20])[:, None]
    label = torch.tensor([1, 0, 1, 0, 1, 0, 1, 0.0])[:, None]
    bags = Bags(x, mask, label, torch.arange(8), group=torch.arange(8) // 4)
    losses = learner(bags, 0.1, config.objective.instance, 0.5, student(bags), False, 0.9)
    losses["total"].backward()
    assert losses["total"].isfinite()
    contrasted = [v for k, v in losses.items() if k.startswith(("contrast", "sequence"))]
    assert name == "no-contrast" or contrasted
    grads = [p.grad for p in student.encoder.parameters()]
    assert all(g is not None and g.isfinite().all() and g.abs().sum() > 0 for g in grads)


def test_parts_of_nothing_are_refused(data, tmp_path, capsys):
    command = ["train", "utd-mhad", "--data", str(data), "--out", str(tmp_path / "r"), *SMALL]
    assert main([*command, "--objective.row", "decoupled"]) == 1
    assert "there is no contrast that it could be a part of" in capsys.readouterr().err
    assert main([*command, "--objective.pair", "1", "--objective.row", "decoupled(sharp=2)"]) == 1
    assert "it takes within, sigma" in capsys.readouterr().err


# diagnose


def test_diagnostics_against_loops():
    g = torch.Generator().manual_seed(0)
    a, b = (torch.randn(7, 4, generator=g) for _ in range(2))
    label = torch.tensor([0, 1, 0, 2, 1, 0, 2])
    cos = lambda x, y: float(torch.nn.functional.cosine_similarity(x, y, dim=0))
    pairs = [(i, j) for i in range(7) for j in range(7) if i != j]
    same = [cos(a[i], a[j]) for i, j in pairs if label[i] == label[j]]
    assert float(tolerance(a, label)) == pytest.approx(sum(same) / len(same), abs=1e-6)
    mean = sum(cos(a[i], a[j]) for i, j in pairs) / len(pairs)
    assert float(isotropy(a)) == pytest.approx(1 - mean, abs=1e-6)
    hardest = sorted(pairs, key=lambda p: -cos(a[p[0]], b[p[1]]))[:8]
    share = lambda of: sum(float(label[i] == label[j]) for i, j in of) / len(of)
    got = false_negatives(a, b, label, 8 / 42)
    assert list(map(float, got.values())) == pytest.approx([share(pairs), share(hardest)])
    counts = histograms({"a": a, "b": b}, torch.arange(7), 10)
    want = np.histogram([cos(a[i], b[j]) for i, j in pairs], 10, (-1, 1))[0]
    assert counts["negative cosine"].tolist() == want.tolist()
    assert float(effective_dimensions(torch.eye(4).repeat(3, 1))) == pytest.approx(3.0, abs=1e-3)


def test_diagnose_a_run(run, tmp_path, capsys):
    assert main(["diagnose", str(run), "--out", str(tmp_path)]) == 0
    said = json.loads((tmp_path / "diagnosis.json").read_text())
    assert said["a row is a"] == "snippet"
    assert {"alignment", "uniformity, skeleton", "tolerance, inertial", "false negatives"} <= said.keys()
    assert (tmp_path / "diagnosis.png").read_bytes()[:4] == b"\x89PNG"


# share


def test_a_shared_model_is_a_run_without_paths(run, data, tmp_path, monkeypatch):
    out = tmp_path / "model"
    assert main(["share", str(run), "--out", str(out)]) == 0
    assert sorted(p.name for p in out.iterdir()) == [
        "README.md",
        "best.safetensors",
        "config.json",
        "metrics.json",
    ]
    assert str(data) not in "".join(p.read_text() for p in out.iterdir() if p.suffix != ".safetensors")
    ours, theirs = load_network(run)[0], sharing.from_pretrained(out)[0]
    for (name, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    card = (out / "README.md").read_text()
    figure = json.loads((run / "metrics.json").read_text())["test snippet average precision"]
    assert f"| test snippet average precision | {figure:.4f} |" in card
    assert main(["evaluate", str(out), "--data", str(data)]) == 0
    assert main(["report", str(out)]) == 0
    page = (out / "report.html").read_text()
    assert "All figures" in page
    assert "timeline of" not in page
    assert main(["report", str(out), "--data", str(data)]) == 0
    assert "timeline of" in (out / "report.html").read_text()
    assert main(["share", str(run), "--out", str(out)]) == 1
    with pytest.raises(InputError, match=r"holds no config\.json"):
        sharing.from_pretrained(tmp_path)
    fetched = []
    import huggingface_hub

    def fake(name, **_):
        fetched.append(name)
        return str(out)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake)
    assert sharing.from_pretrained("someone/model")[2] == ("target action",)
    assert fetched == ["someone/model"]


def test_a_reader_of_scores_may_read_enough(run, data):
    command = [sys.executable, "-m", "mmcl", "score", str(run), str(data), "--json", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # at once: a pipe would take all the lines before anybody reads
        assert "failed" not in process.stderr.read()
        assert process.wait() == 141


# export


def test_onnx_scores_are_pytorchs(run, data, tmp_path, capsys):
    model = tmp_path / "run"
    shutil.copytree(run, model)
    files = sorted((data / "Inertial").glob("a1_s2*")) + sorted((data / "Skeleton").glob("a1_s2*"))
    score = ["score", str(model), *map(str, files)]
    assert main([*score, "--runtime", "onnx"]) == 1
    assert "make it with mmcl export" in capsys.readouterr().err
    assert main(["export", str(model)]) == 0
    assert "largest difference" in capsys.readouterr().out
    for runtime in ("torch", "onnx"):
        assert main([*score, "--out", str(tmp_path / runtime), "--runtime", runtime]) == 0
    for path in (tmp_path / "torch").glob("*.json"):
        ours, theirs = (json.loads((tmp_path / r / path.name).read_text()) for r in ("torch", "onnx"))
        for a, b in zip(ours["snippets"], theirs["snippets"], strict=True):
            for head in ("joint", "skeleton", "inertial"):
                assert a[head] == pytest.approx(b[head], abs=1e-4)


def test_export_of_any_size(run):
    program = export_program(run).module()
    network, config, _ = load_network(run)
    own = ScoringNetwork(network, config.bags.modalities)
    for n_bags, n in ((1, 2), (4, 50)):
        tensors = example(clock_of(config), {}, config.bags.modalities, n_bags, n)
        with torch.no_grad():
            for a, b in zip(program(*tensors), own(*tensors), strict=True):
                torch.testing.assert_close(a[tensors[-1]], b[tensors[-1]], atol=1e-5, rtol=0)


# documents


def test_the_table_of_objectives_is_whole_and_its_tests_exist():
    root = Path(__file__).resolve().parents[1]
    text = (root / "docs" / "objectives.md").read_text()
    rows = set(re.findall(r"^\| `([a-z-]+)` \|", text, re.M))
    assert rows == {name for known in HOOKS.values() for name in known}
    ours = "".join(p.read_text() for p in (root / "tests").glob("test_*.py"))
    for name in re.findall(r"`(test_[a-z_]+)`", text):
        assert f"def {name}(" in ours, name
    for path, name in re.findall(r"`(tests/[a-z_]+\.py)(?:::(test_[a-z_]+))?`", text):
        assert f"def {name or 'test_'}" in (root / path).read_text(), (path, name)


# mechanisms that are no part of an objective


def test_repeated_hops():
    clock = Clock(0.5, 1.0, {"a": 2, "b": 1})
    grid = {"a": np.arange(40.0).reshape(40, 1), "b": np.arange(20.0).reshape(20, 1)}
    for seed in range(20):
        made = repeat(grid, clock, np.random.default_rng(seed), 0.32)
        hops = made["b"][:, 0].astype(int)
        count = np.bincount(hops, minlength=20)
        assert (np.diff(hops) >= 0).all()
        assert count.min() >= 1
        assert count.max() <= 2
        assert len(hops) <= 20 + 6
        assert (made["a"][:, 0] // 2 == np.repeat(hops, 2)).all()  # both streams repeat the same moments


def test_modality_gate():
    torch.manual_seed(0)
    gate = ModalityGate(("a", "b"), 4).requires_grad_(False)
    x = {"a": torch.randn(2, 3, 4), "b": torch.randn(2, 3, 4)}
    got = gate(x)
    for bag in range(2):
        for t in range(3):
            score = {m: math.exp(float(gate.score[m](z[bag, t]))) for m, z in x.items()}
            want = sum(score[m] / sum(score.values()) * x[m][bag, t] for m in x)
            torch.testing.assert_close(got[bag, t], want)
