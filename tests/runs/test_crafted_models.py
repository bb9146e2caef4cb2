"""Settings that somebody wrote into a model's config.json: one line that names the file, before memory is taken."""

from __future__ import annotations

import json
import shutil

import pytest

from mmcl.errors import InputError
from mmcl.inference.predictor import load_predictor


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("inputs.inertial.shape", [0], "an input of shape"),
        ("inputs.inertial.shape", [10**9], "an input of shape"),
        ("inputs.inertial.shape", "six", "an input of shape"),
        ("inputs.inertial.kind", "rays", "rays"),
        ("config.snippets.hop_s", 0, "hop-s"),
        ("config.snippets.hop_s", float("nan"), "hop-s"),
        ("config.model.n_heads", 0, "n-heads"),
        ("config.model.n_layers", 1_000_000, "n-layers: expected 0 to 100"),
        ("config.model.n_layers", 60, "holds another architecture"),
        ("config.model.dim", 16_000, "holds another architecture"),
        ("config.model.encoders", ["inertial=os:system"], "encoder"),
        ("config.dataset", "../../x", "x"),
        ("classes", [], "classes"),
        ("classes", 7, "classes"),
        ("extractors", {"visual": {"name": 1}}, "card"),
        ("data", 5, "not the settings of a run"),
    ],
)
def test_crafted_settings(trained, tmp_path, path, value, message):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    content = json.loads((run / "config.json").read_text())
    place, keys = content, path.split(".")
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    (run / "config.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message) as error:
        load_predictor(run, "cpu")
    assert "\n" not in str(error.value)
