"""UTD-MHAD: recognition of trimmed actions, and events in streams strung together from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmcl.config import Config
from mmcl.data.streams import compose_streams
from mmcl.data.utd_mhad import ACTIONS, SUBJECTS, read_utd_mhad
from mmcl.errors import InputError
from mmcl.tasks.task import PARTS, Task, judge_recognition, judge_streams, with_labels
from mmcl.types import Recording


def split_subjects(config: Config) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Training and validation subjects, never a test subject."""
    d, held_out = config.bags, config.bags.validation_subjects
    for option, of in (("train", d.train_subjects), ("test", d.test_subjects)):
        if not of or (strange := [s for s in of if s not in SUBJECTS]):
            got = strange[0] if of else "none"
            raise InputError(f"--bags.{option}-subjects: expected some of 1 to 8, got {got}")
    if both := [s for s in d.train_subjects if s in d.test_subjects]:
        raise InputError(
            f"--bags.test-subjects {both[0]}: is a training subject too; use --bags.train-subjects"
        )
    wrong = [s for s in held_out if s not in d.train_subjects]
    if wrong:
        raise InputError(
            f"--bags.validation-subjects: expected some of {d.train_subjects} (the test subjects are never used to choose), got {wrong[0]}"
        )
    train = tuple(s for s in d.train_subjects if s not in held_out)
    if not train:
        raise InputError("--bags.validation-subjects: no subject is left to train on")
    return train, held_out


def utd_mhad(data: Path, config: Config, parts: Sequence[str] = PARTS) -> Task:
    """27-class recognition: a trimmed recording is a bag."""
    train_subjects, held_out = split_subjects(config)
    recordings = [r.only(config.bags.modalities) for r in read_utd_mhad(data)]
    of = {"train": train_subjects, "validation": held_out, "test": config.bags.test_subjects}
    made = {p: [r for r in recordings if p in parts and int(r.group) in of[p]] for p in PARTS}
    labelled, repeats = with_labels(made["train"], config)
    return Task(
        ACTIONS,
        labelled,
        made["validation"],
        made["test"],
        judge_recognition,
        "accuracy",
        repeats=repeats,
    )


def utd_mhad_streams(data: Path, config: Config, parts: Sequence[str] = PARTS) -> Task:
    """Untrimmed streams, one bit each: does it hold a target action."""
    d = config.bags
    wrong = [a for a in d.targets if not 1 <= a <= len(ACTIONS)]
    if wrong or not d.targets:
        raise InputError(
            f"--bags.targets: expected actions from 1 to {len(ACTIONS)}, got {wrong[0] if wrong else 'none'}"
        )
    train_subjects, held_out = split_subjects(config)
    recordings = read_utd_mhad(data)

    def streams(part: str, subjects: Sequence[int], n: int, number: int) -> list[Recording]:
        chosen = [r for r in recordings if int(r.group) in subjects]
        if not chosen or n == 0 or part not in parts:
            return []
        made = compose_streams(
            chosen,
            n,
            targets=d.targets,
            n_actions=d.actions_per_stream,
            n_targets=d.targets_per_stream,
            seed=3 * d.stream_seed + number,
        )
        return [r.only(d.modalities) for r in made]

    return Task(
        ("target action",),
        streams("train", train_subjects, d.n_train_streams, 0),
        streams("validation", held_out, d.n_test_streams, 1),
        streams("test", d.test_subjects, d.n_test_streams, 2),
        judge_streams,
        "snippet average precision",
    )
