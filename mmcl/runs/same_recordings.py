"""Is a run gone on with, evaluated or begun from on the recordings that it was trained on, and on no others?"""

from __future__ import annotations

from pathlib import Path

from mmcl.config.schema import DataConfig
from mmcl.data.recording_index import SPLITS, RecordingIndex
from mmcl.datasets import Dataset, DataSplits
from mmcl.errors import FileError
from mmcl.runs.run_dir import CONFIG, RunInfo, read_run, read_saved
from mmcl.runs.run_splits import check_fits


def check_resumed(run: Path, splits: DataSplits, data: Path) -> None:
    """The splits are those that a run began with.

    Args:
        run: Folder of the run that is resumed.
        splits: That it is to go on with.
        data: Where they are from.

    Raises:
        InputError: They differ in their recordings, classes, extractors or channels.
    """
    if (run / CONFIG).exists():
        check_fits(run, read_run(run, as_saved=True), splits, data)
        _check(run, splits.classes, splits.recordings_sha256, data)


def index_now(dataset: Dataset, options: DataConfig, seed: int, data: Path) -> RecordingIndex | None:
    """The recordings that a run would be trained and tested on; no signal is read. None where the data are gone.

    Args:
        dataset: The data set.
        options: Its own options.
        seed: Of the run.
        data: Where the data set is.
    """
    return dataset.index(data, options, seed) if data.exists() else None


def check_finished(run: Path, index: RecordingIndex | None, data: Path) -> None:
    """The data set still holds what a finished run was trained and tested on.

    Args:
        run: Folder of the run.
        index: See ``index_now``.
        data: Where the data set is.

    Raises:
        InputError: It holds other recordings, splits, labels or groups.
    """
    if index is not None:
        _check(run, index.classes, index.sha256, data)


def _check(run: Path, classes: tuple[str, ...], sha256: str, data: Path) -> None:
    saved = read_saved(run)
    if saved["classes"] != list(classes):
        difference = f"the classes {', '.join(saved['classes'][:12])}, not {', '.join(classes[:12])}"
    elif saved.get("recordings_sha256", sha256) != sha256:
        counts = ", ".join(f"{s} {saved['recordings'].get(s, 0)}" for s in SPLITS)
        difference = f"other recordings, splits, labels or groups ({counts})"
    else:
        return
    raise FileError(
        run / CONFIG,
        f"the run was made on {difference}: {data} has changed",
        "undo the change, or train into another --out",
    )


def names_trained_on(info: RunInfo, splits: DataSplits, data: Path) -> list[str]:
    """Recordings of a test split that another run was trained on.

    Args:
        info: Of the other run.
        splits: With the test split.
        data: Where they are from; names of other data are not compared.
    """
    if info.own_data is None or info.own_data != data.resolve() or info.recordings_sha256 == splits.recordings_sha256:
        return []
    index = info.dataset.index(info.own_data, info.config.data, info.config.seed)
    used = ("train", "validation") if info.config.refits else ("train",)
    names = {row.name for split in used for row in index.of(split)}
    return [r.name for r in splits.test if r.name in names]
