"""What the installation has, as it is."""

from __future__ import annotations

import json

import torch

from mmcl.cli.main import main
from mmcl.features.extractors import REGISTRY
from mmcl.features.weights import cache_folder


def test_env(capsys):
    assert main(["env", "--json", "-"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert torch.__version__.startswith(content["versions"]["torch"])
    assert set(content["extractors"]) == set(REGISTRY.names())
    assert content["extractors"]["descriptors"] == "ready, needs no weights"
    assert "fetched when it is used first" in content["extractors"]["i3d"]
    assert "fetched when it is used first" in content["extractors"]["s3d"]
    assert set(content["extras"].values()) == {"installed"}
    assert main(["env"]) == 0
    assert "extractors:" in capsys.readouterr().out


def test_what_is_missing_is_named(capsys, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name in ("paho", "transformers") else find(name, *a)
    )
    path = cache_folder() / "vggish-10086976.pth"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    try:
        assert main(["env", "--json", "-"]) == 0
    finally:
        path.unlink()
    content = json.loads(capsys.readouterr().out)
    assert content["extras"]["mqtt"] == "lacks paho: pip install 'mmcl[mqtt]'"
    assert content["extractors"]["hf"].startswith("lacks transformers: pip install 'mmcl[hf]'")
    assert content["extractors"]["vggish"] == f"ready, weights in {path}"
