"""Feature extractors against slow formulas and public conventions; their weights."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from mmcl.errors import FileError, InputError
from mmcl.features import mel
from mmcl.features.cards import ExtractorCard
from mmcl.features.extractor_set import create_extractor
from mmcl.features.extractors.descriptors import Descriptors
from mmcl.features.extractors.i3d import I3d, I3dBody, Pool, Unit, pad_same
from mmcl.features.extractors.log_mel import LogMel
from mmcl.features.extractors.vggish import Vggish, quantized, read_pca
from mmcl.features.weights import PublicWeights, find_weights, load_into

SHARED = Path(__file__).parents[3] / "shared" / "data"


def slow_log_mel(x: np.ndarray) -> np.ndarray:
    """VGGish's log-mel bin by bin, from its published definition."""

    def to_mel(hz):
        return 1127.0 * math.log(1.0 + hz / 700.0)

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


def test_vggish_reads_the_960_ms_that_end_with_the_snippet():
    torch.manual_seed(0)
    net = Vggish().eval()
    sound = torch.randn(2, 16000) * 0.1
    patch = mel.log_mel(sound[:, -15600:])
    assert patch.shape == (2, 96, 64)
    with torch.inference_mode():
        uncut = net(sound)
        torch.testing.assert_close(uncut, net.embed(patch))
        changed = sound.clone()
        changed[:, :400] = 1.0  # before the window
        torch.testing.assert_close(net(changed), uncut)
    assert uncut.shape == (2, 128)
    # the port's order: (frame, band, channel) flattened, not (channel, frame, band)
    x = net.features(patch[:, None])
    by_hand = torch.stack([x[0, c, f, b] for f in range(6) for b in range(4) for c in range(512)])
    with torch.inference_mode():
        torch.testing.assert_close(net.embeddings(by_hand[None]), uncut[:1])


VGGISH_KEYS = [f"features.{i}" for i in (0, 3, 6, 8, 11, 13)] + [f"embeddings.{i}" for i in (0, 2, 4)]


def test_key_layouts_are_the_public_ones():
    assert {k.rsplit(".", 1)[0] for k in Vggish().state_dict()} == set(VGGISH_KEYS)
    assert Vggish().state_dict()["embeddings.0.weight"].shape == (4096, 12288)
    keys = I3dBody().state_dict()
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
        five = I3d(None, 5).eval()
        y = five(frames)
        assert y.shape == (1, 5, 1024)
        places = [(16, 38), (0, 0), (0, 76), (32, 0), (32, 76)]
        for c, (top, left) in enumerate(places[:2]):
            cut = frames[:, :, top : top + 224, left : left + 224].permute(0, 4, 1, 2, 3).float() / 127.5 - 1
            torch.testing.assert_close(five.body(cut), y[:, c], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["r2plus1d", "s3d"])
def test_torchvision_networks(name):
    torch.manual_seed(0)
    net = create_extractor("visual", name, weights=None)
    side = net.short_side
    with torch.inference_mode():
        y = net(torch.randint(0, 255, (1, 16, side, side + 20, 3), dtype=torch.uint8))
    assert y.shape == (1, 1, net.dim)
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
        **I3dBody().state_dict(),
        "logits.conv3d.weight": torch.zeros(400, 1024, 1, 1, 1),
        "logits.conv3d.bias": torch.zeros(400),
    }
    path = tmp_path / "rgb_imagenet.pt"
    torch.save(state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    extractor = create_extractor("visual", "i3d", weights=str(path), n_crops=5)
    assert extractor.card("i3d") == ExtractorCard("i3d", 1024, digest, 5)
    torch.testing.assert_close(
        extractor.body.state_dict()["Mixed_5c.b0.conv3d.weight"], state["Mixed_5c.b0.conv3d.weight"]
    )
    fetched = create_extractor("visual", "i3d", weights=f"{path.as_uri()}#sha256={digest}")
    assert fetched.weights_sha256 == digest
    assert (tmp_path / "cache" / path.name).exists()
    assert create_extractor("visual", "i3d").weights_sha256 == digest  # the cache has it now
    with pytest.raises(InputError, match="expected the file's SHA-256 behind the address"):
        create_extractor("visual", "i3d", weights=path.as_uri())
    (tmp_path / "cache" / path.name).unlink()
    with pytest.raises(InputError, match="cannot be fetched"):
        create_extractor("visual", "i3d", weights=f"{path.as_uri()}#sha256={'0' * 64}")
    assert not list((tmp_path / "cache").glob("*.pt"))
    with pytest.raises(InputError) as error:  # offline and nothing there: which file, from where, to where
        create_extractor("visual", "i3d")
    for part in ("rgb_imagenet.pt", "https://", str(tmp_path / "cache"), "--visual-weights"):
        assert part in str(error.value)
    source = PublicWeights("net-0123abcd.pth", (tmp_path / "net-0123abcd.pth").as_uri())
    with pytest.raises(InputError, match=r"net-0123abcd\.pth"):
        find_weights(source, "", "--visual-weights")


def test_wrong_weights_are_named(tmp_path):
    path = tmp_path / "w.pt"
    state = Vggish().state_dict()
    state["features.0.weight"] = torch.zeros(64, 3, 3, 3)
    torch.save(state, path)
    with pytest.raises(FileError, match=r"'features.0.weight' is of shape \(64, 3, 3, 3\) in the file and of shape"):
        load_into(Vggish(), path)
    path.write_text("no")
    with pytest.raises(FileError, match="not a plain state dict"):
        load_into(Vggish(), path)


@pytest.mark.skipif(not (SHARED / "vggish").exists(), reason="VGGish's PCA parameters are not here")
def test_pca():
    vectors, means = read_pca(SHARED / "vggish" / "vggish_pca_params.npz")
    x = torch.randn(3, 128)
    y = quantized(x, vectors, means)
    for row, out in zip(x, y):
        white = np.clip(vectors.numpy() @ (row.numpy() - means.numpy()), -2, 2)
        np.testing.assert_allclose(out.numpy(), np.round((white + 2) * 255 / 4), atol=1)
    assert y.min() >= 0
    assert y.max() <= 255
