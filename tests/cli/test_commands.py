"""Commands, help and suggestions."""

from __future__ import annotations

import pytest

from mmcl.cli.main import main


def test_commands_help_and_suggest(capsys):
    assert main([]) == 0
    assert "mmcl train DATASET" in capsys.readouterr().out
    assert main(["train"]) == 0
    assert "mmcl train utd-mhad-streams" in capsys.readouterr().out
    assert main(["store", "--help"]) == 0
    assert capsys.readouterr().out.count("mmcl store") == 2
    assert main(["scor", "x"]) == 1
    assert "did you mean 'mmcl score'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["train", "utd-mhad", "--data", "x", "--out", "y", "--optim.epoch", "3"])
    assert "--optim.epochs" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["train", "utd-mhad", "--help-all"])
    text = capsys.readouterr().out
    assert "Temperature" in text
    assert "(default: 0.2)" in text
