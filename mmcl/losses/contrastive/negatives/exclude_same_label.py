"""What has the query's label is no negative."""

from __future__ import annotations

from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch, label_overlap, require
from mmcl.losses.contrastive.negatives._shared import log_keep


class ExcludeSameLabel:
    """What has the query's label is no negative.

    What has the query's label is no negative; of several labels it counts by ``1 - Jaccard``.

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> ExcludeSameLabel()(example_batch()).shape
        torch.Size([4, 6])
    """

    formula = r"w_{ij} = 1 - J(y_i, y_j)"
    use_when = "labels are there"
    source = "Choi 2023"

    requires = frozenset({"labels"})

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        y, y_negative = pairs.metadata.label, pairs.negative_metadata.label
        same = label_overlap(
            require(y, "exclude-same-label", "metadata.label"),
            require(y_negative, "exclude-same-label", "negative_metadata.label"),
        )
        return log_keep(1 - same)
