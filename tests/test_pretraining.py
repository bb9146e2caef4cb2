"""Learning without labels: the pair contrast, its memory, what tells false negatives, few labels, commands."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import reference
import safetensors.torch
import torch

from mmcl.cli import main
from mmcl.data.labels import few_labels
from mmcl.data.synthetic import make_recordings
from mmcl.errors import FileError, InputError
from mmcl.finetune import finetune_config
from mmcl.losses import Memory, contrast, pair_contrast, same_by_clusters, same_by_neighbours
from mmcl.losses.contrastive import concentrated
from mmcl.losses.diagnostics import alignment, uniformity
from mmcl.losses.false_negatives import as_target, log_weight
from mmcl.models.build import clock_of, network
from mmcl.presets import changed, utd_mhad_pretrain
from mmcl.probe import embed
from mmcl.training.folder import prepare_folder, read_config
from mmcl.types import Recording


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("beta", [0.0, 1.0])
@pytest.mark.parametrize("tau", [0.0, 0.03])
@pytest.mark.parametrize("taught", [False, True])
def test_pair_contrast_equals_loop(beta, tau, taught):
    """Two views, a memory with an empty place and an old encoding of a recording of the batch."""
    n = 5
    z = {"a": draw(2 * n, 6).requires_grad_(), "b": draw(2 * n, 6, seed=1).requires_grad_()}
    index = torch.arange(n).repeat(2)
    met = {m: draw(2 * n, 6, seed=s) for m, s in (("a", 8), ("b", 9))} if taught else z
    memory = {m: draw(4, 6, seed=s) for m, s in (("a", 2), ("b", 3))}
    memory_index = torch.tensor([7, -1, 2, 9])
    got = pair_contrast(
        z, index, concentrated(0.3, beta, tau), views=2, within=0.5, memory=memory, memory_index=memory_index,
        keys=met if taught else None,
    )  # fmt: skip
    want = {}
    for a in z:
        for b in z:
            rows = []
            for i in range(2 * n):
                keys = [met[b][j] for j in range(2 * n) if index[j] != index[i]]
                keys += [memory[b][j] for j in range(4) if memory_index[j] not in (-1, int(index[i]))]
                positive = met[b][(i + n) % (2 * n)] if a == b else met[b][i]
                rows.append(reference.contrast_row(z[a][i], positive, keys, 0.3, beta, tau))
            name, weight = (f"{a}->{a}/views", 0.5) if a == b else (f"{a}->{b}/pair", 1.0)
            want[name] = weight * torch.stack(rows).mean()
    assert got.keys() == want.keys()
    for name, value in want.items():
        torch.testing.assert_close(got[name], value, atol=1e-9, rtol=1e-9)
    for ours, theirs in zip(
        *(torch.autograd.grad(sum(t.values()), list(z.values()), retain_graph=True) for t in (got, want))
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-9)


def test_weights_and_targets_equal_loop():
    """Soft negatives, one removed altogether, and a part of the attraction given to others."""
    q, p, n = draw(3, 4), draw(3, 4, seed=1), draw(5, 4, seed=2)
    same = torch.rand(3, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    same[1, 2] = 1.0
    weight, target = log_weight(same), as_target(same, 0.3)
    got = contrast(q, p, n, temperature=0.4, log_weight=weight, target=target)
    for i in range(3):
        e = [math.exp(reference.cosine(q[i], x) / 0.4) for x in n]
        ng = sum((1 - same[i, j].item()) * e[j] for j in range(5))
        term = lambda x, ng=ng: -math.log(x / (x + ng))
        want = 0.7 * term(math.exp(reference.cosine(q[i], p[i]) / 0.4))
        want += sum(0.3 * (same[i, j] / same[i].sum()).item() * term(e[j]) for j in range(5))
        assert got[i].item() == pytest.approx(want, abs=1e-5)  # log(1 - same) stays off 0 by 1e-6
    blocks = contrast(q, p, n, temperature=0.4, beta=1.0, log_weight=weight, target=target, block_elements=5)
    whole = contrast(q, p, n, temperature=0.4, beta=1.0, log_weight=weight, target=target)
    torch.testing.assert_close(blocks, whole)


def test_a_removed_negative_is_as_if_it_were_not_there():
    """Also for concentration, which must not look at it."""
    q, p, n = draw(3, 4), draw(3, 4, seed=1), draw(5, 4, seed=2)
    weight = torch.zeros(3, 5, dtype=torch.float64)
    weight[:, 4] = -torch.inf
    for beta, tau in ((0.0, 0.0), (2.0, 0.1)):
        got = contrast(q, p, n, temperature=0.2, beta=beta, tau=tau, log_weight=weight)
        torch.testing.assert_close(got, contrast(q, p, n[:4], temperature=0.2, beta=beta, tau=tau))


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("tau", [0.0, 0.1])
def test_a_surely_false_negative_counts_like_a_removed_one(beta, tau):
    """No jump at certainty, for the hardest of them too, which concentration would otherwise look at alone."""
    q, p, n = draw(3, 4), draw(3, 4, seed=1), draw(5, 4, seed=2)
    n[4] = q[0]
    gone, nearly = torch.zeros(3, 5, dtype=torch.float64), torch.zeros(3, 5, dtype=torch.float64)
    gone[:, 4], nearly[:, 4] = -torch.inf, math.log(1e-9)
    at = lambda weight: contrast(q, p, n, temperature=0.5, beta=beta, tau=tau, log_weight=weight)
    torch.testing.assert_close(at(nearly), at(gone), atol=1e-5, rtol=1e-5)


def test_equal_weights_change_nothing_but_the_number():
    """Half a weight each: concentration and prior see half as many negatives, none nearer than another."""
    q, p, n = draw(3, 4), draw(3, 4, seed=1), draw(4, 4, seed=2)
    half = torch.full((3, 8), math.log(0.5), dtype=torch.float64)
    twice = torch.cat([n, n])
    for beta, tau in ((0.0, 0.05), (1.0, 0.0), (1.0, 0.05)):
        got = contrast(q, p, twice, temperature=0.5, beta=beta, tau=tau, log_weight=half)
        torch.testing.assert_close(got, contrast(q, p, n, temperature=0.5, beta=beta, tau=tau))


def test_recordings_that_lack_a_stream_take_no_part():
    z = {m: draw(6, 4, seed=s) for s, m in enumerate("ab")}
    index = torch.tensor([0, 1, -1, 3, -1, 5])
    got = pair_contrast(z, index, concentrated(0.5, 1.0))
    whole = index >= 0
    want = pair_contrast({m: v[whole] for m, v in z.items()}, index[whole], concentrated(0.5, 1.0))
    for name, value in want.items():
        torch.testing.assert_close(got[name], value)


def test_nobody_without_own_kind_loses_attraction():
    target = as_target(torch.tensor([[0.0, 0.0], [0.5, 0.5]]), 0.4)
    torch.testing.assert_close(target, torch.tensor([[0.0, 0.0], [0.2, 0.2]]))


def test_clusters_find_what_belongs_together():
    centre = draw(4, 16)
    z = torch.cat([c + 0.05 * draw(10, 16, seed=i) for i, c in enumerate(centre)])
    truth = torch.arange(4).repeat_interleave(10)
    g = torch.Generator().manual_seed(0)
    same = same_by_clusters(z, 4, 16, generator=g)
    assert same.shape == (40, 40)
    torch.testing.assert_close(same, same.T)
    assert (same.diagonal() == 1).all()
    together = truth[:, None] == truth[None, :]
    assert same[together].mean() > 0.8 > 0.4 > same[~together].mean()
    assert (same_by_clusters(z, 40, 3, generator=g) > 0.99).sum() == 40  # each its own
    assert (same_by_clusters(z, 1, 2, generator=g) == 1).all()
    with pytest.raises(InputError, match="n_clusters: expected 1 to the 40 rows, got 41"):
        same_by_clusters(z, 41)


def test_mutual_neighbours_equal_loop():
    z = draw(9, 3)
    got = same_by_neighbours(z, 2)
    near = []
    for i in range(9):
        order = sorted((j for j in range(9) if j != i), key=lambda j: -reference.cosine(z[i], z[j]).item())
        near.append(set(order[:2]))
    for i in range(9):
        for j in range(9):
            assert got[i, j] == (i == j or (j in near[i] and i in near[j]))


def test_memory_is_newest_first_and_travels_with_the_state():
    memory = Memory(5, {"a": 2})
    for start in (0, 3):
        memory.push(
            {"a": torch.arange(start, start + 3.0)[:, None].expand(3, 2)}, torch.arange(start, start + 3)
        )
    assert memory.index.tolist() == [3, 4, 5, 0, 1]
    assert memory.z["a"][:, 0].tolist() == [3, 4, 5, 0, 1]
    again = Memory(5, {"a": 2})
    assert again.index.tolist() == [-1] * 5
    again.load_state_dict(memory.state_dict())
    assert again.index.tolist() == [3, 4, 5, 0, 1]


def test_diagnostics_equal_loops():
    a, b = draw(6, 3), draw(6, 3, seed=1)
    u = lambda x: x / x.norm()
    want = sum(float((u(x) - u(y)).square().sum()) for x, y in zip(a, b, strict=True)) / 6
    assert alignment(a, b).item() == pytest.approx(want)
    e = [
        math.exp(-2 * float((u(x) - u(y)).square().sum()))
        for i, x in enumerate(a)
        for j, y in enumerate(a)
        if i != j
    ]
    assert uniformity(a).item() == pytest.approx(math.log(sum(e) / 30))
    assert uniformity(a[:1].expand(5, 3)).item() == pytest.approx(0.0, abs=1e-6)


def made(n_classes=3, n_each=4):
    label = np.eye(n_classes, dtype=np.float32)
    return [Recording(f"{c}{i}", {}, {}, label[c], str(i)) for c in range(n_classes) for i in range(n_each)]


def test_few_labels():
    recordings = made()
    assert few_labels(recordings, 0) == recordings
    for labels, n in ((1, 3), (2, 6), (0.5, 6), (0.01, 3), (4, 12)):
        drawn = few_labels(recordings, labels, 5)
        assert len(drawn) == n
        assert {r.name[0] for r in drawn} == {"0", "1", "2"}
        assert drawn == few_labels(recordings, labels, 5)
    assert set(r.name for r in few_labels(recordings, 1, 5)) <= set(
        r.name for r in few_labels(recordings, 2, 5)
    )
    draws = {tuple(r.name for r in few_labels(recordings, 1, seed)) for seed in range(20)}
    assert len(draws) > 5
    with pytest.raises(InputError, match="5 a class were asked for, class 1 has 4"):
        few_labels(recordings, 5)
    with pytest.raises(InputError, match="whole number a class"):
        few_labels(recordings, 1.5)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    make_recordings(folder / "data", n_trials=2)
    small = [
        "--model.dim",
        "16",
        "--optim.batch-size",
        "16",
        "--objective.same-size",
        "6",
        "--optim.tracker",
        "none",
    ]
    small += [
        "--objective.same",
        "clusters",
        "--objective.memory",
        "24",
        "--objective.mined",
        "0.2",
        "--objective.instance-beta",
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
    longer = ["--optim.epochs", "15", "--objective.memory", "0", "--optim.learning-rate", "0.003"]
    assert main([*command, "--out", str(tmp_path / "run"), *longer]) == 0
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    gap = [h["positive cosine"] - h["negative cosine"] for h in history]
    assert gap[-1] > gap[0] + 0.1
    pairs = [h["loss contrast skeleton->inertial/pair"] for h in history]
    assert pairs[-1] < pairs[0]
    assert {"alignment", "negative cosine, hardest 5 %", "positive cosine"} <= set(history[0])


def test_pretraining_resumes_bit_for_bit(pretrained, tmp_path):
    """The memory is part of the state."""

    folder, command = pretrained
    state = folder / "run" / "last.safetensors"
    import mmcl.training.loop as loop

    save, seen = loop._save, []

    def stop_after_two(*args):
        save(*args)
        seen.append(args[-1].epoch)
        if seen == [1, 2]:
            raise KeyboardInterrupt

    loop._save = stop_after_two
    try:
        assert main([*command, "--out", str(tmp_path / "run"), "--optim.epochs", "3"]) == 130
    finally:
        loop._save = save
    assert main([*command, "--out", str(tmp_path / "run"), "--optim.epochs", "3", "--resume"]) == 0
    one, two = (safetensors.torch.load_file(p) for p in (state, tmp_path / "run" / "last.safetensors"))
    assert all(torch.equal(v, two[k]) for k, v in one.items())


def test_probe_and_finetune(pretrained, tmp_path, capsys):
    folder, _ = pretrained
    run = str(folder / "run")
    out = tmp_path / "probe.json"
    assert main(["probe", run, "--labels", "0", "1", "--draws", "2", "--out", str(out)]) == 0
    table = json.loads(out.read_text())
    assert {k: len(v) for k, v in table.items()} == {
        f"{labels}, skeleton + inertial, {kind}": n
        for labels, n in (("all labels", 1), ("1 a class", 2))
        for kind in ("linear", "k-NN")
    }
    tuned = tmp_path / "tuned"
    command = ["finetune", run, "--out", str(tuned), "--labels", "1", "--draws", "2", "--epochs", "1"]
    command += ["--encoder-rate", "0.1"]
    capsys.readouterr()
    assert main([*command, "--modalities", "inertial"]) == 0
    assert "1 a class, inertial" in capsys.readouterr().out
    assert len(json.loads((tuned / "table.json").read_text())["1 a class, inertial"]) == 2
    config = json.loads((tuned / "1-a-class" / "draw-1" / "config.json").read_text())
    assert config["bags"]["train"] == 10  # the made recordings show ten actions
    assert config["start from"] == run
    assert main([*command, "--modalities", "inertial"]) == 0  # done already, told again
    scratch = [word for word in command if word not in ("--encoder-rate", "0.1")]
    assert main([*scratch, "--modalities", "inertial", "--from-scratch"]) == 1  # not the same experiment
    assert "made with other settings (optim.encoder_rate: 0.1, now 1.0)" in capsys.readouterr().err
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
    assert "the run knows skeleton, inertial, not visual" in capsys.readouterr().err


def test_frozen_encoders_stay_as_they_were(pretrained, tmp_path, capsys):
    folder, _ = pretrained
    command = [
        "finetune",
        str(folder / "run"),
        "--out",
        str(tmp_path / "out"),
        "--labels",
        "1",
        "--draws",
        "1",
    ]
    assert main([*command, "--epochs", "2", "--encoder-rate", "0"]) == 0
    before = safetensors.torch.load_file(folder / "run" / "best.safetensors")
    after = safetensors.torch.load_file(tmp_path / "out" / "1-a-class" / "draw-0" / "best.safetensors")
    encoders = [k for k in before if k.startswith("encoder.")]
    assert any("running_var" in k for k in encoders)
    for k in encoders:
        torch.testing.assert_close(after[k], before[k], rtol=1e-6, atol=1e-7)  # an average of equals rounds
    assert not all(torch.equal(v, before[k]) for k, v in after.items() if k in before)
    tuned = tmp_path / "out" / "1-a-class" / "draw-0"
    with pytest.raises(FileError, match=r"the run began with the weights of .*, not with weights of its own"):
        prepare_folder(tuned, read_config(tuned)[0], folder / "data", True, None)
    assert main([*command, "--from-scratch", "--encoder-rate", "0"]) == 1
    assert "from scratch, encoders learn at the rate of the rest" in capsys.readouterr().err
    train = ["train", "utd-mhad", "--data", str(folder / "data"), "--out", str(tmp_path / "x")]
    for options, message in (
        ([], "would freeze encoders that know nothing; give --start-from"),
        (["--teacher.modality", "skeleton"], "the unimodal teacher would hand over encoders"),
    ):
        assert main([*train, "--optim.encoder-rate", "0", *options]) == 1
        assert message in capsys.readouterr().err


def test_refusals(tmp_path, capsys):
    for options, message in (
        (["--objective.supervised", "1"], "use mmcl train"),
        (["--bags.views", "1"], "--bags.views 2"),
        (["--objective.same", "clusters", "--teacher.average", "0"], "need the averaged student"),
        (["--bags.modalities", "inertial"], "needs two modalities"),
        (["--objective.mined", "0.5", "--objective.same", "none"], "use --objective.same"),
        (["--objective.contrast", "0.5"], "learns from labels"),
        (["--teacher.modality", "skeleton"], "learns from labels"),
        (["--bags.labelled", "1"], "learns from labels"),
        (["--objective.pair", "0"], "nothing is left to learn"),
        (["--objective.same", "clusters", "--objective.same-size", "400"], "at most the 128 rows"),
        (["--bags.modality-dropout", "0.2"], "needs both streams"),
        (["--model.kernel", "4"], "--model.kernel: expected an odd number, or 0, got 4"),
    ):
        assert main(["pretrain", "utd-mhad", "--data", "x", "--out", str(tmp_path / "r"), *options]) == 1
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("joint", ["late", "concat"])
def test_a_stream_alone_is_that_stream_alone(joint):
    """Whatever fusion does, what probes see of one stream does not depend on the other."""
    rng = np.random.default_rng(0)
    config = changed(utd_mhad_pretrain(), model={"dim": 16, "joint": joint})
    torch.manual_seed(0)
    net = network(config, clock_of(config), 27).eval()
    inertial = rng.standard_normal((150, 6)).astype(np.float32)
    embedded = []
    for seed in (1, 2):
        skeleton = np.random.default_rng(seed).standard_normal((90, 20, 3)).astype(np.float32)
        signal = {"skeleton": skeleton, "inertial": inertial}
        recording = Recording(
            "r", signal, {"skeleton": 30.0, "inertial": 50.0}, np.eye(27, dtype=np.float32)[3]
        )
        embedded.append(embed(net, [recording], clock_of(config)))
    np.testing.assert_array_equal(*(e.features(["inertial"]) for e in embedded))
    assert np.abs(np.subtract(*(e.features(["skeleton"]) for e in embedded))).max() > 1e-3
    assert embedded[0].action.tolist() == [3]


def test_fine_tuning_takes_the_clock_and_the_network_of_the_run():
    config = changed(
        utd_mhad_pretrain(),
        bags={"skeleton_frames_per_hop": 16, "window_s": 2.0},
        model={"dim": 18, "n_heads": 3, "kernel": 5, "joint": "concat"},
    )
    made = finetune_config(config, 1.0, 2, ("inertial",))
    assert (made.bags.skeleton_frames_per_hop, made.bags.window_s) == (16, 2.0)
    assert (made.model.dim, made.model.n_heads, made.model.kernel) == (18, 3, 5)
    assert (made.bags.labelled, made.bags.label_seed, made.optim.seed) == (1.0, 2, 2)
    assert made.objective.supervised == 1.0
