"""The body frame of skeletons with any number of joints."""

from __future__ import annotations

import numpy as np
import pytest

from mmcl.errors import InputError
from mmcl.readers.kinds.skeleton import body_frame


def test_any_skeleton_is_centred_and_scaled(rng):
    for n_joints, n_coordinates in ((5, 2), (17, 2), (20, 3), (9, 3)):
        x = rng.standard_normal((30, n_joints, n_coordinates))
        moved = body_frame(3.0 * x + 7.0)
        np.testing.assert_allclose(moved, body_frame(x), atol=1e-9)
    with pytest.raises(InputError, match="all joints coincide"):
        body_frame(np.zeros((30, 5, 2)))
