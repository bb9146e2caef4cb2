"""Objectives by name: where components go, and what is left out."""

from __future__ import annotations

import pytest
from support import check_settings, recipe

from mmcl.datasets import REGISTRY
from mmcl.datasets.sources.recipes import comparison_recipe
from mmcl.errors import InputError
from mmcl.experiments.ablation import ablation_names, choose_objectives, with_components
from mmcl.experiments.compare import runs_of
from mmcl.losses.contrastive.components import SLOTS, registry


def test_components_go_to_their_slots():
    base = recipe("utd-mhad-streams")
    dataset_dir = with_components(base, "cluster-count(n_clusters=9)+dcl+std-hinge*0.5+repetition").loss.snippet
    assert dataset_dir.negatives == ("cluster-count(n_clusters=9)", "concentration")
    assert (dataset_dir.pair_loss, dataset_dir.regularizers) == ("dcl", ("std-hinge*0.5",))
    assert with_components(base, "repetition").augment.repetition == 0.32
    assert with_components(base, "unimodal-teacher").teacher.unimodal == "skeleton"
    with pytest.raises(InputError, match="--objectives nonsense: expected names from"):
        with_components(base, "nonsense")


def test_every_single_mechanism_is_a_run(capsys):
    names = choose_objectives(recipe("utd-mhad-streams"), ["all"])
    assert names == ["default", *ablation_names()]
    assert capsys.readouterr().out == ""
    named = {name for slot in SLOTS for name in registry(slot).names()} - {
        "cosine",
        "info-nce",
        "concentration",
    }
    assert named <= set(names)
    settings = [str(config) for config in runs_of(recipe("utd-mhad-streams"), names, [0]).values()]
    assert len(set(settings)) == len(settings)


@pytest.mark.parametrize("name", [n for n in REGISTRY.names() if n not in ("recordings", "events")])
def test_all_is_what_differs_on_this_data_set(name, capsys):
    """Nothing that trains just as the default is compared, and what cannot be trained is named."""
    config = comparison_recipe(recipe(name))
    names = choose_objectives(config, ["all", "default"])
    printed = capsys.readouterr().out
    assert set(names).isdisjoint(line.split(":")[0] for line in printed.splitlines())
    assert len(names) + len(printed.splitlines()) == 1 + len(ablation_names())
    assert not with_components(config, "no-contrast").loss.in_use
    assert "no-contrast" in names
    for settings in runs_of(config, names, [0]).values():
        check_settings(settings)
    if name == "xd-violence":  # its beta is 0, its teacher the unimodal one, there is no EMA model
        for other in ("info-nce", "unimodal-teacher", "no-distillation"):
            assert f"{other}: left out; with these settings it is default" in printed
        assert "soft-teacher: left out; " in printed
        with pytest.raises(InputError, match="soft-teacher: needs the EMA model"):
            choose_objectives(config, ["default", "soft-teacher"])
    if name == "utd-mhad":
        assert "info-nce" in names
        assert "no-distillation: left out; with these settings it is default" in printed


def test_a_third_party_s_component_is_compared_in_the_slot_that_is_named():
    base = recipe("utd-mhad-streams")
    dataset_dir = with_components(
        base, "negatives=mmcl.losses.contrastive.negatives.exclude_same_label:ExcludeSameLabel+std-hinge"
    ).loss.snippet
    assert dataset_dir.negatives == (
        "mmcl.losses.contrastive.negatives.exclude_same_label:ExcludeSameLabel",
        "concentration",
    )
    assert dataset_dir.regularizers == ("std-hinge",)
    check_settings(
        with_components(base, "negatives=mmcl.losses.contrastive.negatives.exclude_same_label:ExcludeSameLabel")
    )
    with pytest.raises(InputError, match="or SLOT=package"):
        with_components(base, "mmcl.losses.contrastive.negatives.exclude_same_label:ExcludeSameLabel")
