"""A run is resumed on the recordings that it began with."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmcl.data.recording_index import SPLITS
from mmcl.data.stored_index import StoredRecordings
from mmcl.datasets import DataSplits
from mmcl.errors import FileError
from mmcl.runs.run_dir import CONFIG, read_run, read_saved
from mmcl.runs.run_splits import check_fits
from mmcl.types import Recording


def recordings_sha256(splits: DataSplits) -> str:
    """What tells whether splits hold the same recordings: their names, labels and groups, in order.

    Of a store it is the recordings' numbers in it, so that a million are not read.

    Args:
        splits: All of them.

    Example:
        >>> from mmcl.datasets import get_dataset
        >>> len(recordings_sha256(DataSplits(get_dataset("events"), ("fall",), [], [], [], {})))
        64
    """
    digest = hashlib.sha256("\n".join(splits.classes).encode())
    for split in SPLITS:
        digest.update(f"\n{split} {len(splits.of(split))}\n".encode())
        _add(digest, splits.of(split))
    return digest.hexdigest()


def _add(digest: hashlib._Hash, recordings: Sequence[Recording]) -> None:
    if isinstance(recordings, StoredRecordings):
        for x in (recordings.numbers, recordings.labels, recordings.groups):
            digest.update(np.ascontiguousarray(x).tobytes())
        return
    for r in recordings:
        digest.update(f"{r.name}\0{r.group}\0".encode())
        digest.update(b"" if r.label is None else np.asarray(r.label, np.float32).tobytes())


def check_same_recordings(run: Path | None, splits: DataSplits, data: Path) -> str:
    """The splits are those that a run began with.

    Args:
        run: Folder of the run that is resumed, if it is.
        splits: That it is to go on with.
        data: Where they are from.

    Returns:
        See ``recordings_sha256``.

    Raises:
        InputError: They differ in their recordings, classes, extractors or channels.
    """
    digest = recordings_sha256(splits)
    if run is None or not (run / CONFIG).exists():
        return digest
    saved = read_saved(run)
    check_fits(run, read_run(run, as_saved=True), splits, data)
    difference = ""
    if saved["classes"] != list(splits.classes):
        difference = f"the classes {', '.join(saved['classes'][:12])}, not {', '.join(splits.classes[:12])}"
    elif saved.get("recordings_sha256") not in (None, digest):
        counts = saved.get("recordings", {})
        unequal = [s for s in SPLITS if counts.get(s) != len(splits.of(s))]
        difference = "recordings of other names, labels, groups or order"
        if unequal:
            difference = f"{counts.get(unequal[0])} {unequal[0]} recordings, not {len(splits.of(unequal[0]))}"
    if difference:
        raise FileError(
            run / CONFIG,
            f"the run was made on {difference}: {data} has changed",
            "undo the change, or train into another --out",
        )
    return digest
