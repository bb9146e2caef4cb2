"""A data set's settings carry the name by which it was chosen."""

from __future__ import annotations

import pytest

from mmcl.datasets import REGISTRY, get_dataset
from mmcl.datasets.utd_mhad import UtdMhad


class Variant(UtdMhad):
    """Inherits the recipe, but is another data set."""


@pytest.mark.parametrize("name", [*REGISTRY.names(), f"{__name__}:Variant"])
def test_the_name_is_that_of_the_data_set(name):
    config = get_dataset(name).default_config()
    assert config.dataset == name
    assert type(config.data) is get_dataset(name).Config
