"""Training on features in XD-Violence's layout, through the command line; the authors' weights."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SHARED

from mmcl.cli import main
from mmcl.data.bags import BagDataset
from mmcl.data.on_disk import OnDisk
from mmcl.data.xd_violence import find_features, read_features
from mmcl.errors import FileError
from mmcl.models.macil_sd import from_released
from mmcl.models.pooling import topk_pool
from mmcl.training.folder import load_network
from mmcl.types import Bags, Clock

CODES = ["B1-0-0", "B2-B6-0", "G-0-0", "B4", "A", "A", "A", "A"]
SMALL = [
    "--optim.epochs", "3", "--optim.batch-size", "8", "--model.dim", "16", "--bags.max-snippets", "24",
    "--bags.validation-share", "0.25", "--bags.crops", "2", "--optim.decay-epochs", "4",
]  # fmt: skip


def make_features(
    folder: Path, seed: int = 0, n_each: int = 2, widths: tuple[int, int] = (12, 6), n_crops: int = 2
) -> None:
    """Videos of noise; a violent one has a stretch that both streams see. Names hold #, = and dots."""
    rng = np.random.default_rng(seed)
    lines = []
    for part, rgb, vggish in (("train", "RGB", "vggish/train"), ("test", "RGBTest", "vggish/test")):
        for place in (rgb, vggish):
            (folder / place).mkdir(parents=True, exist_ok=True)
        for i, codes in enumerate(CODES * n_each):
            n = int(rng.integers(8, 40))
            name = f"v={part}.{i}__#00-0{i % 9}_label_{codes}"
            visual, audio = (
                rng.standard_normal((n_crops, n, widths[0])),
                rng.standard_normal((n, widths[1])),
            )
            if codes != "A":
                start = int(rng.integers(0, n - 4))
                visual[:, start : start + 4, 0] += 6
                audio[start : start + 4, 0] += 6
                lines.append(f"{name}.mp4 {16 * start} {16 * (start + 4) + 500 * (i == 0)}")
            for crop in range(n_crops):
                np.save(folder / rgb / f"{name}__{crop}.npy", visual[crop].astype(np.float32))
            trimmed = audio[: n - 1] if i == 3 else audio
            np.save(folder / vggish / f"{name}__vggish.npy", trimmed.astype(np.float16))
        if part == "train":
            lines.clear()
    (folder / "annotations.txt").write_text("\n".join(lines))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("features of ünïcode")
    make_features(folder)
    return folder


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "xd"
    assert main(["train", "xd-violence", "--data", str(data), "--out", str(out), *SMALL]) == 0
    return out


def test_a_run_has_figures_of_videos_and_frames(data, trained, capsys):
    metrics = json.loads((trained / "metrics.json").read_text())
    for name in (
        "test frame average precision",
        "test frame trapezoid PR-AUC",
        "test frame average precision, visual alone",
        "test frame average precision inside fighting videos",
        "test video average precision",
        "validation video average precision",
    ):
        assert 0 <= metrics[name] <= 1, name
    saved = json.loads((trained / "config.json").read_text())
    assert saved["channels"] == {"visual": 12, "audio": 6}
    assert saved["bags"] == {"train": 2 * 12, "validation": 2 * 4, "test": 2 * 16}
    assert main(["evaluate", str(trained)]) == 0
    assert f"{metrics['test frame average precision']:.4f}" in capsys.readouterr().out
    assert main(["report", str(trained)]) == 0
    assert "frame average precision" in (trained / "report.html").read_text()


def test_it_learns_what_both_streams_see(tmp_path):
    make_features(tmp_path / "data", n_each=3)
    words = ["train", "xd-violence", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run"), *SMALL]
    words += ["--optim.epochs", "20", "--optim.learning-rate", "0.003", "--optim.decay-epochs", "0"]
    words += ["--bags.validation-share", "0", "--objective.contrast", "0.2", "--optim.tracker", "none"]
    assert main(words) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["test frame average precision"] > 0.8 > 5 * metrics["test share of positive frames"]


def test_six_classes_and_one_modality(data, tmp_path):
    common = [
        "train",
        "xd-violence",
        "--data",
        str(data),
        *SMALL,
        "--optim.epochs",
        "1",
        "--optim.tracker",
        "none",
    ]
    assert main([*common, "--out", str(tmp_path / "six"), "--bags.labels", "classes"]) == 0
    assert len(json.loads((tmp_path / "six" / "config.json").read_text())["classes"]) == 6
    alone = ["--bags.modalities", "audio", "--teacher.modality", ""]
    assert main([*common, "--out", str(tmp_path / "audio"), *alone]) == 0
    mine = ["--model.architecture", "mmcl", "--model.reach", "2", "--optim.precision", "bf16"]
    assert main([*common, "--out", str(tmp_path / "mmcl"), *mine]) == 0


def test_long_bags_are_sampled_evenly_and_read_from_the_disk(data):
    videos = find_features(data, 2)["train"]
    recordings, n_trimmed = read_features(videos, lambda name: np.zeros(1, np.float32), {})
    assert n_trimmed == 2  # one video, both crops
    assert all(isinstance(r.signal["visual"], OnDisk) for r in recordings)
    clock = Clock(2 / 3, 2 / 3, {"visual": 1, "audio": 1})
    bags = BagDataset(recordings, clock, strength=0.0, max_snippets=7)
    x = recordings[0].signal["visual"]
    want = x[[int(i * (len(x) - 1) / 6) for i in range(7)]]
    np.testing.assert_array_equal(bags[0, 0].x["visual"], want)
    assert bags[-1, 0].n_snippets == len(x)


def test_lists_say_what_is_trained_on(data, tmp_path):
    make_features(tmp_path)
    names = [v.name for v in find_features(tmp_path, 2)["train"]]
    (tmp_path / "visual_train.list").write_text("\n".join(f"any/where/{n}__0.npy" for n in names[::-2]))
    assert [v.name for v in find_features(tmp_path, 2)["train"]] == names[::-2]
    assert all("_label_A" in n for n in names[8:])  # sorted, the violent first


def test_bad_features_are_named(tmp_path, capsys):
    make_features(tmp_path)
    words = ["train", "xd-violence", "--data", str(tmp_path), "--out", str(tmp_path / "run"), *SMALL]
    first = next((tmp_path / "RGB").glob("*__0.npy"))
    audio = tmp_path / "vggish/train" / first.name.replace("__0", "__vggish")
    good, good_audio = np.load(first), np.load(audio)

    def told(path: Path, content, message: str) -> None:
        before = path.read_bytes()
        path.unlink()
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            np.save(path, content)
        assert main(words) == 1
        error = capsys.readouterr().err
        assert message in error
        assert path.name.removesuffix("__0.npy").removesuffix("__vggish.npy") in error
        path.write_bytes(before)

    told(first, None, "is missing")
    told(first, b"nonsense", "not a readable .npy file")
    told(first, np.array([[None]]), "holds no plain array")
    told(first, good[:0], "holds no rows")
    told(first, good[:, :5], "holds float32 of shape")
    told(audio, good_audio[:-3], "they may differ by one")
    broken = good.copy()
    broken[-1, 0] = np.nan
    told(first, broken, "NaN or infinity in its visual signal")
    stray = tmp_path / "RGB" / "copy"
    stray.mkdir()
    (stray / first.name).write_bytes(first.read_bytes())
    with pytest.raises(FileError, match="also lies in"):
        find_features(tmp_path, 2)
    assert main(["train", "xd-violence", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "r")]) == 1
    assert "no such folder" in capsys.readouterr().err


@pytest.fixture(scope="module")
def released():
    path = SHARED / "macil_sd" / "macil_sd.pkl"
    if not path.exists():
        pytest.skip("the authors' weights are not here")
    return path


def test_the_authors_network_gives_the_authors_numbers(released):
    """Their code lets snippets attend to the padding of the batch: so does this comparison."""
    network = from_released(torch.load(released, map_location="cpu", weights_only=True)).eval()
    want = {k: torch.from_numpy(v) for k, v in np.load(released.parent / "forward.npz").items()}
    bags = Bags(
        {m: want[f"{m}_features"] for m in ("visual", "audio")},
        torch.ones(5, 37, dtype=torch.bool),
        torch.zeros(5, 1),
        torch.arange(5),
    )
    with torch.no_grad():
        got = network(bags)
    same = lambda x, name: torch.testing.assert_close(x, want[name], atol=1e-5, rtol=0)
    same(got.joint_logit[..., 0], "av_logits")
    for m in ("visual", "audio"):
        same(got.logit[m][..., 0].sigmoid(), f"{m}_scores")
        same(got.embedding[m], f"{m}_embeddings")
    real = torch.arange(37) < want["lengths"][:, None]
    same(topk_pool(got.joint_logit, real)[:, 0].sigmoid(), "bag_scores_topk_pool")
    same(got.joint_logit[..., 0].sigmoid().mean(0), "snippet_scores")


def test_the_authors_weights_evaluate_and_fine_tune(released, tmp_path, capsys):
    model = tmp_path / "macil"
    assert main(["import-macil-sd", str(released), "--out", str(model)]) == 0
    network, _, _ = load_network(model)
    assert sum(p.numel() for p in network.parameters()) == 247_425
    data = tmp_path / "data"
    make_features(data, n_each=1, widths=(1024, 128))
    assert main(["evaluate", str(model)]) == 1
    assert "give --data" in capsys.readouterr().err
    crops = json.loads((model / "config.json").read_text())
    crops["config"]["bags"]["crops"] = 2
    (model / "config.json").write_text(json.dumps(crops))
    assert main(["evaluate", str(model), "--data", str(data)]) == 0
    assert "frame average precision" in capsys.readouterr().out
    words = [
        "train",
        "xd-violence",
        "--data",
        str(data),
        "--out",
        str(tmp_path / "tuned"),
        "--start-from",
        str(model),
    ]
    small = [
        "--bags.crops",
        "2",
        "--optim.epochs",
        "1",
        "--optim.learning-rate",
        "0",
        "--optim.tracker",
        "none",
    ]
    assert main([*words, *small, "--teacher.modality", ""]) == 0
    tuned, _, _ = load_network(tmp_path / "tuned")
    for k, v in network.state_dict().items():  # at learning rate 0 they stay the authors'
        torch.testing.assert_close(tuned.state_dict()[k], v)
    assert main(["import-macil-sd", str(released), "--out", str(model)]) == 1
    assert "already holds" in capsys.readouterr().err
    (tmp_path / "bad.pkl").write_bytes(b"x")
    torch.save({"fc_v.weight": torch.zeros(2, 2)}, tmp_path / "half.pkl")
    for name, message in (
        ("bad.pkl", "not a plain state dict"),
        ("half.pkl", "is missing"),
        ("no.pkl", "no such"),
    ):
        assert main(["import-macil-sd", str(tmp_path / name), "--out", str(tmp_path / "m")]) == 1
        assert message in capsys.readouterr().err


def test_the_doctor_finds_each_fault_and_no_other(tmp_path, capsys):
    make_features(tmp_path, n_each=1)
    words = ["check", "xd-violence", "--data", str(tmp_path), "--crops", "2"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "16 videos (8 violent, 8 normal), 48 files" in out
    assert "2 videos differ by one row" in out
    assert "truth of 8 test videos" in out
    rgb = sorted((tmp_path / "RGB").glob("*__0.npy"))
    audio = lambda p: tmp_path / "vggish/train" / p.name.replace("__0", "__vggish")
    rgb[0].unlink()
    rgb[1].write_bytes(b"nonsense")
    x = np.load(rgb[2])
    x[3, 1] = np.inf
    np.save(rgb[2], x)
    np.save(rgb[3], np.load(rgb[3])[:, :5])
    np.save(audio(rgb[4]), np.load(audio(rgb[4]))[:-4])
    np.save(rgb[5].with_name("clip__0.npy"), x)
    np.save(rgb[5].with_name("other.npy"), x)
    frames = {p.name.removesuffix("__0.npy"): 16 * 200 if i == 6 else 0 for i, p in enumerate(rgb)}
    (tmp_path / "train_frames.csv").write_text(
        "name,frames\n" + "\n".join(f"{k},{v}" for k, v in frames.items() if v)
    )
    assert main(words) == 1
    told = capsys.readouterr().out
    for message in (
        f"{rgb[0].name} is missing",
        f"{rgb[1]}: not a readable .npy file",
        f"{rgb[2]}: NaN or infinity in row 3",
        f"{rgb[3]}: has 5 channels, the other visual features 12",
        f"{rgb[4].name.removesuffix('__0.npy')}: ",
        "clip: expected a name that ends in _label_",
        "other.npy: belongs to nothing",
        f"{rgb[6].name.removesuffix('__0.npy')}: has",
    ):
        assert message in told, message
    n_wrong = sum(
        ": " in line and "videos (" not in line and "truth of" not in line for line in told.splitlines()
    )
    assert n_wrong == 11  # clip also lacks a crop and its audio, and holds the infinity of what it copies


def test_a_truth_of_other_features_is_told(tmp_path, capsys):
    make_features(tmp_path, n_each=1)
    words = ["check", "xd-violence", "--data", str(tmp_path), "--crops", "2"]
    np.save(tmp_path / "gt.npy", np.zeros(160))
    assert main(words) == 1
    assert "do not use it with them" in capsys.readouterr().out
    names = [v.name for v in find_features(tmp_path, 2)["test"]]
    (tmp_path / "visual_test.list").write_text(
        "\n".join(f"{n}__0.npy" for n in [*names[::-1], "gone_label_A"])
    )
    assert main(words) == 1
    out = capsys.readouterr().out
    assert "gone_label_A has no features" in out
    assert "not in the usual order" in out


def test_more_files_than_a_process_may_open(tmp_path):
    """Features wait in their files, none of them open."""
    resource = pytest.importorskip("resource")
    make_features(tmp_path, n_each=3)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 40
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, hard))
    try:
        recordings, _ = read_features(find_features(tmp_path, 2)["train"], lambda name: np.ones(1), {})
        assert len(recordings) == 48
        x = recordings[0].signal["visual"]
        np.testing.assert_array_equal(x[[3, 1]], np.asarray(x)[[3, 1]])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_file_that_changes_while_in_use_is_told(tmp_path):
    make_features(tmp_path, n_each=1)
    recordings, _ = read_features(find_features(tmp_path, 2)["train"], lambda name: np.ones(1), {})
    x = recordings[0].signal["visual"]
    np.save(x.path, np.zeros((1, 12), np.float32))
    with pytest.raises(FileError, match="it changed while in use"):
        x[:]


def test_a_name_without_label_code_is_told(tmp_path):
    np.save(tmp_path / "holiday__0.npy", np.zeros((3, 12), np.float32))
    with pytest.raises(FileError, match=r"holiday__0\.npy: its name has no label code"):
        find_features(tmp_path)


@pytest.mark.skipif(not (SHARED / "xd_violence").exists(), reason="the real lists are not here")
def test_a_tenth_of_the_real_names(tmp_path):
    """Generated features under real names and lengths: checked, trained on for an epoch, judged by frames."""
    tool = Path(__file__).parents[1] / "tools" / "generate_xd_violence.py"
    words = ["--lists", str(SHARED / "xd_violence"), "--out", str(tmp_path / "data"), "--every", "10"]
    small = ["--visual", "16", "--audio", "16", "--links"]
    subprocess.run([sys.executable, str(tool), *words, *small], check=True, capture_output=True)
    assert main(["check", "xd-violence", "--data", str(tmp_path / "data")]) == 0
    words = ["train", "xd-violence", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run")]
    assert main([*words, "--optim.epochs", "1", "--model.dim", "16", "--optim.tracker", "none"]) == 0
    figures = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert 0 < figures["test frame average precision"] <= 1


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling on a CPU needs a C++ compiler")
def test_compiled_training_gives_the_same_losses(tmp_path):
    make_features(tmp_path / "data", n_each=3)
    common = ["train", "xd-violence", "--data", str(tmp_path / "data"), "--optim.epochs", "2"]
    common += ["--model.dim", "16", "--model.dropout", "0", "--optim.tracker", "none"]
    common += ["--bags.crops", "1", "--bags.validation-share", "0"]
    histories = []
    for name, option in (("eager", "--optim.no-compile"), ("compiled", "--optim.compile")):
        assert main([*common, "--out", str(tmp_path / name), option]) == 0
        histories.append(json.loads((tmp_path / name / "history.json").read_text()))
    for a, b in zip(*histories, strict=True):
        assert a == pytest.approx(b, abs=1e-4)
