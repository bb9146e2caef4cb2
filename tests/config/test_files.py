"""Settings from and to nested dicts, overrides, versions."""

from __future__ import annotations

import dataclasses
import json

import pytest

from mmcl.config import RunConfig, from_dict, migrate, override, read_config_file, to_dict
from mmcl.config.validation import check_config, check_ranges
from mmcl.datasets import REGISTRY, get_dataset
from mmcl.errors import FileError, InputError


@pytest.mark.parametrize("name", REGISTRY.names())
def test_there_and_back(name):
    config = get_dataset(name).default_config()
    values = json.loads(json.dumps(to_dict(config)))
    assert from_dict(RunConfig, values, "x", config) == config
    base = RunConfig(data=get_dataset(name).Config())
    assert from_dict(RunConfig, values, "x", base) == config


def test_overrides():
    config = override(RunConfig(), {"loss.semibag.beta": 0.5, "loss.semibag.weight": 2.0, "seed": 3})
    assert (config.loss.semibag.beta, config.loss.semibag.weight, config.seed) == (0.5, 2.0, 3)
    assert RunConfig().loss.semibag.beta == 1.0
    with pytest.raises(InputError, match=r"loss.semibag.betta|betta: SemibagContrastConfig has no setting 'betta'"):
        override(RunConfig(), {"loss.semibag.betta": 0.5})


def test_every_number_has_limits_or_is_a_choice():
    for path, section in (("optim", RunConfig().optim), ("model", RunConfig().model), ("augment", RunConfig().augment)):
        for item in dataclasses.fields(section):
            if item.type in ("int", "float"):
                assert "limits" in item.metadata, f"{path}.{item.name}"
    for changes, message in (
        ({"optim.epochs": 0}, "--optim.epochs: expected at least 1, got 0"),
        ({"augment.crop": 2.0}, "--augment.crop: expected 0.05 to 1, got 2.0"),
        ({"model.norm": "group"}, "--model.norm: expected one of batch, layer, got group"),
    ):
        with pytest.raises(InputError, match=message):
            check_ranges(override(RunConfig(), changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss.distill.weight": 0.0, "loss.distill.teacher_run": "x"}, "teaches nothing"),
        ({"labels.unlabelled": "probe"}, "all are labelled; use --labels.labelled"),
        ({"labels.labelled": 1.0}, "trains on all its labels"),
        ({"loss.mil.multiclass": True}, "do not exclude each other"),
        ({"loss.recording.pseudo_positives": 0.5}, "needs the recordings of the same class"),
        ({"data.modalities": ("skeleton", "skeleton")}, "each once"),
        ({"loss.mil.weight": 0.0}, "needs two modalities and trimmed recordings"),
    ],
)
def test_contradictions(changes, message):
    config = override(RunConfig(), {"data.modalities": ("skeleton", "inertial"), **changes})
    with pytest.raises(InputError, match=message):
        check_config(config, "detection")


def test_versions(tmp_path):
    with pytest.raises(FileError, match="is of version 99, this mmcl reads 2"):
        migrate({"schema_version": 99}, "config.json")
    with pytest.raises(FileError, match="not the settings of a run"):
        migrate({"config": {}}, "config.json")
    with pytest.raises(FileError, match="no such file"):
        read_config_file(tmp_path / "none.yaml")
