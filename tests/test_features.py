"""Front-ends against slow formulas and public conventions; weights, store and extraction on real files."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import write_clip

from mmcl.cli import main
from mmcl.data.media import read_snippets
from mmcl.data.xd_violence import find_features
from mmcl.errors import FileError, InputError
from mmcl.features import mel
from mmcl.features.descriptors import Descriptors, LogMel
from mmcl.features.extract import extract_file, find_media
from mmcl.features.frontends import Card, make_front_ends, make_visual
from mmcl.features.store import open_store
from mmcl.features.vggish import Vggish, quantised, read_pca
from mmcl.features.video_networks import TORCHVISION, I3d, Pool, Unit, i3d, pad_same, torchvision_network
from mmcl.features.weights import Source, find_weights, load_into

SHARED = Path(__file__).parents[2] / "shared" / "data"


def slow_log_mel(x: np.ndarray) -> np.ndarray:
    """VGGish's front-end bin by bin, from its published definition."""
    to_mel = lambda hz: 1127.0 * math.log(1.0 + hz / 700.0)
    edges = np.linspace(to_mel(125.0), to_mel(7500.0), 66)
    rows = []
    for start in range(0, len(x) - 400 + 1, 160):
        window = [x[start + i] * (0.5 - 0.5 * math.cos(2 * math.pi * i / 400)) for i in range(400)]
        magnitude = np.abs(np.fft.rfft(window, 512))
        row = []
        for b in range(64):
            total = 0.0
            for k in range(1, 257):
                at = to_mel(k * 16000 / 512)
                slope = min(
                    (at - edges[b]) / (edges[b + 1] - edges[b]),
                    (edges[b + 2] - at) / (edges[b + 2] - edges[b + 1]),
                )
                total += max(slope, 0.0) * magnitude[k]
            row.append(math.log(total + 0.01))
        rows.append(row)
    return np.array(rows)


def test_log_mel_is_vggishs():
    x = np.random.default_rng(0).standard_normal(1200) * 0.1
    ours = mel.log_mel(torch.from_numpy(x))
    np.testing.assert_allclose(ours.numpy(), slow_log_mel(x), atol=1e-8)
    assert ours.shape == (mel.n_frames(1200), 64) == (6, 64)
    assert mel.log_mel(torch.zeros(16000 - 25)).unique().item() == pytest.approx(math.log(0.01))


def test_vggish_sees_the_960_ms_that_end_with_the_snippet():
    torch.manual_seed(0)
    net = Vggish().eval()
    sound = torch.randn(2, 16000) * 0.1
    patch = mel.log_mel(sound[:, -15600:])
    assert patch.shape == (2, 96, 64)
    with torch.inference_mode():
        whole = net(sound)
        torch.testing.assert_close(whole, net.embed(patch))
        changed = sound.clone()
        changed[:, :400] = 1.0  # before the window
        torch.testing.assert_close(net(changed), whole)
    assert whole.shape == (2, 128)
    # the port's order: (frame, band, channel) flattened, not (channel, frame, band)
    x = net.features(patch[:, None])
    by_hand = torch.stack([x[0, c, f, b] for f in range(6) for b in range(4) for c in range(512)])
    with torch.inference_mode():
        torch.testing.assert_close(net.embeddings(by_hand[None]), whole[:1])


VGGISH_KEYS = [f"features.{i}" for i in (0, 3, 6, 8, 11, 13)] + [f"embeddings.{i}" for i in (0, 2, 4)]


def test_key_layouts_are_the_public_ones():
    assert {k.rsplit(".", 1)[0] for k in Vggish().state_dict()} == set(VGGISH_KEYS)
    assert Vggish().state_dict()["embeddings.0.weight"].shape == (4096, 12288)
    keys = I3d().state_dict()
    units = ["Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3"]
    units += [
        f"Mixed_{m}.{b}"
        for m in ["3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c"]
        for b in ["b0", "b1a", "b1b", "b2a", "b2b", "b3b"]
    ]
    entries = [
        "conv3d.weight",
        "bn.weight",
        "bn.bias",
        "bn.running_mean",
        "bn.running_var",
        "bn.num_batches_tracked",
    ]
    assert set(keys) == {f"{u}.{e}" for u in units for e in entries}
    assert sum(keys[f"Mixed_5c.{b}.conv3d.weight"].shape[0] for b in ("b0", "b1b", "b2b", "b3b")) == 1024


def test_i3d_pads_as_tensorflow_does():
    x = torch.rand(1, 2, 5, 7, 6)
    for kernel, stride in (
        ((3, 3, 3), (2, 2, 2)),
        ((1, 3, 3), (1, 2, 2)),
        ((7, 7, 7), (2, 2, 2)),
        ((2, 2, 2), (2, 2, 2)),
    ):
        y = Pool(kernel, stride)(x)
        assert y.shape[2:] == tuple(-(-n // s) for n, s in zip(x.shape[2:], stride))
        padded = pad_same(x, kernel, stride)
        for axis, (n, k, s) in enumerate(zip(x.shape[2:], kernel, stride), 2):
            total = max((-(-n // s) - 1) * s + k - n, 0)
            assert padded.shape[axis] == n + total
            front = padded.narrow(axis, 0, total // 2)
            assert front.abs().sum() == 0  # the smaller half before, the larger behind
    unit = Unit(2, 3, 3, 2).eval()
    y = unit(x)
    by_hand = torch.nn.functional.conv3d(pad_same(x, (3,) * 3, (2,) * 3)[..., :3, :3, :3], unit.conv3d.weight)
    torch.testing.assert_close(y[..., :1, :1, :1], torch.relu(by_hand / math.sqrt(1 + 1e-3)))


def test_video_networks_and_their_crops():
    torch.manual_seed(0)
    frames = torch.randint(0, 255, (1, 16, 256, 300, 3), dtype=torch.uint8)
    with torch.inference_mode():
        five = i3d(5).eval()
        y = five(frames)
        assert y.shape == (1, 5, 1024)
        places = [(16, 38), (0, 0), (0, 76), (32, 0), (32, 76)]
        for c, (top, left) in enumerate(places[:2]):
            cut = frames[:, :, top : top + 224, left : left + 224].permute(0, 4, 1, 2, 3).float() / 127.5 - 1
            torch.testing.assert_close(five.body(cut), y[:, c], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["r2plus1d", "s3d"])
def test_torchvision_networks(name):
    torch.manual_seed(0)
    net = torchvision_network(name, 1).eval()
    side = net.short_side
    with torch.inference_mode():
        y = net(torch.randint(0, 255, (1, 16, side, side + 20, 3), dtype=torch.uint8))
    assert y.shape == (1, 1, TORCHVISION[name][3])
    assert y.std() > 0


def test_descriptors_tell_colour_motion_and_loudness():
    still = torch.zeros(1, 16, 64, 80, 3, dtype=torch.uint8)
    red = still.clone()
    red[..., 0] = 200
    moving = still.clone()
    for k in range(16):
        moving[0, k, 20:40, 4 * k : 4 * k + 10] = 255
    d = Descriptors()
    a, b, c = (d(x)[0, 0] for x in (still, red, moving))
    assert a.shape == (1024,)
    assert a.abs().max() == 0
    torch.testing.assert_close(b[:64], torch.full((64,), 200 / 255))
    assert b[192:].abs().max() < 1e-6  # one colour: no change, no edges, no motion
    assert c[-256:].max() > 0.05
    # edges: a picture cut vertically has gradients along x alone (directions 0 and 4)
    half = still.clone()
    half[..., 40:, :] = 255
    edges = d(half)[0, 0, 256:768].view(8, 64).sum(1)
    assert edges[0] > 0
    assert edges[[1, 2, 3, 5, 6, 7]].abs().max() == 0
    quiet, loud = LogMel()(torch.zeros(1, 16000))[0], LogMel()(torch.randn(1, 16000))[0]
    assert quiet.abs().max() < 0.01
    assert loud[:64].min() > 0.5


def test_descriptors_do_not_depend_on_the_batch():
    g = torch.Generator().manual_seed(0)
    x = torch.randint(0, 255, (5, 16, 48, 64, 3), dtype=torch.uint8, generator=g)
    torch.testing.assert_close(Descriptors()(x), torch.cat([Descriptors()(x[i : i + 1]) for i in range(5)]))


def test_weights_from_file_address_and_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MMCL_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    state = {
        **I3d().state_dict(),
        "logits.conv3d.weight": torch.zeros(400, 1024, 1, 1, 1),
        "logits.conv3d.bias": torch.zeros(400),
    }
    path = tmp_path / "rgb_imagenet.pt"
    torch.save(state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    front, card = make_visual("i3d", str(path), 5)
    assert card == Card("i3d", 1024, digest, 5)
    torch.testing.assert_close(
        front.body.state_dict()["Mixed_5c.b0.conv3d.weight"], state["Mixed_5c.b0.conv3d.weight"]
    )
    _, card = make_visual("i3d", f"{path.as_uri()}#sha256={digest}")
    assert card.weights == digest
    assert (tmp_path / "cache" / path.name).exists()
    assert make_visual("i3d")[1].weights == digest  # the cache has it now
    with pytest.raises(InputError, match="expected the file's SHA-256 behind the address"):
        make_visual("i3d", path.as_uri())
    (tmp_path / "cache" / path.name).unlink()
    with pytest.raises(InputError, match="cannot be fetched"):
        make_visual("i3d", f"{path.as_uri()}#sha256={'0' * 64}")
    assert not list((tmp_path / "cache").glob("*.pt"))
    with pytest.raises(InputError) as error:  # offline and nothing there: which file, from where, to where
        make_visual("i3d")
    for part in ("rgb_imagenet.pt", "https://", str(tmp_path / "cache"), "--visual-weights"):
        assert part in str(error.value)
    source = Source("net-0123abcd.pth", (tmp_path / "net-0123abcd.pth").as_uri())
    with pytest.raises(InputError, match=r"net-0123abcd\.pth"):
        find_weights(source, "", "--visual-weights")


def test_wrong_weights_are_named(tmp_path):
    path = tmp_path / "w.pt"
    state = Vggish().state_dict()
    state["features.0.weight"] = torch.zeros(64, 3, 3, 3)
    torch.save(state, path)
    with pytest.raises(
        FileError, match=r"'features.0.weight' is of shape \(64, 3, 3, 3\) in the file and of shape"
    ):
        load_into(Vggish(), path)
    path.write_text("no")
    with pytest.raises(FileError, match="not a plain state dict"):
        load_into(Vggish(), path)


@pytest.mark.skipif(not (SHARED / "vggish").exists(), reason="VGGish's PCA parameters are not here")
def test_pca():
    vectors, means = read_pca(SHARED / "vggish" / "vggish_pca_params.npz")
    x = torch.randn(3, 128)
    y = quantised(x, vectors, means)
    for row, out in zip(x, y):
        white = np.clip(vectors.numpy() @ (row.numpy() - means.numpy()), -2, 2)
        np.testing.assert_allclose(out.numpy(), np.round((white + 2) * 255 / 4), atol=1)
    assert y.min() >= 0
    assert y.max() <= 255


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    write_clip(folder / "a b#1_label_A.mp4", 120)
    write_clip(folder / "größe_label_G-0-0.mkv", 72)
    return folder


def test_extract_resumes_and_names_what_failed(videos, tmp_path, capsys):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "text.mp4").write_text("no video")
    (bad / "empty.webm").touch()
    write_clip(bad / "short.mp4", 10)
    write_clip(bad / "silent_label_A.mp4", 48, audio=None)
    store = tmp_path / "store"
    words = ["extract", str(videos), str(bad), "--out", str(store)]
    assert main(words) == 1
    printed = capsys.readouterr()
    for name, why in (
        ("text.mp4", "not a readable"),
        ("empty.webm", "is empty"),
        ("short.mp4", "shorter than"),
    ):
        (line,) = [x for x in printed.out.splitlines() if name in x]
        assert why in line
    assert "3 of 6 files failed" in printed.err
    assert "silent_label_A.mp4: has no audio stream" in printed.out + printed.err
    x = np.load(store / "a b#1_label_A__0.npy")
    assert x.shape == ((120 - 1) // 16, 1024)
    assert np.load(store / "a b#1_label_A__log-mel.npy").shape == (7, 128)
    assert not (store / "silent_label_A__log-mel.npy").exists()
    assert not list(store.glob(".*part"))
    before = (store / "a b#1_label_A__0.npy").stat().st_mtime_ns
    assert main(["extract", str(videos), "--out", str(store)]) == 0
    assert "2 were there already" in capsys.readouterr().out
    assert (store / "a b#1_label_A__0.npy").stat().st_mtime_ns == before
    assert main(["extract", str(videos), "--out", str(store), "--audio", "none"]) == 1
    assert "other streams" in capsys.readouterr().err


def test_features_are_those_of_the_snippets(videos, tmp_path):
    path = videos / "a b#1_label_A.mp4"
    done = extract_file(path, make_front_ends())
    snippets = list(read_snippets(path, Descriptors.short_side)[1])
    visual = torch.cat([Descriptors()(torch.from_numpy(s.frames.copy())[None]) for s in snippets])
    audio = torch.cat([LogMel()(torch.from_numpy(s.audio.copy())[None]) for s in snippets])
    np.testing.assert_allclose(done.features["visual"], visual.numpy(), atol=1e-6)
    np.testing.assert_allclose(done.features["audio"], audio.numpy(), atol=1e-6)
    assert main(["extract", str(path), "--out", str(tmp_path), "--half"]) == 0
    half = np.load(tmp_path / f"{path.stem}__0.npy")
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, visual[:, 0].numpy(), atol=2e-3)


def test_extract_shares_files_among_processes(videos, tmp_path):
    for rank in range(2):
        env = {**os.environ, "RANK": str(rank), "WORLD_SIZE": "2"}
        words = [sys.executable, "-m", "mmcl", "extract", str(videos), "--out", str(tmp_path)]
        done = subprocess.run(words, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert f"1 extracted, 0 were there already, 0 failed (part {rank + 1} of 2)" in done.stdout
    assert len(list(tmp_path.glob("*__info.json"))) == 2
    features = find_features(tmp_path, 1)
    assert [v.name for v in features["train"]] == ["größe_label_G-0-0", "a b#1_label_A"]
    info = json.loads((tmp_path / "größe_label_G-0-0__info.json").read_text())
    assert info["streams"] == ["visual", "audio"]


def test_sources(videos, tmp_path):
    assert len(find_media([videos])) == 2
    assert find_media([f"{videos}/*.mkv"]) == [videos / "größe_label_G-0-0.mkv"]
    with pytest.raises(FileError, match="no such file"):
        find_media([tmp_path / "*.mp4"])
    (tmp_path / "a b#1_label_A.avi").touch()
    with pytest.raises(FileError, match="has the name of"):
        find_media([videos, tmp_path])


def test_a_store_has_one_maker(tmp_path):
    cards = {"visual": Card("i3d", 1024, "aa"), "audio": Card("vggish", 128, "bb")}
    open_store(tmp_path, cards)
    open_store(tmp_path, cards)
    with pytest.raises(FileError, match="weights aa, not cc"):
        open_store(tmp_path, {**cards, "visual": Card("i3d", 1024, "cc")})
    with pytest.raises(FileError, match="name i3d, not s3d"):
        open_store(tmp_path, {**cards, "visual": Card("s3d", 1024, "aa")})


def test_extract_under_torchrun_loses_nothing_to_a_bad_file(tmp_path):
    """torchrun ends all processes when one fails: none may leave before all are done."""
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("a", "c"):
        (videos / f"{name}_label_A.mp4").write_text("no video")
    for name in ("b", "d"):
        write_clip(videos / f"{name}_label_A.mp4", 240)
    words = ["-m", "mmcl", "extract", str(videos), "--out", str(tmp_path / "store"), "--jobs", "1"]
    run = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node",
        "2",
        "--master_port",
        "29713",
        *words,
    ]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(run, capture_output=True, text=True, env=env, timeout=200)
    assert done.returncode != 0
    assert "2 of 4 files failed" in done.stderr
    for name in ("a", "c"):
        assert f"{name}_label_A.mp4  not a readable" in done.stdout
    assert len(list((tmp_path / "store").glob("*__info.json"))) == 2


def test_extract_goes_on_whatever_a_file_does(tmp_path, capsys):
    """In the store's own folder, with a name too long for its results, with another file of its name."""
    write_clip(tmp_path / "b_label_A.mp4", 24)
    shutil.copy(tmp_path / "b_label_A.mp4", tmp_path / f"{'x' * 246}.mp4")
    (tmp_path / "a.mp4").write_text("no video")
    (tmp_path / "._b.mp4").write_text("a resource fork")
    assert main(["extract", str(tmp_path), "--out", str(tmp_path), "--jobs", "1"]) == 1
    assert "1 extracted, 0 were there already, 2 failed" in capsys.readouterr().out
    other = tmp_path / "other"
    other.mkdir()
    write_clip(other / "b_label_A.mp4", 72)
    assert main(["extract", str(other), "--out", str(tmp_path)]) == 1
    assert "the store holds features of another file of this name" in capsys.readouterr().out


def test_options_without_effect_are_refused(capsys, tmp_path, videos):
    for words in (
        ["--pca", "x.npz"],
        ["--visual-weights", "x.pt"],
        ["--audio-weights", "x.pt"],
        ["--jobs", "0"],
    ):
        assert main(["extract", str(videos), "--out", str(tmp_path), *words]) == 1
        assert words[0] in capsys.readouterr().err


def test_racing_writers_do_not_meet(tmp_path):
    cards = {"visual": Card("i3d", 1024, "aa")}
    code = "import sys; from pathlib import Path; from mmcl.features.store import open_store; from mmcl.features.frontends import Card\n"
    code += "for i in range(60): open_store(Path(sys.argv[1]) / str(i), {'visual': Card('i3d', 1024, 'aa')})"
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.PIPE) for _ in "ab"
    ]
    assert [p.communicate()[1][-300:] for p in both] == [b"", b""]
    open_store(tmp_path / "0", cards)
    assert not list(tmp_path.rglob("*.part"))
