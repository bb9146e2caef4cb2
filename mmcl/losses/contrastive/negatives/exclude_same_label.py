"""What has the query's label is no negative; of several labels it counts by ``1 - Jaccard``."""

from __future__ import annotations

from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch, label_overlap, require
from mmcl.losses.contrastive.negatives._shared import log_keep


class ExcludeSameLabel:
    """What has the query's label is no negative; of several labels it counts by ``1 - Jaccard``."""

    requires = frozenset({"labels"})

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        y, y_key = pairs.metadata.label, pairs.negative_metadata.label
        same = label_overlap(
            require(y, "exclude-same-label", "metadata.label"),
            require(y_key, "exclude-same-label", "negative_metadata.label"),
        )
        return log_keep(1 - same)
