"""Settings on the command line: what a data set shows, files, old names."""

from __future__ import annotations

import json

import pytest

from mmcl.cli.main import COMMANDS, main, parse
from mmcl.config import RunConfig
from mmcl.config.migrations import CONTRASTS, RENAMED_COMPONENTS, RENAMED_SETTINGS
from mmcl.datasets import REGISTRY, get_dataset
from mmcl.losses.contrastive.components import slots_of

GIVEN = ["--data", "x", "--out", "y"]


def help_of(capsys, *words: str) -> str:
    with pytest.raises(SystemExit):
        main(list(words))
    return capsys.readouterr().out


@pytest.mark.parametrize("name", REGISTRY.names())
def test_help_is_short_and_help_all_is_complete(name, capsys):
    short, long = (help_of(capsys, "train", name, word) for word in ("--help", "--help-all"))
    assert len(short.splitlines()) < 140 < 250 < len(long.splitlines())
    assert "--help-all shows every one" in short
    for option in ("--seed", "--device", "--optim.epochs", "--data.modalities"):
        assert option in short
        assert option in long
    assert "--model.score-smoothing" in long
    assert "--model.score-smoothing" not in short


def test_a_data_set_shows_its_own_options_only(capsys):
    xd, streams = (help_of(capsys, "train", n, "--help-all") for n in ("xd-violence", "utd-mhad-streams"))
    assert "--data.crops" in xd
    assert "--data.crops" not in streams
    for option in ("--data.n-train-streams", "--data.train-subjects"):
        assert option in streams
        assert option not in xd
    for option in ("--labels.labelled", "--loss.mil.multiclass", "--model.joints"):
        assert option not in xd
        value = [] if "multiclass" in option else ["1"]
        assert main(["train", "xd-violence", *GIVEN, option, *value]) == 1
        assert f"{option}: xd-violence has no use for this setting" in capsys.readouterr().err


@pytest.mark.parametrize("old", sorted(RENAMED_SETTINGS))
def test_renamed_options_are_answered_with_the_new_name(old, capsys):
    if old in ("objective.parts_of", "bags.inertial_frames_per_hop"):
        return
    option = "--" + old.replace("_", "-")
    if RENAMED_SETTINGS[old] == old:
        return
    assert main(["train", "utd-mhad", *GIVEN, option, "1"]) == 1
    message = capsys.readouterr().err
    new = RENAMED_SETTINGS[old]
    for path in [new.replace("CONTRAST", c) for c in CONTRASTS] if "CONTRAST" in new else [new]:
        assert "--" + path.replace("_", "-") in message
        assert any(exists(path, n) for n in REGISTRY.names()), path


def exists(path: str, dataset: str) -> bool:
    config = RunConfig(data=get_dataset(dataset).Config())
    for name in path.split("."):
        if not hasattr(config, name):
            return False
        config = getattr(config, name)
    return True


def test_renamed_components_and_command_options(capsys):
    for old, new in RENAMED_COMPONENTS.items():
        assert slots_of(new)
        assert main(["train", "utd-mhad", *GIVEN, "--loss.recording.negatives", f"{old},concentration"]) == 1
        assert f"{old}: is called {new} now" in capsys.readouterr().err
    for words in (["finetune", "RUN", "--out", "x", "--draws", "2"], ["probe", "RUN", "--part", "test"]):
        assert main(words) == 1
        assert "is called --" in capsys.readouterr().err


def test_settings_from_a_file_and_options_over_them(tmp_path, capsys):
    path = tmp_path / "my.yaml"
    path.write_text("dataset: utd-mhad\nseed: 3\noptim: {epochs: 5}\ndata: {test_subjects: [2]}\n")
    config = parse(["train", "--config", str(path), *GIVEN, "--optim.epochs", "7"]).config
    assert (config.dataset, config.seed, config.optim.epochs) == ("utd-mhad", 3, 7)
    assert config.data.test_subjects == (2,)
    assert config.loss.mil.multiclass  # of the recipe
    assert parse(["train", "utd-mhad", f"--config={path}", *GIVEN]).config.optim.epochs == 5
    (tmp_path / "my.json").write_text(json.dumps({"optim": {"epochs": 9}}))
    assert parse(["train", "mmact", "--config", str(tmp_path / "my.json"), *GIVEN]).config.optim.epochs == 9
    for text, message in (
        ("optim: {epoch: 5}", "unknown setting 'epoch' of OptimConfig"),
        ("optim: {epochs: many}", "'epochs' holds 'many', expected int"),
        ("optim: 5", "'optim' holds 5, expected settings by name"),
        ("- 1", "holds no settings by name"),
        ("a: [", "not readable as YAML or JSON"),
        ("dataset: mmact", "is of mmact, not of utd-mhad"),
    ):
        path.write_text(text)
        assert main(["train", "utd-mhad", "--config", str(path), *GIVEN]) == 1
        assert message in capsys.readouterr().err
    assert main(["train", "--config", str(tmp_path / "none.yaml"), *GIVEN]) == 1
    assert "no such file" in capsys.readouterr().err
    path.write_text("seed: 1")
    assert main(["train", "--config", str(path), *GIVEN]) == 1
    assert "gives no data set; expected one of" in capsys.readouterr().err


def test_a_runs_settings_are_a_file_too(trained):
    config = parse(["train", "--config", str(trained / "config.json"), *GIVEN, "--seed", "5"]).config
    assert (config.dataset, config.seed, config.model.dim) == ("utd-mhad-streams", 5, 16)


@pytest.mark.parametrize("name", ["finetune", "distill", "probe", "diagnose", "evaluate", "extract", "score", "demo"])
def test_commands_that_compute_take_a_device(name, capsys):
    assert name in COMMANDS
    assert "--device" in help_of(capsys, name, "--help")
