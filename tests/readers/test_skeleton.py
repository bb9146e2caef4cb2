"""The body frame of skeletons."""

from __future__ import annotations

import numpy as np
import pytest

from mmcl.errors import InputError
from mmcl.readers.kinds.skeleton import body_frame


def test_body_frame_ignores_place_and_size(rng):
    x = rng.standard_normal((9, 20, 3)).astype(np.float32)
    np.testing.assert_allclose(body_frame(3 * x + 5), body_frame(x), atol=1e-5)
    with pytest.raises(InputError, match="coincide"):
        body_frame(np.zeros((9, 20, 3), np.float32))
