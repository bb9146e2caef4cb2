"""The split of each recording of a user's own: as the data say, by named groups, or by folds of groups."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmcl.data.recording_index import SPLITS, RecordingIndex, RecordingRow
from mmcl.errors import FileError, InputError
from mmcl.io import print_once
from mmcl.media.find import find_copies

DEFAULT_FOLDS = 5
DRAWS = 200  # of folds, until every fold shows two classes or more


def assign_splits(
    index: RecordingIndex,
    test_groups: Sequence[str] = (),
    validation_groups: Sequence[str] = (),
    folds: int = 0,
    fold: int = 0,
    seed: int = 0,
) -> RecordingIndex:
    """The index with a split in every row.

    As the rows say; else by named groups; else by folds (``assign_folds``): the fold ``fold`` is tested on, the next
    one validates.

    Args:
        index: Of a manifest or a folder.
        test_groups: Groups to test on, where rows name no split.
        validation_groups: Groups held out to select the epoch.
        folds: Number of folds, 0 = ``default_folds`` where nothing else says the split.
        fold: Which is tested on.
        seed: Draws the folds.

    Raises:
        FileError: Some rows alone name a split, a split is empty, or two splits share a group or a recording.
        InputError: A group is unknown, or two things say the split.
    """
    path = index.path
    given = [row for row in index.rows if row.split]
    if given and len(given) < len(index.rows):
        row = next(row for row in index.rows if not row.split)
        raise FileError(
            path,
            f"{row.where.removeprefix(f'{path}: ')}: no split",
            "fill the column split in every line, or in none",
        )
    groups = {row.group for row in index.rows}
    for option, named in (("test", test_groups), ("validation", validation_groups)):
        if given and named:
            raise InputError(f"--data.{option}-groups: {path} has a column split, which says it already")
        if missing := [g for g in named if g not in groups]:
            raise InputError(f"--data.{option}-groups {missing[0]}: no recording of {path} is of this group")
    if folds and (given or test_groups):
        split_by = (
            "--data.test-groups" if not given else "folders train and test" if path.is_dir() else "a column split"
        )
        raise InputError(f"{folds} folds: {path} has {split_by}, so that what is tested on is said already")
    if not given and not test_groups:
        if validation_groups:
            raise InputError("--data.validation-groups: say what to test on, too, by --data.test-groups")
        index = assign_folds(index, folds or default_folds(index), fold, seed)
    else:
        of_group = dict.fromkeys(validation_groups, "validation") | dict.fromkeys(test_groups, "test")
        rows = tuple(replace(r, split=r.split or of_group.get(r.group, "train")) for r in index.rows)
        index = replace(index, rows=rows)
    for split in ("train", "test"):
        if not index.of(split):
            raise FileError(path, f"holds no recordings of the {split} split", "assign some to it")
    check_apart(index)
    return index


def default_folds(index: RecordingIndex) -> int:
    """Five, or as many as there are groups, or recordings of the largest class, but three.

    Args:
        index: Of own recordings.
    """
    n_groups = len({row.group or f"\0{row.name}" for row in index.rows})
    largest = max(Counter(row.labels for row in index.rows).values())
    return max(min(DEFAULT_FOLDS, n_groups, largest), 3)


def resamples_of_folds(folds: int, seed: int) -> dict[str, dict[str, Any]]:
    """Settings of the runs of a cross-validation: each fold is tested on once.

    Example:
        >>> resamples_of_folds(3, 1)["fold-2"]
        {'data.folds': 3, 'data.fold': 2, 'data.fold_seed': 1}
    """
    return {f"fold-{k}": {"data.folds": folds, "data.fold": k, "data.fold_seed": seed} for k in range(folds)}


def assign_folds(index: RecordingIndex, folds: int, fold: int, seed: int) -> RecordingIndex:
    """The index split by folds that share no group, each with about the same share of every class.

    Recordings without a group are each their own; a warning is printed where no group is known.

    Args:
        index: Of a manifest or a folder.
        folds: Number of folds, 3 or more.
        fold: Is tested on; the next one validates.
        seed: Draws the folds.

    Raises:
        InputError: The number is too small or too large, or a class has too few recordings or groups.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if folds < 3 or not 0 <= fold < folds:
        raise InputError(
            f"--data.folds {folds} --data.fold {fold}: expected 3 folds or more (train, validation, test) and a fold "
            f"from 0 to {folds - 1}"
        )
    groups = np.array([row.group or f"\0{row.name}" for row in index.rows])
    label = np.array([";".join(row.labels) for row in index.rows])
    counts = Counter(label.tolist())
    rarest = min(counts, key=counts.__getitem__)
    if counts[rarest] < 3:
        raise FileError(
            index.path,
            f"class '{rarest or 'without events'}' has {counts[rarest]} recording{'s'[: counts[rarest] != 1]}",
            "expected 3 or more, so that train, validation and test have one",
        )
    if len(set(groups)) < folds:
        raise InputError(
            f"{folds} folds: {index.path} has {len(set(groups))} groups (a recording without a group counts as one); "
            "use fewer folds"
        )
    if max(counts.values()) < folds:
        most = max(counts, key=counts.__getitem__)
        raise InputError(
            f"{folds} folds: {index.path} has {counts[most]} recordings of its largest class, "
            f"'{most or 'without events'}'; use fewer folds"
        )
    n_ungrouped = sum(not row.group for row in index.rows)
    if 0 < n_ungrouped < len(index.rows):
        print_once(
            f"{index.path}: {n_ungrouped} of {len(index.rows)} recordings have no group; each counts as one of its "
            "own, so that it may be of a source that other splits hold"
        )
    if n_ungrouped == len(index.rows):
        print_once(
            f"{index.path}: names no groups, so that recordings of one source (camera, place, person) may be in train "
            "and test, and test metrics too good; of a folder use --data.group-by (such as 'cam[0-9]+', found in file "
            "names) or a folder a group, of a manifest a column group"
        )
    number = {name: i for i, name in enumerate(sorted(counts))}
    classes = np.array([number[v] for v in label])

    def draw(random_state: int) -> np.ndarray:
        fold_of = np.zeros(len(groups), int)
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=random_state)
        for k, (_, members) in enumerate(splitter.split(groups, classes, groups)):
            fold_of[members] = k
        return fold_of

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class of fewer recordings than folds
        partitions = (draw(seed if n == 0 else seed * DRAWS + n) for n in range(DRAWS))
        first = next(partitions)  # other draws only where this one leaves a fold with one class alone
        fold_of = first if _is_usable(first, label) else next((p for p in partitions if _is_usable(p, label)), first)
    split_of = {fold: "test", (fold + 1) % folds: "validation"}
    rows = tuple(replace(r, split=split_of.get(int(k), "train")) for r, k in zip(index.rows, fold_of, strict=True))
    return replace(index, rows=rows)


def _is_usable(fold_of: np.ndarray, label: np.ndarray) -> bool:
    """Every fold shows two classes, or recordings with and without a label where there are both."""
    shown = label != "" if (label == "").any() else label
    return all(len(np.unique(shown[fold_of == k])) > 1 for k in range(fold_of.max() + 1))


def check_apart(index: RecordingIndex) -> None:
    """No group, no file and no content is in two splits, and no video, or a copy of it, in two rows.

    Raises:
        FileError: Naming the group or the rows.
    """
    first: dict[str, RecordingRow] = {}
    rows_of: dict[Path, RecordingRow] = {}
    for row in index.rows:
        if row.group:
            remedy = "move all of it to one split"
            _check_split(index, first.setdefault(row.group, row), row, f"group '{row.group}'", remedy)
        for path in {path.resolve() for path in row.media_files}:
            if path in rows_of:
                raise FileError(
                    index.path, f"{row.name} and {rows_of[path].name} are the same video {path.name}", "remove one row"
                )
            rows_of[path] = row
        for path in {path.resolve() for source in row.sources.values() for path in source.files}:
            other = rows_of.setdefault(path, row)
            _check_split(index, other, row, f"{path.name}, of {other.name} and {row.name},", "remove one row")
    for copy, original in find_copies(rows_of).items():
        one, other = rows_of[original], rows_of[copy]
        what = f"the content of {one.name} and {other.name}, which are equal,"
        _check_split(index, one, other, what, "remove one of the copies")
        if one is not other and one.media and other.media:
            labels = " and ".join(";".join(row.labels) or "nothing" for row in (one, other))
            differ = "" if one.labels == other.labels else f" and labelled {labels}"
            raise FileError(index.path, f"{one.name} and {other.name} are equal{differ}", "remove one of the copies")


def _check_split(index: RecordingIndex, one: RecordingRow, other: RecordingRow, what: str, remedy: str) -> None:
    if one.split and other.split and one.split != other.split:
        raise FileError(
            index.path,
            f"{what} is in the {one.split} and in the {other.split} split",
            f"{remedy}, so that the test is on what was not trained on",
        )


def check_classes(index: RecordingIndex, is_localized: bool = False) -> None:
    """Classes have names that differ by more than case, and every split shows two or more.

    Args:
        index: With splits.
        is_localized: The times of events are known, so that a split of recordings with events alone can be evaluated.

    Raises:
        FileError: Naming the class or the split.
    """
    for what, remedy in class_problems(index, is_localized):
        raise FileError(index.path, what, remedy)


def name_problems(names: Iterable[str], kind: str = "labels") -> Iterator[tuple[str, str]]:
    """Names of classes or groups that are alike, and what to do.

    Args:
        names: Of all.
        kind: What they name.

    Example:
        >>> next(name_problems(["fall", "Fall"]))[0]
        "labels 'fall' and 'Fall' differ in case alone"
    """
    by_name: dict[str, str] = {}
    for name in names:
        other = by_name.setdefault(name.casefold().strip(), name)
        if other != name:
            yield f"{kind} '{other}' and '{name}' differ in case alone", "write both alike"


def class_problems(index: RecordingIndex, is_localized: bool = False) -> Iterator[tuple[str, str]]:
    """What is wrong with classes, and what to do, one after the other (``check_classes``)."""
    yield from name_problems(index.classes)
    for split in SPLITS:
        shown = {row.labels for row in index.of(split)}
        if len(shown) == 1 and not (is_localized and split != "train"):
            (labels,) = shown
            what = f"class '{';'.join(labels)}'" if labels else "recordings without events"
            yield f"its {split} split shows {what} alone", "expected two classes or more"
